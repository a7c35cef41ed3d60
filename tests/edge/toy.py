"""Toys of the edge tests: a Link that records, and routes that show what a route may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dualmode.http.interface import STREAMED, Fields, Pairs, RequestHead
from dualmode.http.routing import Link, PeerIdentity, Sink

OK = Fields((b":status", b"200"), (b"content-type", b"text/plain"))


class RecordingLink:
    """A Link that only notes what is sent."""

    def __init__(self) -> None:
        self.peer = PeerIdentity("127.0.0.1:1", is_tls=False)
        self.responses: list[tuple[int, Fields, bytes]] = []

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        self.responses.append((stream_id, head, body))

    def start_response(self, stream_id: int, head: Fields) -> None:
        raise AssertionError

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        raise AssertionError

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        raise AssertionError

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        raise AssertionError

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        raise AssertionError

    def unsent_bytes(self, stream_id: int) -> int:
        return 0

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        raise AssertionError


class Whole:
    """A route for whole requests that calls a function."""

    def __init__(self, function: Callable[[Link, int, RequestHead, bytes], Sink | None], limit: int = 1 << 20) -> None:
        self.function, self.body_limit = function, limit

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        return self.function(link, stream_id, head, body)

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        link.respond(stream_id, Fields((b":status", b"413")), b"too large")


class Streamed(Whole):
    """The same for streamed requests."""

    def __init__(self, function: Callable[[Link, int, RequestHead, bytes], Sink | None]) -> None:
        super().__init__(function, STREAMED)


class Notes:
    """A Sink that notes what it hears, and acknowledges."""

    def __init__(self, link: Link, stream_id: int) -> None:
        self.link, self.stream_id = link, stream_id
        self.heard: list[Any] = []

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        self.heard.append(data)
        self.link.acknowledge(self.stream_id, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        self.heard.append("end")

    def on_reset(self, error_code: int) -> None:
        self.heard.append(("reset", error_code))

    def on_drained(self) -> None:
        self.heard.append("drained")


class Echo(Notes):
    """A Sink that sends everything back as it comes."""

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        super().on_data(data, flow_bytes)
        self.link.send_data(self.stream_id, data)

    def on_end(self, trailers: Pairs) -> None:
        super().on_end(trailers)
        self.link.end_stream(self.stream_id, Fields(*trailers) if trailers else None)


def echo(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
    link.start_response(stream_id, OK)
    return Echo(link, stream_id)
