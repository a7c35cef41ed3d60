"""Does: calls of the proxy's own to the endpoint in use, whichever that is just then. Nobody's token goes with them."""

from __future__ import annotations

import math

import trio

from dualmode.client.calls import ClientStream, UnaryCall
from dualmode.client.channel import Metadata
from dualmode.client.connection import UpstreamConnection
from dualmode.client.status import CallError
from dualmode.errors import Code
from dualmode.http.interface import Fields
from dualmode.proxy.member_finder import request_head
from dualmode.proxy.upstreams import Upstreams


class EndpointCalls:
    """What a Channel is to one server, for the endpoints of a proxy: `client.etcd.Calls`."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def unary(self, path: str, message: bytes, metadata: Metadata = (), timeout: float | None = None) -> bytes:
        """See Channel.unary."""
        call: UnaryCall | None = None
        with trio.move_on_after(math.inf if timeout is None else timeout):
            connection = await ready_connection(self._upstreams)
            call = UnaryCall(connection)
            call.start(self._head(connection, path, metadata), message)
            return await call.result()
        raise CallError(Code.DEADLINE_EXCEEDED, "context deadline exceeded", may_have_left=call is not None)

    async def stream(self, path: str, metadata: Metadata = (), timeout: float | None = None) -> ClientStream:
        """See Channel.stream; the time covers the opening only."""
        with trio.move_on_after(math.inf if timeout is None else timeout):
            connection = await ready_connection(self._upstreams)
            call = ClientStream(connection)
            call.start(self._head(connection, path, metadata))
            return call
        raise CallError(Code.DEADLINE_EXCEEDED, "context deadline exceeded", may_have_left=False)

    def _head(self, connection: UpstreamConnection, path: str, metadata: Metadata) -> Fields:
        head = request_head(connection.target, self._upstreams.scheme, path.encode())
        return head.plus(*((name.encode(), value.encode()) for name, value in metadata))


async def ready_connection(upstreams: Upstreams) -> UpstreamConnection:
    """A connection on which a stream may be opened now. Raises CallError UNAVAILABLE while no endpoint can be
    reached."""
    while True:
        connection = upstreams.ready
        if connection is None:
            await _found(upstreams)
        elif connection.can_open_stream:
            return connection
        else:
            room = trio.Event()
            connection.when_room(room.set)
            await room.wait()


async def _found(upstreams: Upstreams) -> None:
    found = trio.Event()
    outcome: list[UpstreamConnection | None] = []

    def tell(connection: UpstreamConnection | None) -> None:
        outcome.append(connection)
        found.set()

    upstreams.when_ready(tell)
    await found.wait()
    if outcome[0] is None:
        raise CallError(Code.UNAVAILABLE, f"no endpoint is available: {upstreams.fault}", may_have_left=False)
