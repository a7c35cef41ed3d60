"""What is written, what is read of whatever stands under the prefix, and what MemberList says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.api import etcdserverpb, mvccpb
from dualmode.proxy.registration.announcements import Announcements, announced, announcement, member_list

#: As etcd 3.5.1's grpc-proxy wrote them.
ETCD_KEY = b"___grpc/127.0.0.1:33791"
ETCD_VALUE = b'{"Op":0,"Addr":"127.0.0.1:33791","Metadata":"{\\"name\\":\\"vm\\"}"}'


def kv(key: bytes, value: bytes) -> mvccpb.KeyValue:
    return mvccpb.KeyValue(key=key, value=value)


def put(key: bytes, value: bytes) -> mvccpb.Event:
    return mvccpb.Event(type=mvccpb.Event.PUT, kv=kv(key, value))


def deletion(key: bytes) -> mvccpb.Event:
    return mvccpb.Event(type=mvccpb.Event.DELETE, kv=mvccpb.KeyValue(key=key))


def value_of(address: str) -> bytes:
    return announcement(b"p", address, "host")[1]


def urls(announcements: Announcements) -> list[str]:
    return [url for member in announcements.members() for url in member.clientURLs]


def test_it_is_what_etcd_writes() -> None:
    assert announcement(b"___grpc", "127.0.0.1:33791", "vm") == (ETCD_KEY, ETCD_VALUE)
    assert announcement(b"/a/b/", "http://127.0.0.1:1", "vm")[0] == b"/a/b//http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        (ETCD_VALUE, "vm", "127.0.0.1:33791"),
        (b'{"Addr":"a:1"}', "", "a:1"),
        (b'{"Op":1,"Addr":"a:1","Metadata":null}', "", "a:1"),
        (b'{"Addr":"a:1","Metadata":"no json"}', "", "a:1"),
        (b'{"Addr":"a:1","Metadata":"[1]"}', "", "a:1"),
        (b'{"Addr":"a:1","Metadata":"{\\"name\\":1}"}', "", "a:1"),
        (b'{"Addr":"a:1","Metadata":{"name":"x"}}', "", "a:1"),
    ],
)
def test_what_is_read(value: bytes, name: str, address: str) -> None:
    assert announced(value) == etcdserverpb.Member(name=name, clientURLs=[address])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        b"[]",
        b"\xff\xfe",
        b'{"Addr":""}',
        b'{"Addr":1}',
        b'{"Addr":"\\ud800"}',
        b'{"Addr":"a:1","Metadata":"{\\"name\\":\\"\\\\ud800\\"}"}',
        b"[" * 4000,
        json.dumps({"Addr": "a" * limits.PROXY_ANNOUNCEMENT_BYTES}).encode(),
    ],
)
def test_what_announces_nothing(value: bytes) -> None:
    assert announced(value) is None


@given(st.binary() | st.text().map(lambda text: json.dumps({"Addr": text, "Metadata": text}).encode()))
def test_any_value_is_read_or_left(value: bytes) -> None:
    member = announced(value)
    assert member is None or member.clientURLs[0]


def test_announcements_follow_what_happens() -> None:
    found = Announcements()
    found.fill([kv(b"p/b", value_of("b:1")), kv(b"p/a", value_of("a:1")), kv(b"p/x", b"garbage")])
    assert urls(found) == ["a:1", "b:1"]
    found.apply([put(b"p/c", value_of("c:1")), deletion(b"p/a"), deletion(b"p/none")])
    assert urls(found) == ["b:1", "c:1"]
    found.apply([put(b"p/b", value_of("d:1")), put(b"p/c", b"garbage")])
    assert urls(found) == ["d:1"]
    found.fill([])
    assert len(found) == 0


def test_who_writes_without_end_is_not_followed_without_end() -> None:
    found = Announcements()
    found.apply([put(b"p/%05d" % number, value_of("a:1")) for number in range(limits.PROXY_ANNOUNCEMENTS + 10)])
    assert len(found) == limits.PROXY_ANNOUNCEMENTS
    found.apply([put(b"p/00000", value_of("b:1"))])
    assert urls(found)[0] == "b:1"


def test_the_member_list() -> None:
    other = etcdserverpb.Member(name="other", clientURLs=["b:1"])
    assert member_list([other], ["a:1"], "me") == etcdserverpb.MemberListResponse(members=[other])
    own = etcdserverpb.Member(name="me", clientURLs=["a:1", "a:2"])
    answer = member_list([], ["a:1", "a:2"], "me")
    assert answer == etcdserverpb.MemberListResponse(members=[own])
    assert not answer.HasField("header")
