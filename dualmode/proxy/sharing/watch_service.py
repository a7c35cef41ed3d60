"""Does: the proxy's own Watch call: clients' streams on one side, one upstream stream for each user on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import trio
from google.protobuf.message import DecodeError

from dualmode import limits
from dualmode.api import etcdserverpb
from dualmode.client.calls import ClientStream as UpstreamCall
from dualmode.client.connection import UpstreamConnection
from dualmode.client.status import CallError
from dualmode.errors import Code, RpcError
from dualmode.http.interface import Fields, RequestHead
from dualmode.proxy import headers
from dualmode.proxy.endpoint_calls import ready_connection
from dualmode.proxy.member_finder import request_head
from dualmode.proxy.sharing.shared_watches import SharedWatches
from dualmode.proxy.sharing.watches import ClientStream
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.decode import decode
from dualmode.rpc.signal import Signal

_PATH: Final = b"/etcdserverpb.Watch/Watch"
#: Metadata that makes two callers different: who they are, and what they want to be told.
_IDENTIFYING: Final = ("token", "authorization", "hasleader", "client-api-version")
#: Made for a call of the JSON gateway, so that a member takes it for what it is.
_GATEWAY: Final = headers.GATEWAY_MARK[0].decode()
Identity = tuple[str | None, ...]


class WatchRewriting(Protocol):
    """What changes messages on their way. Both change them in place; an `RpcError` ends the stream."""

    def on_create(self, create_request: Any) -> None: ...

    def on_response(self, response: Any) -> None: ...


class SharedWatchService:
    """The handler of `etcdserverpb.Watch/Watch` in a proxy. `run` owns the upstream streams. `inside` rewrites what is
    asked for, and each answer of a member once, whoever it is for."""

    def __init__(self, upstreams: Upstreams, inside: WatchRewriting | None = None) -> None:
        self._upstreams = upstreams
        self._inside = inside
        self._shared: dict[Identity, SharedStream] = {}
        #: Streams of one client each, and where each client is.
        self._private: set[SharedStream] = set()
        self._seats: dict[ClientStream, SharedStream] = {}
        self._nursery: trio.Nursery | None = None

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [Method("etcdserverpb.Watch", "Watch", Kind.BIDI, pb.WatchRequest, pb.WatchResponse, self.watch)]

    def counts(self) -> tuple[int, int]:
        """(watches of clients, watches at the members), for the metrics."""
        shared = [one.watches for one in (*self._shared.values(), *self._private)]
        return sum(one.client_watches for one in shared), sum(one.upstream_watches for one in shared)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Works until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(limits.PROXY_ASK_AGAIN_SECONDS)
                for shared in (*self._shared.values(), *self._private):
                    shared.watches.ask_again()

    async def watch(self, stream: ServerStream) -> None:
        """Serves one client until it is gone. Raises UNAVAILABLE while there is no endpoint."""
        shared = await self._for(stream)
        client = shared.watches.open(stream)
        self._seats[client] = shared
        changed = Signal()

        def on_drained() -> None:
            changed.set()
            self._seats[client].watches.drained(client)

        stream.on_drained(on_drained)
        stream.on_gone(changed.set)
        try:
            while (message := await stream.receive()) is not None:
                self._handle(self._seats[client].watches, client, message)
                await self._seats[client].wait_for_room()
                # A client that asks and does not read the answers is not read from either.
                while stream.is_open and stream.unsent_bytes > limits.WATCH_STREAM_UNSENT_BYTES:
                    await changed.wait()
            while stream.is_open:
                await changed.wait()
        finally:
            self._seats.pop(client).leave(client)

    def _move(self, client: ClientStream) -> None:
        """To a stream of its own, on the same connection. Where there is no room for one it stays."""
        shared = self._seats.get(client)
        if shared is None or not shared.connection.can_open_stream:
            return
        assert self._nursery is not None, "the service runs"
        private = SharedStream(shared.connection, shared.head, lambda: self._private.discard(private), self._on_message)
        self._private.add(private)
        self._seats[client] = private
        shared.watches.release(client)
        private.watches.adopt(client)
        self._nursery.start_soon(private.run)
        if shared.watches.is_empty:
            shared.end()

    def _handle(self, watches: SharedWatches, client: ClientStream, message: bytes) -> None:
        request = decode(etcdserverpb.WatchRequest, message)
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            if self._inside is not None:
                self._inside.on_create(request.create_request)
            watches.create(client, request.create_request)
        elif kind == "cancel_request":
            watches.cancel(client, request.cancel_request.watch_id)
        elif kind == "progress_request":
            watches.request_progress(client)

    async def _for(self, stream: ServerStream) -> SharedStream:
        metadata = stream.metadata
        gateway = headers.GATEWAY_MARK[1].decode() if metadata.is_gateway else None
        identity: Identity = (*(metadata.get(name) for name in _IDENTIFYING), gateway)
        shared = self._shared.get(identity)
        if shared is None or shared.is_over:
            connection = await ready_connection(self._upstreams)
            shared = self._shared.get(identity)  # somebody may have been quicker
            if shared is None or shared.is_over:
                shared = self._open(identity, connection)
        return shared

    def shared_now(self, identity: Identity) -> SharedStream | None:
        """The stream of this identity, opened if that needs no waiting."""
        shared = self._shared.get(identity)
        if shared is not None and not shared.is_over:
            return shared
        connection = self._upstreams.ready
        if connection is None or not connection.can_open_stream:
            return None
        return self._open(identity, connection)

    def _open(self, identity: Identity, connection: UpstreamConnection) -> SharedStream:
        assert self._nursery is not None, "the service runs"
        more = [
            (name.encode(), value.encode("utf-8", "surrogateescape"))
            for name, value in zip((*_IDENTIFYING, _GATEWAY), identity, strict=True)
            if value is not None
        ]
        head = request_head(connection.target, self._upstreams.scheme, _PATH)
        shared = SharedStream(connection, head.plus(*more), lambda: self._forget(identity, shared), self._on_message)
        shared.watches.on_future = self._move
        self._shared[identity] = shared
        self._nursery.start_soon(shared.run)
        return shared

    @property
    def _on_message(self) -> Callable[[Any], None] | None:
        return self._inside.on_response if self._inside is not None else None

    def _forget(self, identity: Identity, shared: SharedStream) -> None:
        if self._shared.get(identity) is shared:
            del self._shared[identity]


class SharedStream:
    """One user's upstream stream, and the watches on it."""

    def __init__(
        self,
        connection: UpstreamConnection,
        head: Fields,
        on_end: Callable[[], None],
        on_message: Callable[[Any], None] | None,
    ) -> None:
        self.connection = connection
        self.head = head
        self._call = UpstreamCall(connection)
        self._call.start(head)
        self._on_end = on_end
        self._unsent: list[bytes] = []
        self._wake = trio.Event()
        self._room = trio.Event()
        self.is_over = False
        self.watches = SharedWatches(self._queue, on_message)

    def _queue(self, request: bytes) -> None:
        self._unsent.append(request)
        self._wake.set()

    async def wait_for_room(self) -> None:
        """A client that asks for much waits until what it asked for has gone out."""
        while len(self._unsent) > limits.PROXY_WATCH_REQUESTS and not self.is_over:
            self._room = trio.Event()
            await self._room.wait()

    def leave(self, client: ClientStream) -> None:
        """A client is gone; the stream ends with the last one."""
        self.watches.close(client)
        if self.watches.is_empty:
            self.end()

    def end(self) -> None:
        """Nobody is left."""
        self._finish(RpcError(Code.CANCELLED, "nobody watches any more"))
        self._call.cancel()

    async def run(self) -> None:
        """Reads and writes the upstream stream until it is over, however that comes."""
        error = RpcError(Code.UNAVAILABLE, "the endpoint has ended the watch stream")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                try:
                    while (message := await self._call.receive()) is not None:
                        self.watches.on_response(message)
                except RpcError as fault:  # of the member, or a message that must not pass
                    error = RpcError(fault.code, fault.message)
                except DecodeError as fault:
                    error = RpcError(Code.INTERNAL, f"the endpoint sent what is no watch response: {fault}")
                nursery.cancel_scope.cancel()
        finally:
            self._finish(error)
            self._call.cancel()

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._unsent:
                    requests, self._unsent = self._unsent, []
                    for request in requests:
                        await self._call.send(request)
                    self._room.set()
        except CallError:
            return  # the reader hears of it too

    def _finish(self, error: RpcError) -> None:
        if not self.is_over:
            self.is_over = True
            self._room.set()
            self._on_end()
            self.watches.lost(error)


def identity_of(head: RequestHead) -> Identity:
    """Who makes a call, by its head."""
    values = [head.get(name.encode()) for name in _IDENTIFYING]
    return (*(value if value is None else value.decode("utf-8", "surrogateescape") for value in values), None)
