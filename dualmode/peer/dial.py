"""Does: asks a peer for one of its streams, and reads it: a GET over HTTP/1.1 whose answer does not end.

On h11 and a wire of our own rather than through a library for calls: what is read here is the hot path of a cluster.
The head is read by h11, and so are bodies of other kinds; a body in chunks, which every stream is, by `chunked_body`.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import trio

from dualmode import limits
from dualmode.edge.tls import ClientTls
from dualmode.edge.wire import Wire
from dualmode.errors import PeerError
from dualmode.http.interface import Pairs
from dualmode.peer.chunked_body import ChunkedBody
from dualmode.urls import Url


class OpenedStream:
    """The answer to our GET. `status` is looked at before anything is read."""

    def __init__(self, wire: Wire, connection: h11.Connection, response: h11.Response) -> None:
        self._wire = wire
        self._connection = connection
        self._is_over = False
        self._chunked: ChunkedBody | None = None
        self.status = response.status_code
        self.fields: Pairs = tuple((bytes(name).lower(), bytes(value)) for name, value in response.headers)
        if self.status == 200 and self.get(b"transfer-encoding") is not None:  # h11 refuses any but "chunked"
            self._chunked = ChunkedBody()
            #: What has come behind the head.
            self._begin = connection.trailing_data[0]

    def get(self, name: bytes) -> bytes | None:
        """The first value under a lower-case name."""
        return next((value for key, value in self.fields if key == name), None)

    async def read(self) -> bytes:
        """Some bytes of the body, all that have come; b"" at its end. Raises `PeerError` and `OSError`. How long a
        peer may be silent is for the caller to say: a scope for each read would cost more than the read."""
        if self._chunked is not None:
            return await self._read_chunks(self._chunked)
        pieces: list[bytes] = []
        while not self._is_over:
            event = _next(self._connection)
            if type(event) is h11.Data:
                pieces.append(bytes(event.data))
            elif event is not h11.NEED_DATA:
                self._is_over = True
            elif pieces:
                break
            else:
                await _feed(self._wire, self._connection)
        return b"".join(pieces)

    async def _read_chunks(self, body: ChunkedBody) -> bytes:
        data, self._begin = body.feed(self._begin), b""
        while not data and not body.is_over:
            received = await self._wire.receive()
            if received is None:
                raise PeerError("closed in the middle of its answer")
            data = body.feed(received)
        return data

    async def read_all(self) -> bytes:
        """A short body, as a refusal has it. Raises `trio.TooSlowError` too."""
        body = b""
        with trio.fail_after(limits.PEER_READ_SECONDS):
            while len(body) < limits.PEER_BODY_BYTES and (piece := await self.read()):
                body += piece
        return body


@asynccontextmanager
async def opened_stream(
    target: Url,
    tls: ClientTls | None,
    path: str,
    fields: list[tuple[str, str]],
    start_task: Callable[..., Any],
    read_seconds: float,
) -> AsyncIterator[OpenedStream]:
    """Dials, asks, and gives the answer's head, which has to come within `read_seconds`. Raises `PeerError`, `OSError`
    and `trio.TooSlowError`."""
    with trio.fail_after(limits.PEER_DIAL_SECONDS):
        stream = await trio.open_tcp_stream(target.host, target.port)
    sock = socket.socket(fileno=stream.socket.detach())
    wire = Wire(sock, start_task, lambda: None)
    try:
        connection = h11.Connection(h11.CLIENT)
        with trio.fail_after(read_seconds):
            if target.is_tls:
                if tls is None:
                    raise PeerError(f"{target}: https needs TLS settings")
                rest = await _shake_hands(wire, tls, target)
                if rest:
                    connection.receive_data(rest)
            request = h11.Request(method="GET", target=path, headers=[("host", target.address), *fields])
            wire.send(connection.send(request) or b"")
            wire.send(connection.send(h11.EndOfMessage()) or b"")
            response = await _response(wire, connection)
        yield OpenedStream(wire, connection, response)
    finally:
        wire.abort()


async def _shake_hands(wire: Wire, tls: ClientTls, target: Url) -> bytes:
    session = tls.session(trio.current_time(), target.host)
    wire.start_tls(session, is_client=True)
    data: bytes | None = b""
    while not session.is_established:
        data = await wire.receive()
        if data is None:
            raise PeerError(f"{target}: closed during the TLS handshake")
    return data or b""


async def _response(wire: Wire, connection: h11.Connection) -> h11.Response:
    while True:
        event = _next(connection)
        if isinstance(event, h11.Response):
            return event
        if event is not h11.NEED_DATA and not isinstance(event, h11.InformationalResponse):
            raise PeerError("closed before it answered")
        if event is h11.NEED_DATA:
            await _feed(wire, connection)


def _next(connection: h11.Connection) -> Any:
    try:
        return connection.next_event()
    except h11.RemoteProtocolError as error:
        raise PeerError(f"not HTTP/1.1: {error}") from None


async def _feed(wire: Wire, connection: h11.Connection) -> None:
    data = await wire.receive()
    while data == b"":  # TLS has given nothing yet
        data = await wire.receive()
    try:
        connection.receive_data(data or b"")
    except h11.RemoteProtocolError as error:
        raise PeerError(f"not HTTP/1.1: {error}") from None
