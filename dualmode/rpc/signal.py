"""Does: an event that can be waited for again and again: "look once more", between a callback and its task."""

from __future__ import annotations

import trio


class Signal:
    """Whoever waits when it is set goes on; who comes later waits for the next time. Setting it for nobody is free."""

    __slots__ = ("_event", "_waiting")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._waiting = 0

    def set(self) -> None:
        """Wakes everybody who waits now."""
        if self._waiting:
            self._event.set()
            self._event = trio.Event()

    async def wait(self) -> None:
        """Returns once it is set after this call."""
        self._waiting += 1
        try:
            await self._event.wait()
        finally:
            self._waiting -= 1
