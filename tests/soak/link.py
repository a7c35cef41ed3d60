"""Does: a client's connection that forgets what it is sent, and may stop to read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from dualmode.http.interface import ErrorCode, Fields, Pairs, RequestHead
from dualmode.http.routing import PeerIdentity, Route, Sink
from dualmode.rpc.framing import frame

_HEADERS: Pairs = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


class Stream:
    """One streaming call over gRPC: the Link of its route, and the client at the other end."""

    def __init__(self, nursery: trio.Nursery, route: Route, path: bytes) -> None:
        self.peer = PeerIdentity("192.0.2.1:1", is_tls=False)
        self.received_bytes = 0
        self.is_stalled = False
        self.is_over = False
        self._nursery = nursery
        self._unsent_bytes = 0
        head = RequestHead(b"POST", b"http", b"localhost", path, _HEADERS)
        self._sink: Sink | None = route.serve(self, 1, head, b"")

    # --- The client ------------------------------------------------------------------------------------------

    def send(self, message: bytes) -> None:
        if self._sink is not None:
            data = frame(message)
            self._sink.on_data(data, len(data))

    def read_on(self) -> None:
        self.is_stalled = False
        self._unsent_bytes = 0
        if self._sink is not None:
            self._sink.on_drained()

    def hang_up(self) -> None:
        if self._sink is not None:
            self._sink.on_reset(ErrorCode.CANCEL)
            self._sink = None

    # --- routing.Link ----------------------------------------------------------------------------------------

    def _took(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self.is_stalled:
            self._unsent_bytes += len(data)

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        self._took(body)
        self._end()

    def start_response(self, stream_id: int, head: Fields) -> None:
        pass

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        self._took(data)
        if end:
            self._end()

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        self._end()

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self._sink = None

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        pass

    def unsent_bytes(self, stream_id: int) -> int:
        return self._unsent_bytes

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        self._nursery.start_soon(lambda: function(*args))
