"""HTTP/2 as the tests speak it: frames built and cut by hand, so that a fault in our own frame code cannot hide itself.

`Wire` is the other end of a server connection: it feeds frames, answers what the server delivers, and keeps what came
back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import hpack

from dualmode.http.engines import ENGINES
from dualmode.http.interface import (
    BodyTooLarge,
    ConnectionEnded,
    DataReceived,
    Event,
    Fields,
    RequestReceived,
    StreamEnded,
)
from dualmode.http.options import Http2Options

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
WITH_PRIORITY = 0x20

HEAD = Fields((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = Fields((b"grpc-status", b"0"), (b"grpc-message", b""))
PSEUDO = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"here"), (b":path", b"/svc/Call"))


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4], "big")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def cut(data: bytes) -> list[Frame]:
    """All frames of a piece of output; it must end at a frame's end."""
    frames = []
    while data:
        size = int.from_bytes(data[:3], "big")
        stream_id = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
        assert len(data) >= 9 + size, "output ends within a frame"
        frames.append(Frame(data[3], data[4], stream_id, data[9 : 9 + size]))
        data = data[9 + size :]
    return frames


def literal(name: bytes, value: bytes, first: int = 0) -> bytes:
    """A literal field with a new name; lengths below 127."""
    return bytes((first, len(name))) + name + bytes((len(value),)) + value


def block(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(literal(name, value) for name, value in pairs)


def headers(stream_id: int, *pairs: tuple[bytes, bytes], end: bool = True, pseudo: Any = PSEUDO) -> bytes:
    """A request's HEADERS."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, block(*pseudo, *pairs))


def trailers(stream_id: int, *pairs: tuple[bytes, bytes], end: bool = True) -> bytes:
    return headers(stream_id, *pairs, end=end, pseudo=())


def data(stream_id: int, payload: bytes = b"", end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream_id, payload)


def settings(*values: tuple[int, int]) -> bytes:
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values)
    return frame(SETTINGS, 0, 0, payload)


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def reset(stream_id: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream_id, u32(code))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, u32(increment))


def priority(stream_id: int, dependency: int = 0) -> bytes:
    return frame(PRIORITY, 0, stream_id, u32(dependency) + b"\x0f")


class Wire:
    """A client made of bytes, facing one server connection."""

    def __init__(
        self,
        engine: str = "native",
        body_limit: int = 1 << 20,
        options: Http2Options | None = None,
        answers: bool = True,
        handshake: bool = True,
    ) -> None:
        self.server = ENGINES[engine].server(lambda head: body_limit, options or Http2Options())
        self.answers = answers
        self.events: list[Event] = []
        self.frames: list[Frame] = []
        self.answer_body = b"\0\0\0\0\x02hi"
        self.now = 0.0
        self.server.start(self.now)
        if handshake:
            self.feed(PREFACE + settings() + frame(SETTINGS, ACK, 0))
            self.frames.clear()

    def feed(self, *frames: bytes) -> list[Event]:
        """Bytes in; the answers of the server's driver; bytes out."""
        events = self.server.receive(b"".join(frames), self.now)
        self._handle(events)
        return events

    def each(self, frames: Iterable[bytes]) -> None:
        """Every frame in a read of its own."""
        for piece in frames:
            self.feed(piece)

    def tick(self, now: float) -> list[Event]:
        self.now = now
        events = self.server.tick(now)
        self._handle(events)
        return events

    def collect(self) -> list[Frame]:
        """What the server has sent since the last look."""
        self.frames.extend(cut(self.server.take_output()))
        frames, self.frames = self.frames, []
        return frames

    def _handle(self, events: list[Event]) -> None:
        self.events.extend(events)
        for event in events:
            if isinstance(event, DataReceived):
                self.server.acknowledge(event.stream_id, event.flow_bytes)
            elif self.answers and isinstance(event, (RequestReceived, StreamEnded, BodyTooLarge)):
                self.server.respond(event.stream_id, HEAD, self.answer_body, TRAILERS)
        self.frames.extend(cut(self.server.take_output()))

    def of_kind(self, kind: int) -> list[Frame]:
        return [each for each in self.frames if each.kind == kind]

    def events_of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ended(self) -> ConnectionEnded | None:
        found = self.events_of(ConnectionEnded)
        return found[0] if found else None


def decode_blocks(frames: Iterable[Frame]) -> list[list[tuple[bytes, bytes]]]:
    """The header lists of HEADERS and CONTINUATION frames, decoded in order."""
    decoder = hpack.Decoder()
    lists, pieces = [], b""
    for each in frames:
        if each.kind in (HEADERS, CONTINUATION):
            pieces += each.payload
            if each.flags & END_HEADERS:
                lists.append([tuple(pair) for pair in decoder.decode(pieces, raw=True)])
                pieces = b""
    return lists
