"""Does: the Watch call: reads requests from a stream, hands them to the hub, and keeps the hub's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from dualmode import limits
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.leader_streams import LeaderStreams
from dualmode.member.watch.hub import WatchHub
from dualmode.member.watch.watcher import WatchStream
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.decode import decode
from dualmode.rpc.signal import Signal

#: Raises `RpcError` unless the caller may read from a key to a range end (both as in the request).
Authorize = Callable[[ServerStream, bytes, bytes], None]


def allow_everyone(stream: ServerStream, key: bytes, range_end: bytes) -> None:
    """The rule while authentication is off."""


class WatchService:
    """The handler of `etcdserverpb.Watch/Watch`, and the one task (`run`) that serves those who are behind."""

    def __init__(self, hub: WatchHub, leader_streams: LeaderStreams, authorize: Authorize = allow_everyone) -> None:
        self.hub = hub
        self._leader_streams = leader_streams
        self._authorize = authorize
        self._wake = trio.Event()
        hub.wake = self._set_wake

    def _set_wake(self) -> None:
        self._wake.set()

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [Method("etcdserverpb.Watch", "Watch", Kind.BIDI, pb.WatchRequest, pb.WatchResponse, self.watch)]

    # --- Tasks -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Catches watchers up, slice by slice, and notifies of progress; works until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            hub = self.hub
            while True:
                while hub.has_catching_up:
                    hub.catch_up()
                    await trio.lowlevel.checkpoint()
                self._wake = trio.Event()
                await self._wake.wait()

    async def _tick(self) -> None:
        while True:
            await trio.sleep(limits.TICK_SECONDS)
            self.hub.tick(trio.current_time())

    # --- The call ----------------------------------------------------------------------------------------------

    async def watch(self, stream: ServerStream) -> None:
        """Serves one stream until its client is gone; a client that has half-closed still hears of events."""
        watch_stream = self.hub.open_stream(stream)
        changed = Signal()

        def on_drained() -> None:
            changed.set()
            self.hub.drained(watch_stream)

        stream.on_drained(on_drained)
        stream.on_gone(changed.set)
        try:
            with self._leader_streams.holding(stream):
                while (message := await stream.receive()) is not None:
                    self._handle(watch_stream, message)
                    # A client that asks and does not read the answers is not read from either.
                    while stream.is_open and stream.unsent_bytes > limits.WATCH_STREAM_UNSENT_BYTES:
                        await changed.wait()
                while stream.is_open:
                    await changed.wait()
        finally:
            self.hub.close_stream(watch_stream)

    def _handle(self, watch_stream: WatchStream, message: bytes) -> None:
        request = decode(etcdserverpb.WatchRequest, message)
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            self._create(watch_stream, request.create_request)
        elif kind == "cancel_request":
            self.hub.cancel(watch_stream, request.cancel_request.watch_id)
        elif kind == "progress_request":
            self.hub.request_progress(watch_stream)

    def _create(self, watch_stream: WatchStream, request: Any) -> None:
        try:
            # An empty key means the lowest one, and a range end of one zero byte everything from the key on: the
            # permission is checked for what is watched, before anything else is looked at.
            self._authorize(watch_stream.stream, request.key or b"\0", request.range_end)
        except RpcError as error:
            self.hub.refuse(watch_stream, str(error.forget_raising()))
        else:
            self.hub.create(watch_stream, request, trio.current_time())
