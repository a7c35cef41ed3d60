"""Decides: what a client speaks, from the first bytes it sends.

Four things can arrive on one port: TLS, HTTP/2 with prior knowledge, HTTP/1.1, and noise. They differ in the first few
bytes, so no byte is spent on asking:

* a TLS connection opens with a handshake record: 0x16, then major version 3 (RFC 8446 section 5.1);
* HTTP/2 opens with a fixed preface of 24 bytes that no HTTP/1 server would understand (RFC 9113 section 3.4);
* HTTP/1 opens with a method: token characters (RFC 9110 section 5.6.2), perhaps after an empty line (RFC 9112 2.2).

The same function looks at decrypted bytes when a TLS client did not say by ALPN what it speaks.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_EMPTY_LINE: Final = frozenset(b"\r\n")


class Speech(Enum):
    """What the first bytes turned out to be."""

    UNDECIDED = "needs more bytes"
    TLS = "TLS"
    HTTP2 = "HTTP/2"
    HTTP1 = "HTTP/1"
    UNKNOWN = "unknown"


def sniff(data: bytes) -> Speech:
    """Looks at all bytes received so far (24 always suffice) and decides, or asks for more."""
    if not data:
        return Speech.UNDECIDED
    if data[0] == 0x16:
        return Speech.UNDECIDED if len(data) == 1 else Speech.TLS if data[1] == 3 else Speech.UNKNOWN
    if data.startswith(PREFACE):
        return Speech.HTTP2
    if PREFACE.startswith(data):
        return Speech.UNDECIDED
    if data.startswith(b"PRI "):
        return Speech.UNKNOWN  # the method is reserved for the preface (RFC 9113 section 11.6)
    if data[0] in _EMPTY_LINE:
        return Speech.HTTP1
    method, space, _ = data[: len(PREFACE)].partition(b" ")
    if not method or not _TOKEN.issuperset(method):
        return Speech.UNKNOWN
    # A method that fills the whole window without a space is no method anybody uses.
    return Speech.HTTP1 if space or len(data) < len(PREFACE) else Speech.UNKNOWN
