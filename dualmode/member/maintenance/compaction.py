"""Does: deletes what compaction has made unreachable, in small steps between which everyone else gets the loop."""

from __future__ import annotations

import trio

from dualmode.errors import RpcError
from dualmode.member.maintenance.compaction_pace import CompactionPace
from dualmode.member.surroundings import RunBlocking
from dualmode.rpc.calls import Reply
from dualmode.storage.mvcc.store import Store


class Compactor:
    """Owns the deletion; `run` is its task. A compaction left half-done by a crash goes on at the next start."""

    def __init__(
        self, store: Store, pace: CompactionPace, *, run_blocking: RunBlocking, store_guard: trio.Lock
    ) -> None:
        self._store = store
        self._pace = pace
        self._run_blocking = run_blocking
        self._store_guard = store_guard
        self._wake = trio.Event()
        self._waiting: list[PhysicalReply] = []

    def physical(self, reply: Reply, revision: int) -> PhysicalReply:
        """A reply for a compaction whose answer waits until the deletion is done."""
        return PhysicalReply(self, reply, revision)

    def schedule(self) -> None:
        """There may be something to delete."""
        self._wake.set()

    def wait_for(self, waiting: PhysicalReply) -> None:
        """Answers this reply at the end of the present deletion."""
        self._waiting.append(waiting)
        self._wake.set()

    async def run(self) -> None:
        """Deletes step by step until cancelled."""
        while True:
            await self._delete()
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.done()
            if not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()

    async def _delete(self) -> None:
        is_done = False
        while not is_done:
            began = trio.current_time()
            is_done = self._store.compaction_step(self._pace.rows)
            await trio.sleep(self._pace.pause_seconds(trio.current_time() - began))
            if self._store.compaction.wants_flush:
                await self._flush()

    async def _flush(self) -> None:
        async with self._store_guard:
            compaction = self._store.compaction
            await self._run_blocking(self._store.backend.flush)
            compaction.flushed()


class PhysicalReply:
    """Holds the answer of a physical compaction back until the rows are gone."""

    __slots__ = ("_compactor", "_message", "_reply", "revision")

    def __init__(self, compactor: Compactor, reply: Reply, revision: int) -> None:
        self._compactor = compactor
        self._reply = reply
        self._message = b""
        self.revision = revision

    def reply(self, message: bytes) -> None:
        """Applied: the deletion is scheduled."""
        self._message = message
        self._compactor.wait_for(self)

    def fail(self, error: RpcError) -> None:
        """Refused."""
        self._reply.fail(error)

    def done(self) -> None:
        """The deletion is done."""
        self._reply.reply(self._message)
