"""Decides: the opening handshake of a WebSocket (RFC 6455 section 4.2): what is an upgrade, who asks, what is answered.

Scripts in browsers cannot set headers on it, so a token comes as a subprotocol, `Sec-WebSocket-Protocol: Bearer, TOKEN`
(as in etcd), or in the cookie `token`. A cookie goes along whichever page asks, so it counts for the server's own pages
only.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from dualmode.http.interface import Fields, Pairs, RequestHead

_UPGRADE: Final = b"upgrade"
_WEBSOCKET: Final = b"websocket"
_VERSION: Final = b"13"
_PREFIX: Final = b"sec-websocket-"
_BEARER: Final = b"Bearer"
_KEY_BYTES: Final = 16

#: Head and body for a handshake that is none.
BAD_HANDSHAKE: Final = (
    Fields(
        (b":status", b"400"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
        (b"sec-websocket-version", _VERSION),
    ),
    b"Bad Request\n",
)


def wants_websocket(head: RequestHead) -> bool:
    """Whether a request asks to become a WebSocket. Only HTTP/1.1 has this form of asking."""
    asked = head.get(_UPGRADE)
    return asked is not None and head.version == b"1.1" and _WEBSOCKET in _words(asked.lower())


def is_whole(head: RequestHead) -> bool:
    """Whether an upgrade has all that it needs."""
    if head.method != b"GET" or head.get(_PREFIX + b"version") != _VERSION:
        return False
    try:
        key = base64.b64decode(head.get(_PREFIX + b"key") or b"", validate=True)
    except binascii.Error:
        return False
    return len(key) == _KEY_BYTES


def accepted(head: RequestHead, accept_token: bytes) -> Fields:
    """The head of the answer, 101."""
    fields = [
        (b":status", b"101"),
        (b"upgrade", _WEBSOCKET),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", accept_token),
    ]
    if (head.get(_PREFIX + b"protocol") or b"").startswith(_BEARER):
        fields.append((b"sec-websocket-protocol", _BEARER))
    return Fields(*fields)


def as_post(head: RequestHead) -> RequestHead:
    """The request that the route behind is to see."""
    kept: Pairs = tuple(pair for pair in head.fields if pair[0] != _UPGRADE and not pair[0].startswith(_PREFIX))
    token = _token_of(head)
    if token:
        kept = (*(pair for pair in kept if pair[0] != b"authorization"), (b"authorization", _BEARER + b" " + token))
    return RequestHead(b"POST", head.scheme, head.authority, head.path, kept, head.version)


def _token_of(head: RequestHead) -> bytes:
    _, comma, token = (head.get(_PREFIX + b"protocol") or b"").partition(_BEARER + b",")
    if comma:
        return token.strip(b" ")
    origin = head.get(b"origin")
    if origin is not None and origin != head.scheme + b"://" + head.authority:
        return b""
    for part in (head.get(b"cookie") or b"").split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == b"token":
            return value
    return b""


def _words(value: bytes) -> list[bytes]:
    return [word.strip() for word in value.split(b",")]
