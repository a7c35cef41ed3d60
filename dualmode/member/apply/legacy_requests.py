"""Decides: what entries of etcd's v2 store mean, which 3.4 and 3.5 still write into the log for two things.

A member that publishes its name and client URLs puts `/0/members/<id>/attributes`, and the leader puts `/0/version`;
both say what `ClusterMemberAttrSetRequest` and `ClusterVersionSetRequest` say now. Everything else (SYNC, keys of the
v2 API) has no effect here.

`etcdserverpb.Request` is proto2 with all of its fields written: id, then the method as field 2. A v3 request never has
a field 2 of that content, so the two are told apart by their first bytes, as etcd does by trying to parse.
"""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.message import DecodeError

from dualmode.api import etcdserverpb, membershippb
from dualmode.errors import StorageError
from dualmode.storage.varints import read_varint

_METHODS: Final = (b"PUT", b"POST", b"DELETE", b"QGET", b"GET", b"SYNC")
_MEMBERS: Final = "/0/members/"
_ATTRIBUTES: Final = "/attributes"
_VERSION: Final = "/0/version"


def is_legacy(data: bytes) -> bool:
    """Whether these bytes are a v2 request: an id, then a method of the v2 API."""
    if data[:1] != b"\x08":
        return False
    try:
        _, position = read_varint(data, 1)
        if data[position] != 0x12:
            return False
        length, position = read_varint(data, position + 1)
    except (IndexError, StorageError):
        return False
    method = data[position : position + length]
    return len(method) == length and method in _METHODS


def translate(data: bytes) -> tuple[Any | None, int]:
    """(the v3 message that says the same, None for a request without effect; the request's id). Raises `DecodeError`
    for damaged bytes."""
    request = etcdserverpb.Request.FromString(data)
    return _meaning(request), request.ID


def _meaning(request: Any) -> Any | None:
    if request.Method != "PUT":
        return None
    if request.Path == _VERSION:
        return membershippb.ClusterVersionSetRequest(ver=request.Val)
    if not (request.Path.startswith(_MEMBERS) and request.Path.endswith(_ATTRIBUTES)):
        return None
    try:
        member_id = int(request.Path.removeprefix(_MEMBERS).removesuffix(_ATTRIBUTES), 16)
        fields = json.loads(request.Val)
        attributes = membershippb.Attributes(name=fields.get("name", ""), client_urls=fields.get("clientURLs") or ())
        return membershippb.ClusterMemberAttrSetRequest(member_ID=member_id, member_attributes=attributes)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise DecodeError(f"attributes of a member that etcd would not write: {request.Path}") from None
