"""Decides: the two ways a peer can break HTTP/2 (RFC 9113 section 5.4): on the connection, or on one stream."""

from __future__ import annotations

from typing import Final

from dualmode.errors import PeerError
from dualmode.http.interface import ErrorCode

#: Said to a client that lets answers gather.
UNREAD: Final = "too much is queued for streams that are not read"


class ConnectionFaultError(PeerError):
    """The connection cannot go on: GOAWAY with `code`, and `text` as its debug data."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class StreamFaultError(PeerError):
    """One stream cannot go on: RST_STREAM with `code`. Counted, for a peer can provoke these at will."""

    def __init__(self, stream_id: int, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.stream_id = stream_id
        self.code = code
        self.text = text


def protocol_error(text: str) -> ConnectionFaultError:
    """The commonest fault, made in one word."""
    return ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, text)


def frame_size_error(text: str) -> ConnectionFaultError:
    """A frame whose length does not fit its type."""
    return ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, text)
