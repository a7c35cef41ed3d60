"""Decides: which header and trailer lists are well formed (RFC 9113 section 8), and what they say.

Both engines judge by it. A malformed message is a fault of its stream, not of the connection (section 8.1.1).
Everything here raises `MalformedError` with a short text; the connection turns it into RST_STREAM. This is also where
request splitting ends: what passes can be written into HTTP/1.1 or logged as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from dualmode import limits
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


#: Fields that may come once. Two, even equal ones, are how requests are smuggled.
_SINGLE: Final = frozenset({b"content-length", b"host"})
#: Verdicts on fields of this length are remembered (only good ones: a raised error is never cached).
_CACHED_BYTES: Final = 128


def request_head(pairs: Pairs) -> tuple[RequestHead, int]:
    """A request's head and its content-length (or UNKNOWN_LENGTH), from a decoded header list (section 8.3.1)."""
    pseudo, fields, single = _split(pairs, _REQUEST_PSEUDO)
    authority = pseudo.get(b":authority")
    host = single.get(b"host")
    if authority is None:
        authority = host or b""
    elif host is not None and host.lower() != authority.lower():
        raise MalformedError("host differs from :authority")
    method, scheme, path = pseudo.get(b":method", b""), pseudo.get(b":scheme", b""), pseudo.get(b":path", b"")
    if method == b"CONNECT":
        # It has :method and :authority and nothing else (section 8.5).
        if b":scheme" in pseudo or b":path" in pseudo or not pseudo.get(b":authority"):
            raise MalformedError("CONNECT takes :authority, and neither :scheme nor :path")
    elif len(path) <= _CACHED_BYTES:
        _check_request(method, scheme, path)
    else:
        _check_request.__wrapped__(method, scheme, path)
    return RequestHead(method, scheme, authority, path, fields), _content_length(single)


@lru_cache(maxsize=limits.HTTP2_REMEMBERED_VERDICTS)
def _check_request(method: bytes, scheme: bytes, path: bytes) -> None:
    """Pseudo-headers of a request; an absent one is empty here."""
    if not _METHOD(method):
        raise MalformedError("no lawful :method")
    if not _SCHEME(scheme):
        raise MalformedError("no lawful :scheme")
    if not (_PATH(path) or (path == b"*" and method == b"OPTIONS")):
        raise MalformedError("no lawful :path")


def response_head(pairs: Pairs) -> tuple[int, Pairs, int]:
    """A response's status, fields and content-length (section 8.3.2)."""
    pseudo, fields, single = _split(pairs, _RESPONSE_PSEUDO)
    status = pseudo.get(b":status", b"")
    if not _STATUS(status) or status == b"101":
        raise MalformedError("no lawful :status")
    return int(status), fields, _content_length(single)


def trailer_fields(pairs: Pairs) -> Pairs:
    """A trailer list: no pseudo-headers (section 8.1)."""
    return _split(pairs, _NO_PSEUDO)[1]


def _content_length(single: dict[bytes, bytes]) -> int:
    value = single.get(b"content-length")
    if value is None:
        return UNKNOWN_LENGTH
    if not _LENGTH(value):
        raise MalformedError("content-length is not a number")
    return int(value)


def _split(pairs: Pairs, allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], Pairs, dict[bytes, bytes]]:
    """Pseudo-headers, fields, and the fields that may come once; checks names, values, order and duplicates
    (sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    single: dict[bytes, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    for pair in pairs:
        name, value = pair
        if len(name) + len(value) <= _CACHED_BYTES:
            is_pseudo = _check_field(name, value)
        else:
            is_pseudo = _check_field.__wrapped__(name, value)
        if is_pseudo:
            if fields:
                raise MalformedError("a pseudo-header after a field")
            if name not in allowed or name in pseudo:
                raise MalformedError("a pseudo-header that is unknown, misplaced or repeated")
            pseudo[name] = value
            continue
        if name in _SINGLE:
            if name in single:
                raise MalformedError(f"{name.decode()} given twice")
            single[name] = value
        fields.append(pair)
    return pseudo, tuple(fields), single


@lru_cache(maxsize=limits.HTTP2_REMEMBERED_VERDICTS)
def _check_field(name: bytes, value: bytes) -> bool:
    """Whether a good field is a pseudo-header. The same few fields come with every request: hence the cache."""
    if _BAD_VALUE(value):
        raise MalformedError("control character or outer white space in a value")
    if name[:1] == b":":
        if name == b":authority" and not _AUTHORITY(value):
            raise MalformedError("white space in :authority")
        return True
    if name == b"host" and not _AUTHORITY(value):
        raise MalformedError("white space in host")
    if not _NAME(name):
        raise MalformedError("a field name that is not a lower-case token")
    if name in _CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
        raise MalformedError(f"connection-specific field {name.decode()}")
    return False
