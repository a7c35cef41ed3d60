"""Decides: stands for `Upstreams` and its one connection where calls are made anew: the test is the member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dualmode.http.interface import Fields
from dualmode.rpc.framing import Unframer, frame
from dualmode.urls import Url

HEAD = ((b"content-type", b"application/grpc"),)


@dataclass
class Asked:
    """A call that has come to the member."""

    head: Fields
    sink: Any
    body: bytes
    is_ended: bool = False
    reset_code: int | None = None

    @property
    def messages(self) -> list[bytes]:
        unframer = Unframer(None, 1 << 30)
        unframer.feed(self.body)
        return list(iter(unframer.take, None))

    def send(self, message: bytes) -> None:
        """A message of an answer; the head goes before the first."""
        if self.sink.http_status == 0:
            self.sink.on_head(200, HEAD)
        data = frame(message)
        self.sink.on_data(data, len(data))

    def end(self, status: int = 0, text: bytes = b"") -> None:
        self.sink.on_end(((b"grpc-status", b"%d" % status), (b"grpc-message", text)))

    def answer(self, message: bytes) -> None:
        self.send(message)
        self.end()

    def fail(self, status: int, text: bytes) -> None:
        """An answer of trailers only."""
        self.sink.on_head(200, (*HEAD, (b"grpc-status", b"%d" % status), (b"grpc-message", text)))
        self.sink.on_end(())

    def lose(self, may_have_left: bool) -> None:
        """The connection breaks."""
        self.sink.on_reset(8, may_have_left, "connection reset")


class FakeUpstreams:
    """Both at once. `asked` are the calls that came, oldest first."""

    scheme = b"http"
    fault = "nobody is there"
    target = Url("http", "127.0.0.1", 2379)

    def __init__(self) -> None:
        self.is_there = True
        self.can_open_stream = True
        self.asked: list[Asked] = []
        self.waiting: list[Callable[[Any], None]] = []
        self.waiting_for_room: list[Callable[[], None]] = []

    @property
    def ready(self) -> FakeUpstreams | None:
        return self if self.is_there else None

    def when_ready(self, call: Callable[[Any], None]) -> None:
        self.waiting.append(call)

    def tell(self) -> None:
        """A round is over."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call(self.ready)

    def when_room(self, call: Callable[[], None]) -> None:
        self.waiting_for_room.append(call)

    def open_stream(self, head: Fields, sink: Any, body: bytes = b"", end: bool = False) -> int:
        assert self.can_open_stream
        self.asked.append(Asked(head, sink, body, end))
        return len(self.asked)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        self.asked[stream_id - 1].body += data

    def end_stream(self, stream_id: int) -> None:
        self.asked[stream_id - 1].is_ended = True

    def reset_stream(self, stream_id: int, error_code: int = 8) -> None:
        self.asked[stream_id - 1].reset_code = error_code

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None: ...

    def unsent_bytes(self, stream_id: int) -> int:
        return 0
