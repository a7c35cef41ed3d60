"""Decides: which header and trailer lists are well formed (RFC 9113 section 8), and what they say.

Both engines judge by it. A malformed message is a fault of its stream, not of the connection (section 8.1.1).
Everything here raises `MalformedError` with a short text; the connection turns it into RST_STREAM. This is also where
request splitting ends: what passes can be written into HTTP/1.1 or logged as it is.
"""

from __future__ import annotations

import re
from typing import Final

from dualmode.http.interface import Pairs, RequestHead

#: A message without content-length.
UNKNOWN_LENGTH: Final = -1


class MalformedError(Exception):
    """A header list that breaks section 8; the text says how."""


#: Lower-case token (section 8.2.1 forbids upper case, RFC 9110 section 5.1 the rest).
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
#: Control characters but tab, or white space at an end (section 8.2.1, RFC 9110 section 5.5).
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|\A[ \t]|[ \t]\Z").search
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*").fullmatch
_PATH: Final = re.compile(rb"/[\x21-\x7e\x80-\xff]*").fullmatch
_AUTHORITY: Final = re.compile(rb"[\x21-\x7e\x80-\xff]*").fullmatch
_LENGTH: Final = re.compile(rb"[0-9]{1,18}").fullmatch
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]").fullmatch

_REQUEST_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
_RESPONSE_PSEUDO: Final = frozenset({b":status"})
_NO_PSEUDO: Final[frozenset[bytes]] = frozenset()
#: Fields that speak of one HTTP/1.1 connection (section 8.2.2).
_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


def request_head(pairs: Pairs) -> tuple[RequestHead, int]:
    """A request's head and its content-length (or UNKNOWN_LENGTH), from a decoded header list (section 8.3.1)."""
    pseudo, fields = _split(pairs, _REQUEST_PSEUDO)
    method = pseudo.get(b":method")
    if method is None or not _METHOD(method):
        raise MalformedError("no lawful :method")
    authority = pseudo.get(b":authority")
    host = _single(fields, b"host")
    if authority is None:
        authority = host or b""
    elif host is not None and host.lower() != authority.lower():
        raise MalformedError("host differs from :authority")
    if not _AUTHORITY(authority):
        raise MalformedError("white space in :authority")
    if method == b"CONNECT":
        return _connect_head(pseudo, authority, fields), content_length(fields)
    scheme, path = pseudo.get(b":scheme"), pseudo.get(b":path")
    if scheme is None or not _SCHEME(scheme):
        raise MalformedError("no lawful :scheme")
    if path is None or not (_PATH(path) or (path == b"*" and method == b"OPTIONS")):
        raise MalformedError("no lawful :path")
    return RequestHead(method, scheme, authority, path, fields), content_length(fields)


def _connect_head(pseudo: dict[bytes, bytes], authority: bytes, fields: Pairs) -> RequestHead:
    """CONNECT has :method and :authority and nothing else (section 8.5)."""
    if b":scheme" in pseudo or b":path" in pseudo or b":authority" not in pseudo or not authority:
        raise MalformedError("CONNECT takes :authority, and neither :scheme nor :path")
    return RequestHead(b"CONNECT", b"", authority, b"", fields)


def response_head(pairs: Pairs) -> tuple[int, Pairs, int]:
    """A response's status, fields and content-length (section 8.3.2)."""
    pseudo, fields = _split(pairs, _RESPONSE_PSEUDO)
    status = pseudo.get(b":status")
    if status is None or not _STATUS(status) or status == b"101":
        raise MalformedError("no lawful :status")
    return int(status), fields, content_length(fields)


def trailer_fields(pairs: Pairs) -> Pairs:
    """A trailer list: no pseudo-headers (section 8.1)."""
    return _split(pairs, _NO_PSEUDO)[1]


def content_length(fields: Pairs) -> int:
    """The one content-length, or UNKNOWN_LENGTH."""
    value = _single(fields, b"content-length")
    if value is None:
        return UNKNOWN_LENGTH
    if not _LENGTH(value):
        raise MalformedError("content-length is not a number")
    return int(value)


def _single(fields: Pairs, name: bytes) -> bytes | None:
    """The value of a field that may come once. Two, even equal ones, are how requests are smuggled."""
    values = [value for key, value in fields if key == name]
    if len(values) > 1:
        raise MalformedError(f"{name.decode()} given {len(values)} times")
    return values[0] if values else None


def _split(pairs: Pairs, allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], Pairs]:
    """Pseudo-headers and fields; checks names, values, order and duplicates (sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    for name, value in pairs:
        if _BAD_VALUE(value):
            raise MalformedError("control character or outer white space in a value")
        if name[:1] == b":":
            if fields:
                raise MalformedError("a pseudo-header after a field")
            if name not in allowed or name in pseudo:
                raise MalformedError("a pseudo-header that is unknown, misplaced or repeated")
            pseudo[name] = value
            continue
        if not _NAME(name):
            raise MalformedError("a field name that is not a lower-case token")
        if name in _CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedError(f"connection-specific field {name.decode()}")
        fields.append((name, value))
    return pseudo, tuple(fields)
