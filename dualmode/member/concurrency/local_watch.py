"""Does: a watch of this process itself, on the hub that serves all watch calls."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, cast

import trio

from dualmode import errors
from dualmode.api import etcdserverpb
from dualmode.errors import Code, RpcError
from dualmode.member.watch.hub import WatchHub
from dualmode.rpc.calls import ServerStream
from dualmode.rpc.framing import unframed


class _Queue:
    """What the hub needs of a stream: it takes messages, and says how much of them nobody has taken yet."""

    def __init__(self) -> None:
        self.messages: deque[bytes] = deque()
        self.unsent_bytes = 0
        self.has_more = trio.Event()

    def send_frames(self, data: bytes, count: int) -> None:
        """See calls.ServerStream."""
        for message in unframed(data):
            self.send_now(message)

    def send_now(self, message: bytes) -> None:
        """See calls.ServerStream."""
        self.messages.append(message)
        self.unsent_bytes += len(message)
        self.has_more.set()

    async def take(self) -> bytes:
        """The next message."""
        while not self.messages:
            self.has_more = trio.Event()
            await self.has_more.wait()
        message = self.messages.popleft()
        self.unsent_bytes -= len(message)
        return message


class LocalWatch:
    """One watch, which lives as long as its `with` block. The caller has been found to be allowed to read the keys."""

    def __init__(self, hub: WatchHub, request: Any) -> None:
        self._hub = hub
        self._request = request
        self._queue = _Queue()

    def __enter__(self) -> LocalWatch:
        self._stream = self._hub.open_stream(cast(ServerStream, self._queue))
        self._hub.create(self._stream, self._request, trio.current_time())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hub.close_stream(self._stream)

    async def next(self) -> Any:
        """The next WatchResponse with events. Raises COMPACTED, or what else the watch was canceled for."""
        while True:
            response = etcdserverpb.WatchResponse.FromString(await self._queue.take())
            self._hub.drained(self._stream)
            if response.compact_revision:
                raise errors.COMPACTED
            if response.canceled:
                raise RpcError(Code.UNKNOWN, response.cancel_reason)
            if response.events:
                return response
