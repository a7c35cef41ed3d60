"""Decides: how a gRPC call ended, from the trailers, the HTTP status or the reset that ended it."""

from __future__ import annotations

from typing import Final

from dualmode.errors import Code, RpcError
from dualmode.http.interface import ErrorCode, Pairs
from dualmode.rpc.status import decode_message

#: What an answer without `grpc-status` means (grpc: doc/http-grpc-status-mapping.md); all else is UNKNOWN.
_OF_HTTP_STATUS: Final = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
#: What a reset means (grpc: doc/PROTOCOL-HTTP2.md, "Errors"); all else is INTERNAL.
_OF_RESET: Final = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}


class CallError(RpcError):
    """A call of ours that ended with a status other than OK."""

    def __init__(self, code: Code, message: str, *, may_have_left: bool = True, trailers: Pairs = ()) -> None:
        super().__init__(code, message)
        #: False when the server provably has not seen the request: then it may be sent again, even a write.
        self.may_have_left = may_have_left
        self.trailers = trailers


def from_trailers(http_status: int, fields: Pairs, trailers: Pairs) -> CallError | None:
    """None for OK. `trailers` came at the end of the stream; an answer of trailers only has its status in `fields`."""
    found = _find(trailers, b"grpc-status")
    carrier = trailers
    if found is None:
        found = _find(fields, b"grpc-status")
        carrier = fields
    if found is None:
        if http_status == 200:
            return CallError(Code.INTERNAL, "the server ended the stream without a status", trailers=trailers)
        code = _OF_HTTP_STATUS.get(http_status, Code.UNKNOWN)
        return CallError(code, f"unexpected HTTP status code received from server: {http_status}", trailers=trailers)
    number = int(found) if found.isdigit() and len(found) < 4 else -1
    if number == Code.OK:
        return None
    message = decode_message(_find(carrier, b"grpc-message") or b"")
    known = number in Code.__members__.values()
    return CallError(Code(number) if known else Code.UNKNOWN, message, trailers=carrier)


def from_reset(error_code: int, may_have_left: bool) -> CallError:
    """A stream that was reset by the server."""
    try:
        name = ErrorCode(error_code).name
    except ValueError:
        name = hex(error_code)
    code = next((code for reset, code in _OF_RESET.items() if reset == error_code), Code.INTERNAL)
    message = f"stream terminated by RST_STREAM with error code: {name}"
    return CallError(code, message, may_have_left=may_have_left)


def lost(reason: str, may_have_left: bool) -> CallError:
    """The connection went away under the call."""
    return CallError(Code.UNAVAILABLE, reason, may_have_left=may_have_left)


def _find(pairs: Pairs, name: bytes) -> bytes | None:
    for key, value in pairs:
        if key == name:
            return value
    return None
