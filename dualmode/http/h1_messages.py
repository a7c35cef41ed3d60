"""Decides: what HTTP/1.1 messages may look like (RFC 9112): checks of a raw request head, and the forms of our answers.

h11 parses; this module refuses first what h11 is kind to. All of it is about two parties that read one message in two
ways (request smuggling): a client, or a proxy in front of us, may cut the stream elsewhere than we do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.http.interface import Fields, Pairs, RequestHead

#: The end of a request head.
HEAD_END: Final = b"\r\n\r\n"
#: `content_length` of a body whose end is marked otherwise.
CHUNKED: Final = -1

_BAD_OCTET: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n").search
_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch
_VERSION: Final = re.compile(rb"HTTP/([0-9]\.[0-9])").fullmatch
_TARGET: Final = re.compile(rb"[\x21-\x7e\x80-\xff]+").fullmatch
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)(.*)").fullmatch
#: Names of connections we did not ask for are dropped from a head: they mean nothing above this layer.
_CONNECTION_FIELDS: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"})


#: Lines of a request that have to do with more than itself.
_ABOUT_CONNECTION: Final = (
    b"connection",
    b"upgrade",
    b"expect",
    b"transfer-encoding",
    b"proxy-connection",
    b"keep-alive",
)
#: What takes an answer off the short way.
_ANSWERS_OWN: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"trailer"})


class RefusedRequestError(PeerError):
    """A request that is answered by `status` and the end of the connection."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def check_partial_head(received: bytearray, scanned_bytes: int, limit_bytes: int) -> None:
    """A head that is still coming: can it become lawful at all? A client whose lines end in bare line feeds would
    otherwise wait for its timeout. What was scanned before is not scanned again."""
    if len(received) > limit_bytes:
        raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request head too large")
    if _BARE_LINE_FEED(received, scanned_bytes):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "bare line feed in the request head")


def check_head(head: bytes) -> int:
    """Refuses what h11 would let pass; gives the length of the body in bytes, or CHUNKED."""
    if _BAD_OCTET(head):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "control character in the request head")
    request_line, *lines = head[: -len(HEAD_END)].split(b"\r\n")
    version = _check_request_line(request_line)
    if any(line[:1] in (b" ", b"\t") for line in lines):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "folded header line")
    lengths = _values(lines, b"content-length")
    codings = _values(lines, b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "the length of the body is given twice")
    if codings:
        if version == b"1.0":
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "transfer-encoding in HTTP/1.0")
        if codings[0].lower() != b"chunked":
            raise RefusedRequestError(HTTPStatus.NOT_IMPLEMENTED, "unknown transfer-encoding")
        return CHUNKED
    if not lengths:
        return 0
    if not _DIGITS(lengths[0]):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "content-length is not a number")
    return int(lengths[0])


def _check_request_line(line: bytes) -> bytes:
    """Exactly three words; gives the version."""
    words = line.split(b" ")
    version = _VERSION(words[-1])
    if len(words) != 3 or version is None or not _TARGET(words[1]):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "malformed request line")
    if version[1] not in (b"1.1", b"1.0"):
        raise RefusedRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP version not supported")
    return version[1]


def _values(lines: list[bytes], name: bytes) -> list[bytes]:
    pairs = (line.split(b":", 1) for line in lines if b":" in line)
    return [value.strip(b" \t") for key, value in pairs if key.strip(b" \t").lower() == name]


def request_head(method: bytes, target: bytes, fields: Pairs, version: bytes, scheme: bytes) -> RequestHead:
    """The head as the layers above know it. Takes the forms of request target of RFC 9112 section 3.2."""
    authority = next((value for name, value in fields if name == b"host"), b"")
    kept = tuple(pair for pair in fields if pair[0] not in _CONNECTION_FIELDS)
    if method == b"CONNECT":
        return RequestHead(method, b"", target, b"", kept, version)
    absolute = _ABSOLUTE(target)
    if absolute is not None:
        authority, target = absolute[1], absolute[2] or b"/"
        if target[:1] == b"?":
            target = b"/" + target
    if target[:1] != b"/" and not (target == b"*" and method == b"OPTIONS"):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "malformed request target")
    return RequestHead(method, scheme, authority, target, kept, version)


@lru_cache(maxsize=256)
def written_name(name: bytes) -> bytes:
    """A header name as Go's servers write it: scripts search for `Content-Type`, though they should not."""
    return b"-".join(part.capitalize() for part in name.split(b"-"))


@lru_cache(maxsize=64)
def reason(status: int) -> bytes:
    """The reason phrase; empty for numbers of our own."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def status_of(head: Fields) -> int:
    """The number under `:status`."""
    return int(head.pairs[0][1])


def is_plain(head: bytes) -> bool:
    """Whether nothing in a request's head is about its connection, which then lives on: the next request with the same
    bytes means the same."""
    lines = head.lower().split(b"\r\n")
    if len(head) > limits.HTTP1_KNOWN_HEAD_BYTES or not lines[0].endswith(b" http/1.1"):
        return False
    return not any(line.startswith(_ABOUT_CONNECTION) and line != b"connection: keep-alive" for line in lines)


def written_fields(head: Fields) -> list[tuple[bytes, bytes]]:
    """The fields to write, pseudo-headers left out."""
    return [(written_name(name), value) for name, value in head.pairs if name[:1] != b":"]


@lru_cache(maxsize=256)
def written_head(head: Fields) -> bytes | None:
    """An answer's head up to where its length belongs; None for one that says something of its body or the connection,
    or has none. Heads are constant objects mostly, so each is written once."""
    status = status_of(head)
    names = {name for name, _ in head.pairs}
    if status < 200 or status in (204, 304) or names & _ANSWERS_OWN:
        return None
    lines = b"".join(b"%b: %b\r\n" % field for field in written_fields(head))
    return b"HTTP/1.1 %d %b\r\n%b" % (status, reason(status), lines)


def refusal(error: RefusedRequestError) -> bytes:
    """A whole response for a request that cannot be served, in plain text."""
    phrase = reason(error.status)
    body = b"%d %b: %b\n" % (error.status, phrase, error.text.encode())
    fields = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n" % len(body)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, phrase, fields, body)
