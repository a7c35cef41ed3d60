"""Decides: a call's metadata and message from an HTTP request of the JSON gateway."""

from __future__ import annotations

from typing import Any, cast

from dualmode.http.interface import RequestHead
from dualmode.rpc.framing import too_large
from dualmode.rpc.json_decode import decode
from dualmode.rpc.metadata import CallMetadata

_METADATA_PREFIX = b"grpc-metadata-"
_AS_THEY_ARE = (b"authorization", b"grpc-timeout")


def json_metadata(head: RequestHead) -> CallMetadata:
    """HTTP headers as metadata, with the names that grpc-gateway gives them; made once per head."""
    notes = head.notes
    if notes is None:
        pairs = tuple(
            (name.removeprefix(_METADATA_PREFIX), value)
            for name, value in head.fields
            if name.startswith(_METADATA_PREFIX) or name in _AS_THEY_ARE
        )
        notes = head.notes = CallMetadata(pairs)
        notes.is_gateway = True
    assert isinstance(notes, CallMetadata)
    return notes


def serialised(message_class: Any, text: bytes, limit_bytes: int) -> bytes:
    """A request message from its JSON. Raises `RpcError`, also where gRPC would find the message too large."""
    message = cast(bytes, decode(message_class, text).SerializeToString())
    if len(message) > limit_bytes:
        raise too_large(len(message), limit_bytes)
    return message
