"""Decides: just enough of an HTTP/2 client to load a server: no header decoding, no checks, huge receive windows.

Every request has the same header block, in literals that touch no dynamic table; what the server's header blocks say is
not read (the caller proves success by what the store holds afterwards).
"""

from __future__ import annotations

from collections import deque
from typing import Final

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_LARGEST_WINDOW: Final = 2**31 - 1
_FRAME_BYTES: Final = 16_384


class StreamEndedError(Exception):
    """The server reset a stream or ended the connection."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Connection:
    """`receive` takes bytes and returns what came: (stream, data) with data None at the end of a stream; `output` holds
    what is to be sent."""

    def __init__(self, authority: str, path: str) -> None:
        fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()))
        more = ((b":authority", authority.encode()), (b"content-type", b"application/grpc"), (b"te", b"trailers"))
        self._block = b"".join(_literal(name, value) for name, value in (*fields, *more))
        windows = (4).to_bytes(2, "big") + _LARGEST_WINDOW.to_bytes(4, "big")
        update = frame(_WINDOW_UPDATE, 0, 0, (_LARGEST_WINDOW - 65_535).to_bytes(4, "big"))
        self.output = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, windows) + update)
        self._input = bytearray()
        self._next_stream = 1
        self._window = 65_535  #: what we may still send on the connection
        self._blocked: deque[bytes] = deque()

    def request(self, body: bytes, end: bool = True) -> int:
        """Opens a stream with `body` (shorter than a stream's first window); `end` half-closes it."""
        assert len(body) < _FRAME_BYTES
        stream = self._next_stream
        self._next_stream += 2
        headers = frame(_HEADERS, _END_HEADERS, stream, self._block)
        self._queue(headers + frame(_DATA, _END_STREAM if end else 0, stream, body), len(body))
        return stream

    def _queue(self, frames: bytes, cost: int) -> None:
        if self._blocked or self._window < cost:
            self._blocked.append(frames)
            return
        self._window -= cost
        self.output += frames

    def receive(self, data: bytes) -> list[tuple[int, bytes | None]]:
        came: list[tuple[int, bytes | None]] = []
        buffer = self._input
        buffer += data
        start, size = 0, len(buffer)
        while size - start >= 9:
            length = int.from_bytes(buffer[start : start + 3], "big")
            end = start + 9 + length
            if end > size:
                break
            kind, flags = buffer[start + 3], buffer[start + 4]
            stream = int.from_bytes(buffer[start + 5 : start + 9], "big")
            if kind == _DATA and length:
                came.append((stream, bytes(buffer[start + 9 : end])))
            elif kind not in (_DATA, _HEADERS):
                self._control(kind, flags, stream, bytes(buffer[start + 9 : end]))
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                came.append((stream, None))
            start = end
        del buffer[:start]
        return came

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self.output += frame(_SETTINGS, _ACK, 0)
        elif kind == _PING and not flags & _ACK:
            self.output += frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            blocked, self._blocked = self._blocked, deque()
            for frames in blocked:
                self._queue(frames, len(frames) - 18 - len(self._block))
        elif kind in (_RST_STREAM, _GOAWAY):
            raise StreamEndedError(f"frame type {kind} on stream {stream}: {payload!r}")
