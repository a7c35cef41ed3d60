"""Does: calls to one server, over a connection that is made when it is needed and made again when it was lost.

`async with open_channel(url) as channel:` then `await channel.unary(path, message)`, from as many tasks as you like.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from dualmode import limits
from dualmode.client.calls import ClientStream, UnaryCall
from dualmode.client.connection import UpstreamConnection, connect
from dualmode.client.status import CallError, lost
from dualmode.edge.outbox import Outbox
from dualmode.edge.tls import ClientTls, ClientTlsSettings
from dualmode.errors import Code, PeerError
from dualmode.http.interface import Fields, HttpClientConnection
from dualmode.http.native import ClientConnection
from dualmode.urls import Url, parse_address

Metadata = Sequence[tuple[str, str]]
_USER_AGENT = b"dualmode"


class Channel:
    """Calls to one server. Made by `open_channel`."""

    def __init__(
        self,
        target: Url,
        tls: ClientTls | None,
        make_http: Callable[[], HttpClientConnection],
        outbox: Outbox,
        nursery: trio.Nursery,
    ) -> None:
        self.target = target
        self._tls = tls
        self._make_http = make_http
        self._outbox = outbox
        self._nursery = nursery
        self._connection: UpstreamConnection | None = None
        self._connecting = trio.Lock()
        self._heads: dict[tuple[str, tuple[tuple[str, str], ...], float | None], Fields] = {}

    async def unary(self, path: str, message: bytes, metadata: Metadata = (), timeout: float | None = None) -> bytes:
        """One request, one answer. `timeout` is in seconds and covers connecting; the server is told of it too.

        Raises CallError; its `may_have_left` is False when the server provably has not seen the request.
        """
        deadline = math.inf if timeout is None else timeout
        call: UnaryCall | None = None
        with trio.move_on_after(deadline):
            connection = await self._ready()
            call = UnaryCall(connection)
            call.start(self._head(path, metadata, timeout), message)
            return await call.result()
        raise CallError(Code.DEADLINE_EXCEEDED, "context deadline exceeded", may_have_left=call is not None)

    async def stream(self, path: str, metadata: Metadata = (), timeout: float | None = None) -> ClientStream:
        """Opens a streaming call. `timeout` in seconds is told to the server, which ends the call. Raises CallError."""
        call = ClientStream(await self._ready())
        call.start(self._head(path, metadata, timeout))
        return call

    async def connection(self) -> UpstreamConnection:
        """The connection, made now if there is none. Raises CallError UNAVAILABLE."""
        current = self._connection
        if current is not None and current.is_open:
            return current
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                try:
                    self._connection = await connect(
                        self.target, self._tls, self._make_http, self._outbox, self._nursery.start_soon
                    )
                except PeerError as error:
                    raise lost(f"connection error: {error}", may_have_left=False) from error
            return self._connection

    def close(self) -> None:
        """Ends the connection, with the calls on it."""
        if self._connection is not None:
            self._connection.close()
            self._outbox.flush()
            self._connection.cut()

    async def _ready(self) -> UpstreamConnection:
        """A connection on which a stream may be opened now."""
        while True:
            connection = await self.connection()
            if connection.can_open_stream:
                return connection
            room = trio.Event()
            connection.when_room(room.set)
            await room.wait()

    def _head(self, path: str, metadata: Metadata, timeout: float | None) -> Fields:
        """The request head. The same one is kept and used again: its HPACK block is made once."""
        key = (path, tuple(metadata), timeout)
        known = self._heads.get(key)
        if known is not None:
            return known
        if len(self._heads) >= limits.HTTP2_REMEMBERED_BLOCKS:
            self._heads.clear()
        pairs = [
            (b":method", b"POST"),
            (b":scheme", b"https" if self.target.is_tls else b"http"),
            (b":path", path.encode()),
            (b":authority", authority(self.target)),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", _USER_AGENT),
        ]
        if timeout is not None:
            pairs.append((b"grpc-timeout", timeout_text(timeout)))
        pairs += [(name.lower().encode(), value.encode()) for name, value in metadata]
        made = self._heads[key] = Fields(*pairs)
        return made


def authority(target: Url) -> bytes:
    """`:authority` for a server; a unix socket has no host, grpc says localhost there."""
    return b"localhost" if target.is_unix else target.address.encode()


def timeout_text(seconds: float) -> bytes:
    """`grpc-timeout`: at most eight digits and a unit. Rounded up, so that the server does not give up before us."""
    for scale, unit in ((1_000_000, b"u"), (1000, b"m"), (1, b"S")):
        count = math.ceil(max(seconds, 0) * scale)
        if count < 100_000_000:
            return b"%d%s" % (count, unit)
    return b"99999999S"


@asynccontextmanager
async def open_channel(
    url: str,
    tls: ClientTlsSettings | None = None,
    *,
    make_http: Callable[[], HttpClientConnection] = ClientConnection,
    outbox: Outbox | None = None,
) -> AsyncIterator[Channel]:
    """A Channel to `url` (http, https, unix, unixs). Connects at the first call. Raises StartError for a bad URL or
    certificate files that cannot be used."""
    target = parse_address(url)
    client_tls = ClientTls(tls or ClientTlsSettings()) if target.is_tls else None
    outbox = outbox or Outbox()
    async with trio.open_nursery() as nursery:
        outbox.start(nursery)
        channel = Channel(target, client_tls, make_http, outbox, nursery)
        try:
            yield channel
        finally:
            channel.close()
            nursery.cancel_scope.cancel()
