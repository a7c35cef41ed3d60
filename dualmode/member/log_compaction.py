"""Does: keeps the write-ahead log and Raft's memory of it short: flush the store, record that, let go of the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import trio

from dualmode import limits, log
from dualmode.member.log_snapshot import LogSnapshot
from dualmode.member.surroundings import RunBlocking
from dualmode.raft import ConfState, Entry, MemoryStorage
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import WriteAheadLog

_log = log.get("member")


class PassRunner(Protocol):
    """The replica, which owns the store's passes."""

    def __call__(self, write: Callable[[Store], None], /) -> None: ...


class LogCompactor:
    """Takes a log snapshot every `count` applied entries, or when so many bytes were written. `run` is its task; the
    replica tells it how far apply is."""

    def __init__(
        self,
        store: Store,
        wal: WriteAheadLog,
        storage: MemoryStorage,
        newest: LogSnapshot,
        *,
        count: int,
        segments_kept: int,
        catch_up_entries: int,
        in_pass: PassRunner,
        run_blocking: RunBlocking,
        store_guard: trio.Lock,
    ) -> None:
        self._store = store
        self._wal = wal
        self._storage = storage
        self.newest = newest
        self._count = count
        #: As `--max-wals`: 0 keeps all.
        self._segments_kept = segments_kept
        #: Entries kept in memory behind a snapshot for followers that lag.
        self._catch_up_entries = catch_up_entries
        self._in_pass = in_pass
        self._run_blocking = run_blocking
        self._store_guard = store_guard
        #: The index that somebody who is getting a snapshot goes on from; None: nobody is.
        self.needed_index: Callable[[], int | None] = lambda: None
        self._due: LogSnapshot | None = None
        self._written_bytes = wal.written_bytes
        self._wake = trio.Event()
        self._taken = trio.Event()

    def note_applied(self, index: int, term: int, conf_state: ConfState) -> None:
        """The store has applied up to here."""
        if self._due is None and self._is_long(index - self.newest.index):
            self._due = LogSnapshot(index, term, conf_state)
            self._written_bytes = self._wal.written_bytes
            self._wake.set()

    def _is_long(self, entries: int) -> bool:
        """Whether the log has grown enough since the last snapshot. It is all in memory, so its bytes count too."""
        written = self._wal.written_bytes - self._written_bytes
        return entries >= self._count or (entries > 0 and written >= limits.LOG_SNAPSHOT_BYTES)

    async def run(self) -> None:
        """Works until cancelled. Raises `StorageError` when the disk does not take it."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            due = self._due
            if due is not None:
                await self._take(due)
                self._due = None
                self._taken.set()

    async def wait_until_taken(self) -> None:
        """Returns when no snapshot is due."""
        while self._due is not None:
            self._taken = trio.Event()
            await self._taken.wait()

    def replaced(self, snapshot: LogSnapshot) -> None:
        """The store is that of a snapshot from the leader, and the log begins behind it."""
        self.newest = snapshot
        self._written_bytes = self._wal.written_bytes

    async def _take(self, snapshot: LogSnapshot) -> None:
        async with self._store_guard:
            if snapshot.index > self.newest.index:
                await self._take_guarded(snapshot)

    async def _take_guarded(self, snapshot: LogSnapshot) -> None:
        # The flush makes durable every pass up to now, the row of the snapshot before this one with them: a start
        # will not need the log from before that one any more.
        await self._run_blocking(self._store.backend.flush)
        self._wal.release(self.newest.index, self._segments_kept or sys.maxsize)
        self._wal.save_snapshot(snapshot.index, snapshot.term)
        self._in_pass(snapshot.write)
        self._storage.create_snapshot(snapshot.index, snapshot.conf_state, b"")
        forgotten = self._last_to_forget(snapshot)
        if forgotten >= self._storage.first_index():
            self._storage.compact(forgotten)
        self.newest = snapshot
        _log.info("saved snapshot", snapshot_index=snapshot.index)

    def _last_to_forget(self, snapshot: LogSnapshot) -> int:
        """Index of the newest entry that is not kept for followers that lag; a member alone has none."""
        conf_state, index = snapshot.conf_state, snapshot.index
        is_alone = len(conf_state.voters) == 1 and not (conf_state.learners or conf_state.voters_outgoing)
        low = max(self._storage.first_index(), index - self._catch_up_entries + 1)
        if is_alone or low > index:
            return index
        last = last_beyond(self._storage.entries(low, index + 1), limits.LOG_CATCH_UP_BYTES)
        needed = self.needed_index()
        return last if needed is None else min(last, needed)


def last_beyond(entries: list[Entry], budget_bytes: int) -> int:
    """Of the newest of these entries that fit a budget together: the index of the one before them."""
    size_bytes = 0
    for entry in reversed(entries):
        size_bytes += len(entry.data)
        if size_bytes > budget_bytes:
            return entry.index
    return entries[0].index - 1
