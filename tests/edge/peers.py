"""Clients of the edge tests, foreign on purpose: an HTTP/2 client over the h2 library, and raw HTTP/1.1."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import trio

from dualmode.edge.address import places
from dualmode.edge.listener import bind_all
from dualmode.edge.server import Server, ServerOptions
from dualmode.http.engines import ENGINES
from dualmode.http.native import Http2Options, ServerConnection
from dualmode.http.routing import Mux

#: The HTTP/2 engine of servers that ask for none; a fixture changes it.
engine = "native"


@asynccontextmanager
async def serving(
    mux: Mux, *urls: str, options: ServerOptions | None = None, close: bool = True
) -> AsyncIterator[tuple[Server, str]]:
    """A running server and the address of its first listener."""
    listeners = bind_all(places(urls or ["http://127.0.0.1:0"]))
    options = options or ServerOptions()
    if options.http2 is ServerConnection:
        options = replace(options, http2=lambda classify: ENGINES[engine].server(classify, Http2Options()))
    server = Server(listeners, mux, options)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            try:
                yield server, listeners[0].address
            finally:
                if close:
                    await server.close(drain_seconds=0)


async def until(condition: Callable[[], bool]) -> None:
    """Lets the other tasks run until something has come true; the test's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for is the code under test, it sets no event
        await trio.sleep(0.001)


async def dial(address: str) -> trio.SocketStream:
    """TCP to host:port, or a unix socket."""
    if "/" in address:
        return await trio.open_unix_socket(address)
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def dial_tls(address: str, context: ssl.SSLContext, alpn: Sequence[str] = ()) -> trio.SSLStream[Any]:
    """TLS, handshake done."""
    if alpn:
        context.set_alpn_protocols(list(alpn))
    stream = trio.SSLStream(await dial(address), context, server_hostname="localhost", https_compatible=True)
    await stream.do_handshake()
    return stream


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """To the end."""
    received = b""
    while data := await stream.receive_some(65536):
        received += data
    return received


class H2Peer:
    """An HTTP/2 client over the h2 library. Events are kept per stream; `pump` reads once."""

    def __init__(self, stream: trio.abc.Stream, window_bytes: int = 65535, auto_credit: bool = True) -> None:
        self.stream, self.auto_credit = stream, auto_credit
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self.h2.initiate_connection()
        if window_bytes != 65535:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        self.events: list[Any] = []
        self.is_ended = False
        self._rest = b""

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.stream.send_all(data)

    async def pump(self) -> None:
        try:
            data = await self.stream.receive_some(65536)
        except trio.BrokenResourceError:
            data = b""
        if not data:
            self.is_ended = True
            return
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= (size := 9 + int.from_bytes(self._rest[:3], "big")):
            frame, self._rest = self._rest[:size], self._rest[size:]
            for event in self.h2.receive_data(frame):
                self._on_event(event)
        await self.flush()

    def _on_event(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, h2.events.DataReceived) and self.auto_credit:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if isinstance(event, h2.events.ConnectionTerminated):
            # h2 takes GOAWAY for the end; it is only the beginning of it (RFC 9113 section 6.8).
            self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN

    def open(self, path: bytes, *fields: tuple[bytes, bytes], end: bool = True) -> int:
        stream_id: int = self.h2.get_next_available_stream_id()
        pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost")]
        self.h2.send_headers(stream_id, [*pseudo, *fields], end_stream=end)
        return stream_id

    async def request(self, path: bytes, body: bytes = b"", *fields: tuple[bytes, bytes]) -> tuple[int, bytes]:
        stream_id = self.open(path, *fields, end=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)
        await self.flush()
        return await self.answer(stream_id)

    async def answer(self, stream_id: int) -> tuple[int, bytes]:
        """Status and body of a stream that ends; -1 and the code when it is reset, -2 when the connection went."""
        while not self.of(stream_id, h2.events.StreamEnded, h2.events.StreamReset):
            if self.is_ended:
                return -2, b""
            await self.pump()
        if self.of(stream_id, h2.events.StreamEnded):  # a reset with NO_ERROR may follow (RFC 9113 section 8.1)
            return self.status(stream_id), self.body(stream_id)
        (reset,) = self.of(stream_id, h2.events.StreamReset)
        return -1, str(int(reset.error_code)).encode()

    def of(self, stream_id: int, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds) and event.stream_id == stream_id]

    def status(self, stream_id: int) -> int:
        (response,) = self.of(stream_id, h2.events.ResponseReceived)
        return int(dict(response.headers)[b":status"])

    def body(self, stream_id: int) -> bytes:
        return b"".join(event.data for event in self.of(stream_id, h2.events.DataReceived))


async def get(stream: trio.abc.Stream, path: str, body: bytes = b"", extra: str = "") -> bytes:
    """One HTTP/1.1 request with `connection: close`; the whole answer."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    await stream.send_all(head.encode() + body)
    return await read_all(stream)
