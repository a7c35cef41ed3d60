"""Decides: a Link that keeps in memory what it is told to send, and a client's view of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import PeerIdentity, Sink
from dualmode.rpc.framing import Unframer

_NO_LIMIT = 1 << 30


class Answer:
    """What one stream was sent."""

    def __init__(self) -> None:
        self.head: Fields | None = None
        self.body = b""
        self.trailers: Fields | None = None
        self.is_ended = False
        self.reset_code: int | None = None

    def field(self, name: bytes) -> bytes | None:
        """From the head, else from the trailers."""
        found = self.head.get(name) if self.head is not None else None
        return found if found is not None or self.trailers is None else self.trailers.get(name)

    @property
    def grpc_status(self) -> tuple[int, str]:
        status = self.field(b"grpc-status")
        assert status is not None, "the call has not ended"
        return int(status), (self.field(b"grpc-message") or b"").decode()

    @property
    def messages(self) -> list[bytes]:
        """The body as gRPC frames."""
        unframer = Unframer(None, _NO_LIMIT)
        unframer.feed(self.body)
        messages = []
        while (message := unframer.take()) is not None:
            messages.append(message)
        unframer.check_end()
        return messages


class FakeLink:
    """Tasks run in the nursery given; without one a route that spawns fails the test."""

    def __init__(self, nursery: trio.Nursery | None = None, peer: PeerIdentity | None = None) -> None:
        self.peer = peer or PeerIdentity("192.0.2.1:1000", is_tls=False)
        self.answers: dict[int, Answer] = {}
        self.acknowledged_bytes = 0
        #: What `unsent_bytes` says.
        self.unsent = 0
        self._nursery = nursery

    def answer(self, stream_id: int = 1) -> Answer:
        return self.answers.setdefault(stream_id, Answer())

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        answer = self.answer(stream_id)
        assert answer.head is None, "a second response"
        answer.head, answer.body, answer.trailers, answer.is_ended = head, body, trailers, True

    def start_response(self, stream_id: int, head: Fields) -> None:
        assert self.answer(stream_id).head is None, "a second response"
        self.answer(stream_id).head = head

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        answer = self.answer(stream_id)
        assert answer.head is not None, "data before the head"
        assert not answer.is_ended, "data after the end"
        answer.body += data
        answer.is_ended = end

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        answer = self.answer(stream_id)
        assert answer.head is not None, "an end before the head"
        assert not answer.is_ended, "a second end"
        answer.trailers, answer.is_ended = trailers, True

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.answer(stream_id).reset_code = error_code

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        self.acknowledged_bytes += flow_bytes

    def unsent_bytes(self, stream_id: int) -> int:
        return self.unsent

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        assert self._nursery is not None, "a task where none should be"
        self._nursery.start_soon(function, *args)


def grpc_head(path: bytes, *fields: tuple[bytes, bytes], method: bytes = b"POST") -> RequestHead:
    pairs: Pairs = ((b"content-type", b"application/grpc"), *fields)
    return RequestHead(method, b"http", b"localhost", path, pairs)


def present(sink: Sink | None) -> Sink:
    """The sink of a route that must give one."""
    assert sink is not None
    return sink
