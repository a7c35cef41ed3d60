"""Does: lets a task wait for what is told through a callback."""

from __future__ import annotations

import trio

from dualmode.errors import RpcError


class Outcome:
    """Waits for the end of a lease (`Lessor.when_ended`)."""

    __slots__ = ("_event", "_was_revoked")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._was_revoked = False

    def tell(self, was_revoked: bool) -> None:
        """The callback."""
        self._was_revoked = was_revoked
        self._event.set()

    async def wait(self) -> bool:
        """True if the lease was revoked, False if this member has no say in that any more."""
        await self._event.wait()
        return self._was_revoked


class Answer:
    """Waits for the outcome of a proposal; a `Reply`."""

    __slots__ = ("_error", "_event")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._error: RpcError | None = None

    def reply(self, message: bytes) -> None:
        """It was applied."""
        self._event.set()

    def fail(self, error: RpcError) -> None:
        """It was not, or not known to be."""
        self._error = error
        self._event.set()

    async def wait(self) -> None:
        """Raises what it failed with."""
        await self._event.wait()
        if self._error is not None:
            raise self._error
