"""Does: the request messages of a stream, from body bytes to whoever awaits them, with flow-control credit given back
as they are consumed.

Both carriers put their own splitter in: gRPC frames, or JSON values one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from dualmode import limits
from dualmode.errors import RpcError
from dualmode.http.routing import Link


class Splitter(Protocol):
    """Messages out of a body that comes in pieces."""

    @property
    def buffered_bytes(self) -> int: ...

    def feed(self, data: bytes) -> None: ...

    def whole(self, data: bytes) -> list[bytes]: ...

    def take(self) -> bytes | None: ...

    def check_end(self) -> None: ...


class Inbox:
    """Owned by one stream; `receive` belongs to one task.

    What the client may send ahead is bounded by its window: bytes are credited when the message they belong to is
    taken, or when somebody waits for the rest of that message (which is bounded by the splitter's own limit).
    """

    __slots__ = (
        "_arrived",
        "_has_ended",
        "_held_bytes",
        "_left",
        "_link",
        "_splitter",
        "_stream_id",
        "_taken",
        "at_once",
        "failure",
    )

    def __init__(self, link: Link, stream_id: int, splitter: Splitter) -> None:
        self._link = link
        self._stream_id = stream_id
        self._splitter = splitter
        self._has_ended = False
        self._held_bytes = 0
        self._taken = 0
        self._arrived: trio.Event | None = None
        #: Set when nothing more can be received, ever.
        self.failure: RpcError | None = None
        #: Offered the messages that arrive while `receive` waits; it says how many of them, from the first on, it has
        #: answered. May not raise.
        self.at_once: Callable[[list[bytes]], int] | None = None
        #: Those that it has not, oldest first.
        self._left: list[bytes] = []

    def feed(self, data: bytes, flow_bytes: int) -> None:
        """Body bytes from the wire."""
        if self._offer(data, flow_bytes):
            return
        self._splitter.feed(data)
        self._held_bytes += flow_bytes
        self._wake()

    def _offer(self, data: bytes, flow_bytes: int) -> bool:
        """Gives messages that have come whole to who can answer them at once; False: they go the usual way."""
        if self.at_once is None or self._arrived is None or self._splitter.buffered_bytes:
            return False
        messages = self._splitter.whole(data)
        if not messages:
            return False
        # Credited before all are taken: what may be left is less than one read brings.
        self._link.acknowledge(self._stream_id, flow_bytes)
        answered = self.at_once(messages)
        if answered < len(messages):
            self._left += messages[answered:]
            self._wake()
        return True

    def end(self) -> None:
        """The client has half-closed."""
        self._has_ended = True
        self._wake()

    def fail(self, error: RpcError) -> None:
        """Whoever receives gets this error."""
        self.failure = error
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None

    async def receive(self) -> bytes | None:
        """The next message, None after the last one. Raises `RpcError`."""
        while True:
            if self.failure is not None:
                raise self.failure
            message = self._left.pop(0) if self._left else self._take()
            if message is not None:
                await self._let_others_run()
                return message
            if self._has_ended:
                self._splitter.check_end()
                return None
            self._arrived = trio.Event()
            await self._arrived.wait()

    def _take(self) -> bytes | None:
        try:
            message = self._splitter.take()
        except RpcError as error:
            self.failure = error
            raise
        still_held = 0 if message is None else min(self._held_bytes, self._splitter.buffered_bytes)
        if self._held_bytes > still_held:
            self._link.acknowledge(self._stream_id, self._held_bytes - still_held)
            self._held_bytes = still_held
        return message

    async def _let_others_run(self) -> None:
        """A client that sends many messages ahead must not hold the loop until all are handled."""
        self._taken += 1
        if self._taken % limits.MESSAGES_PER_TURN == 0:
            await trio.lowlevel.checkpoint()
