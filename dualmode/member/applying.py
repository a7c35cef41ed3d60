"""Does: applies committed entries in passes, and lets go on whoever waits for the applied index to move."""

from __future__ import annotations

from collections.abc import Callable

import trio

from dualmode import limits
from dualmode.edge.outbox import Outbox
from dualmode.member.apply.passes import Passes
from dualmode.member.reads import LinearizableReads
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.raft import ConfState, Entry
from dualmode.rpc.signal import Signal
from dualmode.storage.mvcc import Store


class Applying:
    """Owned by the replica. Nothing else opens a pass of the store while the server runs."""

    def __init__(
        self,
        store: Store,
        passes: Passes,
        reads: LinearizableReads,
        counters: ReplicaCounters,
        outbox: Outbox,
    ) -> None:
        self._store = store
        self._passes = passes
        self._reads = reads
        self._counters = counters
        self._outbox = outbox
        self._moved = Signal()
        #: Called after each pass with the applied index and its term.
        self.on_applied: Callable[[int, int], None] = lambda index, term: None

    async def apply_all(self, entries: list[Entry]) -> None:
        """Usually one pass. After a restart there may be thousands of entries: others get the loop in between."""
        for start in range(0, len(entries), limits.PROPOSALS_PER_BATCH):
            if start:
                await trio.lowlevel.checkpoint()
            self.apply(entries[start : start + limits.PROPOSALS_PER_BATCH])

    def apply(self, entries: list[Entry]) -> None:
        """One pass; then everybody is answered who waited for it."""
        self._outbox.is_gathering = True
        self._passes.run(entries)
        store = self._store
        self._counters.applied_index = entries[-1].index
        self._moved.set()
        for read in self._reads.applied(store.applied_index):
            read.serve()
        self.on_applied(store.applied_index, store.applied_term)
        self._outbox.flush()

    def installed(self, conf_state: ConfState) -> None:
        """The store is now what a snapshot from the leader said."""
        self._passes.conf_state = conf_state
        self._counters.applied_index = self._store.applied_index
        self.serve_reads()

    def serve_reads(self) -> None:
        """Answers the reads that need nothing more to be applied."""
        self._outbox.is_gathering = True
        for read in self._reads.applied(self._store.applied_index):
            read.serve()
        self._outbox.flush()

    async def wait_until(self, index: int) -> None:
        """Returns once the store has applied the entry at this index."""
        while self._store.applied_index < index:
            await self._moved.wait()

    def in_pass(self, write: Callable[[Store], None]) -> None:
        """Runs `write` in a pass of its own, which no entry belongs to: for rows about the store itself."""
        store = self._store
        store.begin_pass()
        write(store)
        store.end_pass(store.applied_index, store.applied_term)
