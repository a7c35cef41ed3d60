"""Does: gathers the connections that have something to send, and sends each one's bytes in one write.

Answers are made in two places: while a read is handled, and by whoever replies later (an apply pass that answers parked
calls on many connections, a task of a stream). A write per answer would cost a system call each. So a connection that
has output is only marked here, and everything marked leaves together:

* at the end of a read: the connection loop gathers (`with outbox:`) while it handles the read;
* at the end of an apply pass: the same, around all its replies;
* else at the end of the scheduler turn: the first mark wakes a task of the outbox, which runs when the tasks that are
  due in this turn have run. So a task may send a hundred messages and awaits nothing for them to leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import trio
from outcome import Value


class Flushable(Protocol):
    """A connection, as the outbox sees it."""

    is_dirty: bool

    def flush(self) -> None:
        """Clears `is_dirty` and sends what there is without blocking. Never raises."""


class Outbox:
    """One per process: all servers and clients of a process may share it."""

    def __init__(self) -> None:
        self._dirty: list[Flushable] = []
        self._sleeper: trio.lowlevel.Task | None = None
        #: While true, marking wakes nobody: whoever set it will flush.
        self.is_gathering = False
        self._is_running = False
        #: Called when a block that gathers ends, before anything leaves: whoever can answer at once what the block
        #: parked does it here.
        #: It is told whose read it was.
        self.before_answers: Callable[[object], None] | None = None
        #: The connection whose read is being handled, or was last.
        self.reader: object = None

    def mark(self, connection: Flushable) -> None:
        """Puts a connection on the list. Cheap, and from anywhere on the loop."""
        if connection.is_dirty:
            return
        connection.is_dirty = True
        self._dirty.append(connection)
        if self._sleeper is not None and not self.is_gathering:
            sleeper, self._sleeper = self._sleeper, None
            trio.lowlevel.reschedule(sleeper, Value(None))

    def flush(self) -> None:
        """Sends everything marked, also what sending makes others say (a lost connection resets its streams)."""
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                connection.flush()
        self.is_gathering = False

    def __enter__(self) -> None:
        """Gather: what is marked leaves when the block ends. The block must not await."""
        self.is_gathering = True

    def __exit__(self, *_: object) -> None:
        try:
            if self.before_answers is not None:
                self.before_answers(self.reader)
        finally:
            self.flush()

    def start(self, nursery: trio.Nursery) -> None:
        """Starts the task that flushes at the end of a turn, unless it runs already.

        The first server or client does it; a process with several gives its outermost nursery before."""
        if not self._is_running:
            self._is_running = True
            nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            while True:
                await self._sleep()
                self.flush()
        finally:
            self._is_running = False

    async def _sleep(self) -> None:
        def abort(_: Any) -> trio.lowlevel.Abort:
            self._sleeper = None
            return trio.lowlevel.Abort.SUCCEEDED

        if self._dirty:
            await trio.lowlevel.checkpoint()
            return
        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)
