"""Does: the one door through which the replica waits for the disk.

A sync can go two ways. Through a thread of its own it costs a hand-over there and back (30 to 100 microseconds, more
beside a busy loop, since the thread must win back the interpreter's lock), and the loop goes on meanwhile. Inline it
costs nothing but its own time, and the loop stands still. On a disk that syncs in 0.1 ms inline is better for
everyone; on one that takes 5 ms it would stop watches and reads.

So the door keeps a score: a slow inline sync raises it by much, a quick one lowers it by little, and from a certain
score on syncs go through the thread. One stall (every shared disk has them) does not change the way, two close
together do. What a sync took in the thread says nothing, since waiting for the lock is in it; so then one in a few is
tried inline, and if that was quick the others follow.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import trio

from dualmode import limits

_SLOW_SYNC: Final = 16
_TOO_SLOW: Final = 32


def _not_now(_: object) -> trio.lowlevel.Abort:
    """A cancellation is heard of at the next checkpoint."""
    return trio.lowlevel.Abort.FAILED


class DiskDoor:
    """Runs blocking disk work for the replica, one piece at a time; `observe` is told how long each sync took."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._score = 0
        self._until_probe = 0
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_quick(self) -> bool:
        """Whether the next sync is to be done inline."""
        return self._score < _TOO_SLOW or self._until_probe <= 0

    def sync_inline(self, sync: Callable[[], None]) -> None:
        """Syncs here and now. Raises what `sync` raises."""
        started = time.perf_counter()
        sync()
        seconds = time.perf_counter() - started
        self._observe(seconds)
        self._until_probe = limits.SYNCS_BETWEEN_PROBES
        if seconds >= limits.INLINE_SYNC_SECONDS:
            self._score = min(self._score + _SLOW_SYNC, _TOO_SLOW)
        elif self._score >= _TOO_SLOW:
            self._score = _TOO_SLOW - 1  # a probe: quick again, but one slow sync sends it back
        elif self._score:
            self._score -= 1

    async def sync(self, sync: Callable[[], None]) -> None:
        """Syncs in the thread; the loop goes on meanwhile. Raises what `sync` raises."""
        self._until_probe -= 1
        started = time.perf_counter()
        await self.run(sync)
        self._observe(time.perf_counter() - started)

    async def run(self, function: Callable[[], object]) -> None:
        """Runs any blocking function in the thread. It cannot be cancelled half-way: what it is for is partly done
        already, and its outcome must be known before anything else is. Raises what the function raises."""
        failure: list[BaseException] = []
        token, task = trio.lowlevel.current_trio_token(), trio.lowlevel.current_task()

        def work() -> None:
            try:
                function()
            except BaseException as error:  # handed over to the task that waits
                failure.append(error)
            try:
                token.run_sync_soon(trio.lowlevel.reschedule, task)
            except trio.RunFinishedError:
                return  # the loop was torn down; nobody waits any more

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="disk-door", daemon=True)
            self._thread.start()
        self._work.put(work)
        # What a shielded scope and an event would do, for less: this is waited for with every batch.
        await trio.lowlevel.wait_task_rescheduled(_not_now)
        if failure:
            raise failure[0]

    def close(self) -> None:
        """Ends the thread."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
