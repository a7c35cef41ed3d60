"""Entries of etcd's v2 store, as 3.5 wrote them into a log."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError

from dualmode.api import etcdserverpb
from dualmode.member.apply import requests
from dualmode.member.apply.legacy_requests import is_legacy


def legacy(**fields: Any) -> bytes:
    """As gogo writes proto2: every field, be it zero."""
    request = etcdserverpb.Request()
    for field in request.DESCRIPTOR.fields:
        if field.name not in ("PrevExist", "Refresh"):
            setattr(request, field.name, fields.get(field.name, field.default_value))
    return bytes(request.SerializeToString())


def test_attributes_of_a_member() -> None:
    value = '{"name":"one","clientURLs":["http://127.0.0.1:2379"]}'
    decoded = requests.decode(legacy(ID=5, Method="PUT", Path="/0/members/2e1259d415f2a040/attributes", Val=value))
    assert decoded.kind == requests.CLUSTER_MEMBER_ATTR_SET
    assert decoded.request.member_ID == 0x2E1259D415F2A040
    assert decoded.request.member_attributes.name == "one"
    assert list(decoded.request.member_attributes.client_urls) == ["http://127.0.0.1:2379"]


def test_the_version_of_the_cluster() -> None:
    decoded = requests.decode(legacy(ID=1 << 63, Method="PUT", Path="/0/version", Val="3.5.0"))
    assert (decoded.kind, decoded.request.ver) == (requests.CLUSTER_VERSION_SET, "3.5.0")


@pytest.mark.parametrize(
    "fields",
    [
        {"Method": "SYNC", "Time": 12345},
        {"Method": "PUT", "Path": "/1/key", "Val": "v"},
        {"Method": "DELETE", "Path": "/0/version"},
        {"Method": "PUT", "Path": "/0/members/1/raftAttributes", "Val": "{}"},
    ],
)
def test_everything_else_does_nothing(fields: dict[str, Any]) -> None:
    assert requests.decode(legacy(ID=7, **fields)).kind == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [("/0/members/x/attributes", "{}"), ("/0/members/1/attributes", "{"), ("/0/members/1/attributes", "[]")],
)
def test_attributes_that_etcd_would_not_write_are_damage(path: str, value: str) -> None:
    with pytest.raises(DecodeError):
        requests.decode(legacy(ID=7, Method="PUT", Path=path, Val=value))


def test_requests_of_v3_are_not_taken_for_them() -> None:
    for kind, message in (
        (requests.PUT, etcdserverpb.PutRequest(key=b"PUT", value=b"PUT")),
        (requests.COMPACTION, etcdserverpb.CompactionRequest(revision=1)),
    ):
        data = requests.encode(kind, message.SerializeToString(), 77)
        assert not is_legacy(data)
        assert requests.decode(data).kind == kind
    for data in (b"", b"\x08", b"\x08\x01", b"\x08\x01\x12", b"\x08\x01\x12\x09PUT", b"\x08" + b"\xff" * 12):
        assert not is_legacy(data)
