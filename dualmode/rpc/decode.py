"""Decides: a request message from its bytes."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from dualmode.errors import Code, RpcError


def decode(message_class: Any, data: bytes) -> Any:
    """The message; raises `RpcError` as grpc servers do for bytes that are none."""
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"grpc: error unmarshalling request: {error}") from None
