"""Decides: how the outcome of a call stands in HTTP/2 headers and trailers (gRPC over HTTP/2, "Responses")."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from dualmode import limits
from dualmode.errors import Code, RpcError
from dualmode.http.interface import Fields

CONTENT_TYPE: Final = (b"content-type", b"application/grpc")

#: Constant objects: connections send the block that is kept in them.
HEAD: Final = Fields((b":status", b"200"), CONTENT_TYPE)
OK_TRAILERS: Final = Fields((b"grpc-status", b"0"))
#: A call that ends well without having said anything: one header block, which ends the stream ("trailers-only").
OK_ONLY: Final = Fields((b":status", b"200"), CONTENT_TYPE, (b"grpc-status", b"0"))

_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {ord("%")}


def encode_message(text: str) -> bytes:
    """`grpc-message`: UTF-8 with everything but printable ASCII percent-encoded."""
    data = text.encode("utf-8", "surrogateescape")
    if _PLAIN.issuperset(data):
        return data
    return b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in data)


def decode_message(value: bytes) -> str:
    """The reverse; a value that is not encoded well is taken as it stands."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


def _pairs(code: Code, message: str) -> tuple[tuple[bytes, bytes], ...]:
    status = (b"grpc-status", b"%d" % code)
    return (status, (b"grpc-message", encode_message(message))) if message else (status,)


@lru_cache(maxsize=limits.REMEMBERED_STATUSES)
def _error_only(code: Code, message: str, http_status: int) -> Fields:
    return Fields((b":status", b"%d" % http_status), CONTENT_TYPE, *_pairs(code, message))


@lru_cache(maxsize=limits.REMEMBERED_STATUSES)
def _error_trailers(code: Code, message: str) -> Fields:
    return Fields(*_pairs(code, message))


def error_only(error: RpcError, http_status: int = 200) -> Fields:
    """Head of an answer that is an error and nothing else."""
    return _error_only(error.code, error.message, http_status)


def error_trailers(error: RpcError | None) -> Fields:
    """Trailers after messages; None is OK."""
    return OK_TRAILERS if error is None else _error_trailers(error.code, error.message)
