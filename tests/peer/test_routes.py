"""What the peer listener answers: status codes and texts as etcd has them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.api import leasepb
from dualmode.peer.codec import encode_message
from dualmode.peer.identity_headers import request_fields
from dualmode.peer.interface import PeerIdentity
from dualmode.raft import Message, MessageType, Snapshot, SnapshotMetadata
from tests.peer.fakes import CLUSTER, End, speaking

A, B = 0xA, 0xB
PEER = PeerIdentity(B, CLUSTER, ("http://127.0.0.1:1",), "3.6.0")
FIELDS = dict(request_fields(PEER))
HEARTBEAT = encode_message(Message(MessageType.HEARTBEAT, to=A, sender=B, term=3))


@pytest.fixture
async def end(tmp_path: Path) -> AsyncIterator[End]:
    async with speaking(A, tmp_path) as end:
        yield end


async def call(end: End, method: str, path: str, content: Any = b"", **fields: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in fields.items() if value}
    with trio.fail_after(15):
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.request(method, end.url + path, content=content, headers=headers)


def as_peer(**fields: str) -> dict[str, str]:
    return {name.lower().replace("-", "_"): value for name, value in FIELDS.items()} | fields


# --- Posts and streams ------------------------------------------------------------------------------------------


async def test_a_message_is_taken(end: End) -> None:
    answer = await call(end, "POST", "/raft", HEARTBEAT, **as_peer())
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-etcd-cluster-id"] == "c1"
    assert [one.term for one in end.heard.messages] == [3]
    assert end.transport.peers[B].peer_urls == ("http://127.0.0.1:1",)


async def test_a_message_to_somebody_else_is_dropped(end: End) -> None:
    other = encode_message(Message(MessageType.HEARTBEAT, to=0xC, sender=B))
    assert (await call(end, "POST", "/raft", other, **as_peer())).status_code == 204
    assert not end.heard.messages


LONE_SNAPSHOT = encode_message(Message(MessageType.SNAPSHOT, to=A, sender=B, term=3, snapshot=Snapshot()))


@pytest.mark.parametrize(
    ("method", "path", "content", "fields", "status", "text"),
    [
        ("GET", "/raft", b"", {}, 405, "Method Not Allowed\n"),
        ("POST", "/raft", b"\xff", {}, 400, "error unmarshalling raft message\n"),
        ("POST", "/raft", LONE_SNAPSHOT, {}, 400, "error unmarshalling raft message\n"),
        ("POST", "/raft", HEARTBEAT, {"x_etcd_cluster_id": "c2"}, 412, "cluster ID mismatch\n"),
        ("POST", "/raft", HEARTBEAT, {"x_server_version": "2.3.0"}, 412, "incompatible version\n"),
        ("POST", "/raft", HEARTBEAT, {"x_server_version": ""}, 412, "incompatible version\n"),
        ("POST", "/raft", HEARTBEAT, {"x_min_cluster_version": "9.0.0"}, 412, "incompatible version\n"),
        ("GET", "/raft/snapshot", b"", {}, 405, "Method Not Allowed\n"),
        ("POST", "/raft/snapshot", b"x", {"x_etcd_cluster_id": "c2"}, 412, "cluster ID mismatch\n"),
        ("POST", "/raft/stream/message/b", b"", {}, 405, "Method Not Allowed\n"),
        ("GET", "/raft/stream/message/b", b"", {"x_etcd_cluster_id": "c2"}, 412, "cluster ID mismatch\n"),
        ("GET", "/raft/stream/message/b", b"", {"x_server_version": "2.3.0"}, 412, "incompatible version\n"),
        ("GET", "/raft/stream/message/xyz", b"", {}, 404, "invalid from\n"),
        ("GET", "/raft/stream/message/b", b"", {}, 404, "error sender not found\n"),
        ("GET", "/raft/stream/msgapp/b", b"", {}, 404, "error sender not found\n"),
        ("GET", "/raft/stream/other/b", b"", {}, 404, "404 page not found\n"),
        ("GET", "/other", b"", {}, 404, "404 page not found\n"),
        ("POST", "/raft", b"\xff\xff", {}, 400, "error unmarshalling raft message\n"),
        ("GET", "/raft/stream/message/b", b"", {"x_etcd_cluster_id": "bad"}, 412, "cluster ID mismatch\n"),
        ("GET", "/raft/stream/message/b", b"", {"x_min_cluster_version": "4.0.0"}, 412, "incompatible version\n"),
        ("GET", "/raft/stream/message/b", b"", {"x_server_version": ""}, 412, "incompatible version\n"),
        ("GET", "/raft/stream/message/b", b"", {"x_server_version": "3.5.1"}, 404, "error sender not found\n"),
    ],
)
async def test_what_is_refused(
    end: End, method: str, path: str, content: bytes, fields: dict[str, str], status: int, text: str
) -> None:
    for _ in range(2):  # having asked once changes nothing
        answer = await call(end, method, path, content, **as_peer(**fields))
        assert (answer.status_code, answer.text) == (status, text)
    if status == 405:
        assert answer.headers["allow"] == ("POST" if method == "GET" else "GET")
    if "page" not in text:
        assert answer.headers["x-etcd-cluster-id"] == "c1"
    if "/stream/" in path and method == "GET" and "page" not in text:
        assert answer.headers["x-server-version"] == "3.6.0"
    assert not end.heard.messages


async def test_a_removed_member_is_told_so(end: End) -> None:
    end.heard.removed.add(B)
    answer = await call(end, "POST", "/raft", HEARTBEAT, **as_peer())
    assert (answer.status_code, answer.json()) == (403, {"message": "cannot process message from removed member"})
    answer = await call(end, "GET", "/raft/stream/msgapp/b", **as_peer(x_raft_to="a"))
    assert (answer.status_code, answer.text) == (410, "removed member\n")
    assert not end.heard.messages
    assert not end.transport.peers


async def test_a_stream_that_is_meant_for_somebody_else_is_refused(end: End) -> None:
    end.transport.add_peer(B, ("http://127.0.0.1:1",))
    answer = await call(end, "GET", "/raft/stream/message/b", **as_peer(x_raft_to="c"))
    assert (answer.status_code, answer.text) == (412, "to field mismatch\n")
    assert answer.headers["x-server-version"] == "3.6.0"


async def test_a_newer_stream_takes_the_place_of_an_older_one(end: End) -> None:
    end.transport.add_peer(B, ("http://127.0.0.1:1",))
    headers = FIELDS | {"X-Raft-To": "a"}
    url = f"{end.url}/raft/stream/message/b"
    with trio.fail_after(15):
        async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url, headers=headers) as older:
            assert older.status_code == 200
            async with client.stream("GET", url, headers=headers) as newer:
                assert await older.aread() == b""  # it ends
                end.transport.send([Message(MessageType.HEARTBEAT, to=B, sender=A)])
                async for data in newer.aiter_bytes():
                    assert len(data) > 8
                    break


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"", 400, "unexpected EOF"),
        (bytes(7), 400, "unexpected EOF"),
        ((9).to_bytes(8, "big") + b"x", 400, "unexpected EOF"),
        ((limits.PEER_SNAPSHOT_MESSAGE_BYTES + 1).to_bytes(8, "big"), 400, "a message of"),
        (b"\xff" * 8, 400, "a message of"),
        ((2).to_bytes(8, "big") + b"\xff\xff", 400, "not a Raft message"),
        (b"\xff" * 8, 400, f"a message of {2**64 - 1} bytes"),
        ((2).to_bytes(8, "big") + b"\x08\x08", 400, "wrong raft message type"),
        (len(HEARTBEAT).to_bytes(8, "big") + HEARTBEAT + b"db", 400, "wrong raft message type"),
    ],
)
async def test_a_snapshot_that_is_none_leaves_nothing_behind(end: End, content: bytes, status: int, text: str) -> None:
    answer = await call(end, "POST", "/raft/snapshot", content, **as_peer())
    assert answer.status_code == status
    assert answer.text.startswith("failed to decode raft message (")
    assert text in answer.text
    assert list(end.snapshot_dir.iterdir()) == []
    assert not end.heard.received


async def test_a_snapshot_in_small_pieces(end: End) -> None:
    state = Snapshot(b"{}", SnapshotMetadata(index=4, term=2))
    message = encode_message(Message(MessageType.SNAPSHOT, to=A, sender=B, term=3, snapshot=state))
    body = len(message).to_bytes(8, "big") + message + b"database"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(len(body)):
            yield body[at : at + 1]

    answer = await call(end, "POST", "/raft/snapshot", pieces(), **as_peer())
    assert answer.status_code == 204
    [(taken, content)] = end.heard.received
    assert taken.snapshot == state
    assert content == b"database"


async def test_a_snapshot_for_which_there_is_no_folder(end: End) -> None:
    message = encode_message(Message(MessageType.SNAPSHOT, to=A, sender=B, snapshot=Snapshot()))
    end.snapshot_dir.rmdir()
    answer = await call(end, "POST", "/raft/snapshot", len(message).to_bytes(8, "big") + message + b"x", **as_peer())
    assert answer.status_code == 500
    assert answer.text.startswith("failed to save KV snapshot (")


@pytest.mark.parametrize(("method", "path"), [("POST", "/members"), ("GET", "/leases"), ("GET", "/raft")])
async def test_methods_that_a_page_does_not_have(end: End, method: str, path: str) -> None:
    answer = await call(end, method, path)  # who asks is not looked at before that
    assert (answer.status_code, answer.text) == (405, "Method Not Allowed\n")


@pytest.mark.parametrize(("method", "path"), [("POST", "/raft"), ("GET", "/raft/stream/message/2")])
async def test_who_does_not_say_its_version_is_refused(end: End, method: str, path: str) -> None:
    answer = await call(end, method, path)
    assert (answer.status_code, answer.text) == (412, "incompatible version\n")


async def test_a_stream_of_no_kind_is_not_there_for_anybody(end: End) -> None:
    answer = await call(end, "GET", "/raft/stream/other/2")
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")


# --- Plain pages ------------------------------------------------------------------------------------------------


async def test_the_pages_that_everybody_may_see(end: End) -> None:
    probing = await call(end, "GET", "/raft/probing")
    assert probing.json()["OK"] is True
    assert probing.text.endswith("\n")
    assert probing.headers["content-type"].startswith("text/plain")
    members = await call(end, "GET", "/members")
    assert members.headers["x-etcd-cluster-id"] == "c1"
    assert members.headers["content-type"] == "application/json"
    assert members.content == (
        b'[{"id":18446744073709551615,"peerURLs":["http://a:1"],"name":"a","clientURLs":["http://a:2"]},'
        b'{"id":7,"peerURLs":["http://b:1"],"isLearner":true}]\n'
    )
    assert (await call(end, "GET", "/version")).json()["etcdserver"] == "3.6.0"
    assert (await call(end, "GET", "/downgrade/enabled")).text == "true"


async def test_promoting(end: End) -> None:
    answer = await call(end, "POST", "/members/promote/7")
    assert answer.json() == [{"id": 7, "peerURLs": ["http://b:1"]}]
    for refusal, status, text in (
        (errors.MEMBER_NOT_FOUND, 404, "membership: ID not found"),
        (errors.MEMBER_NOT_LEARNER, 412, "membership: can only promote a learner member"),
        (errors.LEARNER_NOT_READY, 412, errors.LEARNER_NOT_READY.message),
        (errors.NOT_LEADER, 500, '{"message":"Internal Server Error"}'),
        (errors.NOT_ENOUGH_STARTED, 500, '{"message":"Internal Server Error"}'),
    ):
        end.service.refusal = refusal
        answer = await call(end, "POST", "/members/promote/7")
        assert (answer.status_code, answer.text.strip()) == (status, text)
    for odd in ("x", "", "-1", "1" * 30, "%C2%B2"):
        answer = await call(end, "POST", f"/members/promote/{odd}")
        assert answer.status_code == 404
        if odd == "x":
            assert answer.text == "member x not found in cluster\n"
    assert (await call(end, "GET", "/members/promote/7")).status_code == 405


async def test_leases(end: End) -> None:
    body = pb.LeaseKeepAliveRequest(ID=5).SerializeToString()
    answer = await call(end, "POST", "/leases", body)
    assert answer.headers["content-type"] == "application/protobuf"
    assert pb.LeaseKeepAliveResponse.FromString(answer.content) == pb.LeaseKeepAliveResponse(ID=5, TTL=60)
    asked = leasepb.LeaseInternalRequest(LeaseTimeToLiveRequest=pb.LeaseTimeToLiveRequest(ID=5, keys=True))
    answer = await call(end, "POST", "/leases/internal", asked.SerializeToString())
    found = leasepb.LeaseInternalResponse.FromString(answer.content).LeaseTimeToLiveResponse
    assert (found.TTL, found.grantedTTL, list(found.keys)) == (9, 60, [b"k"])
    assert found.HasField("header")


@pytest.mark.parametrize("path", ["/leases", "/leases/internal"])
async def test_leases_that_are_refused(end: End, path: str) -> None:
    assert (await call(end, "GET", path)).status_code == 405
    answer = await call(end, "POST", path, b"\xff")
    assert (answer.status_code, answer.text) == (400, "error unmarshalling request\n")
    assert (await call(end, "POST", path, bytes(limits.PEER_BODY_BYTES + 1))).status_code == 400
    for refusal, status, text in (
        (errors.LEASE_NOT_FOUND, 404, "lease not found\n"),
        (errors.NOT_LEADER, 400, "not a primary lessor\n"),
        (
            errors.TIMEOUT_WAIT_APPLIED,
            408,
            "waiting for node to catch up its applied index has timed out\n",
        ),
    ):
        end.service.refusal = refusal
        answer = await call(end, "POST", path, b"")
        assert (answer.status_code, answer.text) == (status, text)


async def test_hashes(end: End) -> None:
    answer = await call(end, "GET", "/members/hashkv", json.dumps({"revision": 4}))
    assert answer.json() == {
        "header": {"revision": 9},
        "hash": 0xFFFFFFFF,
        "compact_revision": -1,
        "hash_revision": 4,
    }
    assert (await call(end, "GET", "/members/hashkv", b"{}", x_etcd_cluster_id="c1")).status_code == 200
    answer = await call(end, "GET", "/members/hashkv", b"{}", x_etcd_cluster_id="c2")
    assert (answer.status_code, answer.text) == (412, "cluster ID mismatch\n")
    for odd in (b"x", b"[]", b"\xff", b'{"revision":"1"}', b'{"revision":true}', b"[" * 100_000, b'{"revision":1e99}'):
        answer = await call(end, "GET", "/members/hashkv", odd)
        assert (answer.status_code, answer.text) == (400, "error unmarshalling request\n")
    end.service.refusal = errors.COMPACTED
    answer = await call(end, "GET", "/members/hashkv", b"{}")
    assert (answer.status_code, answer.text) == (400, "mvcc: required revision has been compacted\n")
    end.service.refusal = errors.FUTURE_REVISION
    answer = await call(end, "GET", "/members/hashkv", b'{"revision":101}')
    assert (answer.status_code, answer.text) == (400, "mvcc: required revision is a future revision\n")
