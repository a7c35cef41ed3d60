"""Decides: how the outcome of a call stands in JSON and HTTP, for readers of both generations of etcd's gateway.

etcd up to 3.5 writes `{"error": text, "message": text, "code": n}`, from 3.6 on `{"code": n, "message": text,
"details": []}`. Ours has all of it.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from google.protobuf.message import DecodeError

from dualmode.errors import HTTP_STATUS, Code, RpcError
from dualmode.http.interface import Fields, RequestHead
from dualmode.http.routing import Link
from dualmode.rpc.framing import too_large
from dualmode.rpc.json_encode import encode
from dualmode.rpc.status import encode_message

_CONTENT_TYPE: Final = (b"content-type", b"application/json")
_GRPC_CONTENT_TYPE: Final = (b"grpc-metadata-content-type", b"application/grpc")
#: What net/http calls a status that nginx made up.
_CLIENT_CLOSED_REQUEST: Final = 499

OK_HEAD: Final = Fields((b":status", b"200"), _CONTENT_TYPE, _GRPC_CONTENT_TYPE)
NOT_FOUND: Final = RpcError(Code.NOT_FOUND, "Not Found")
METHOD_NOT_ALLOWED: Final = RpcError(Code.UNIMPLEMENTED, "Method Not Allowed")

_ERROR_HEADS: Final = {
    status: Fields((b":status", b"%d" % status), _CONTENT_TYPE) for status in sorted(set(HTTP_STATUS.values()))
}


def error_head(error: RpcError) -> Fields:
    """The head of an answer that is an error."""
    head = _ERROR_HEADS[HTTP_STATUS[error.code]]
    if error.code is Code.UNAUTHENTICATED:
        return head.plus((b"www-authenticate", encode_message(error.message)))
    return head


def error_body(error: RpcError) -> bytes:
    """The body of a unary call's error."""
    body = {"error": error.message, "message": error.message, "code": error.code, "details": []}
    return json.dumps(body, separators=(",", ":")).encode()


def stream_line(text: str) -> bytes:
    """One message of a stream."""
    return b'{"result":%b}\n' % text.encode()


def stream_error_line(error: RpcError) -> bytes:
    """The last line of a stream that ends with an error."""
    http_code = HTTP_STATUS[error.code]
    phrase = "" if http_code == _CLIENT_CLOSED_REQUEST else HTTPStatus(http_code).phrase
    body = {
        "grpc_code": error.code,
        "http_code": http_code,
        "message": error.message,
        "http_status": phrase,
        "code": error.code,
        "details": [],
    }
    return json.dumps({"error": body}, separators=(",", ":")).encode() + b"\n"


def as_json(message_class: Any, message: bytes) -> str:
    """An answer as JSON. Raises `RpcError` when it is none, which is our fault."""
    try:
        return encode(message_class.FromString(message))
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"the answer cannot be decoded: {error}") from None


def refusal_of_size(head: RequestHead, limit_bytes: int) -> RpcError:
    """For a text that was dropped unread: with the size that was announced, else the least that it must have."""
    announced = head.get(b"content-length")
    size = int(announced[:16]) if announced is not None and announced.isdigit() else 0
    return too_large(max(size, limit_bytes + 1), limit_bytes)


def refuse(link: Link, stream_id: int, error: RpcError) -> None:
    """Answers with an error before there is a call."""
    link.respond(stream_id, error_head(error), error_body(error))
