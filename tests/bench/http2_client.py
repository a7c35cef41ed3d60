"""Decides: just enough of an HTTP/2 client to load a server: no header decoding, no checks, huge receive windows.

Every request has the same header block, in literals that touch no dynamic table; what the server's header blocks say is
not read (the caller proves success by what the store holds afterwards).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_LARGEST_WINDOW: Final = 2**31 - 1
_GIVE_BACK_BYTES: Final = 2**30
_FRAME_BYTES: Final = 16_384
_FIRST_WINDOW: Final = 65_535
_INITIAL_WINDOW_SIZE: Final = 4

Header = tuple[bytes, bytes]


class StreamEndedError(Exception):
    """The server reset a stream or ended the connection."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Connection:
    """`receive` takes bytes and returns what came: (stream, data) with data None at the end of a stream; `output` holds
    what is to be sent. `paths` are the methods that are called, `headers` what every call brings beside gRPC's own."""

    def __init__(self, authority: str, *paths: str, scheme: str = "http", headers: Sequence[Header] = ()) -> None:
        self._blocks = []
        for path in paths:
            fields = ((b":method", b"POST"), (b":scheme", scheme.encode()), (b":path", path.encode()))
            more = ((b":authority", authority.encode()), (b"content-type", b"application/grpc"), (b"te", b"trailers"))
            self._blocks.append(b"".join(_literal(name, value) for name, value in (*fields, *more, *headers)))
        windows = _INITIAL_WINDOW_SIZE.to_bytes(2, "big") + _LARGEST_WINDOW.to_bytes(4, "big")
        update = frame(_WINDOW_UPDATE, 0, 0, (_LARGEST_WINDOW - _FIRST_WINDOW).to_bytes(4, "big"))
        self.output = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, windows) + update)
        self._input = bytearray()
        self._next_stream = 1
        self._window = _FIRST_WINDOW  #: what we may still send on the connection
        self._first_window = _FIRST_WINDOW  #: that of a new stream
        self._stream_windows: dict[int, int] = {}  #: of streams that were not half-closed at once
        self._blocked: deque[tuple[int, bytes, int]] = deque()
        self._taken: dict[int, int] = {}  #: of our windows, for each open stream and (0) the connection

    def request(self, body: bytes, end: bool = True, path: int = 0) -> int:
        """Opens a stream with `body` (shorter than a stream's first window); `end` half-closes it."""
        assert len(body) < _FRAME_BYTES
        stream = self._next_stream
        self._next_stream += 2
        if not end:
            self._stream_windows[stream] = self._first_window
        headers = frame(_HEADERS, _END_HEADERS, stream, self._blocks[path])
        self._queue(stream, headers + frame(_DATA, _END_STREAM if end else 0, stream, body), len(body))
        return stream

    def send(self, stream: int, body: bytes) -> None:
        """One more message on a stream that `request` left open."""
        self._queue(stream, frame(_DATA, 0, stream, body), len(body))

    def _queue(self, stream: int, frames: bytes, cost: int) -> None:
        """In order over all streams: what waits for a window holds up what comes after it."""
        if self._blocked or min(self._window, self._stream_windows.get(stream, cost)) < cost:
            self._blocked.append((stream, frames, cost))
            return
        self._window -= cost
        if stream in self._stream_windows:
            self._stream_windows[stream] -= cost
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
                self._give_back(0, length)
                self._give_back(stream, length)
            elif kind not in (_DATA, _HEADERS):
                self._control(kind, flags, stream, bytes(buffer[start + 9 : end]))
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                came.append((stream, None))
                self._taken.pop(stream, None)
            start = end
        del buffer[:start]
        return came

    def _give_back(self, stream: int, length: int) -> None:
        """What was taken of our windows, once it is much: few streams are ever asked for so many bytes."""
        taken = self._taken.get(stream, 0) + length
        if taken > _GIVE_BACK_BYTES:
            self.output += frame(_WINDOW_UPDATE, 0, stream, taken.to_bytes(4, "big"))
            taken = 0
        self._taken[stream] = taken

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._resize(payload)
            self.output += frame(_SETTINGS, _ACK, 0)
        elif kind == _PING and not flags & _ACK:
            self.output += frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
            elif stream in self._stream_windows:
                self._stream_windows[stream] += int.from_bytes(payload, "big")
            self._retry()
        elif kind in (_RST_STREAM, _GOAWAY):
            raise StreamEndedError(f"frame type {kind} on stream {stream}: {payload!r}")

    def _resize(self, settings: bytes) -> None:
        """A new first window changes those of open streams by the difference (RFC 9113, 6.9.2): Go's server widens it
        when it finds the connection fast, and then counts on it."""
        for start in range(0, len(settings), 6):
            if int.from_bytes(settings[start : start + 2], "big") == _INITIAL_WINDOW_SIZE:
                size = int.from_bytes(settings[start + 2 : start + 6], "big")
                grown, self._first_window = size - self._first_window, size
                for stream in self._stream_windows:
                    self._stream_windows[stream] += grown
        self._retry()

    def _retry(self) -> None:
        blocked, self._blocked = self._blocked, deque()
        for waiting in blocked:
            self._queue(*waiting)
