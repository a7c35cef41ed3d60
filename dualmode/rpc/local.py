"""Does: lets code of this process call what answers through a `Reply`, and await the outcome."""

from __future__ import annotations

import trio

from dualmode.errors import RpcError


class AwaitableReply:
    """A `Reply` whose outcome a task awaits."""

    __slots__ = ("_done", "_outcome")

    def __init__(self) -> None:
        self._done = trio.Event()
        self._outcome: bytes | RpcError = b""

    def reply(self, message: bytes) -> None:
        """See calls.Reply."""
        self._outcome = message
        self._done.set()

    def fail(self, error: RpcError) -> None:
        """See calls.Reply."""
        self._outcome = error
        self._done.set()

    async def result(self) -> bytes:
        """The answer, once it is there; raises the `RpcError` the call failed with."""
        await self._done.wait()
        if isinstance(self._outcome, RpcError):
            raise self._outcome
        return self._outcome
