"""Does: keeps the write-ahead log and Raft's memory of it short: flush the store, record that, let go of the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import trio

from dualmode import log
from dualmode.member.log_snapshot import LogSnapshot
from dualmode.raft import ConfState, MemoryStorage
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import WriteAheadLog

_log = log.get("member")


class PassRunner(Protocol):
    """The replica, which owns the store's passes."""

    def __call__(self, write: Callable[[Store], None], /) -> None: ...


class LogCompactor:
    """Takes a log snapshot every `count` applied entries. `run` is its task; the replica tells it how far apply is."""

    def __init__(
        self,
        backend: Backend,
        wal: WriteAheadLog,
        storage: MemoryStorage,
        newest: LogSnapshot,
        *,
        count: int,
        segments_kept: int,
        catch_up_entries: int,
        in_pass: PassRunner,
    ) -> None:
        self._backend = backend
        self._wal = wal
        self._storage = storage
        self.newest = newest
        self._count = count
        #: As `--max-wals`: 0 keeps all.
        self._segments_kept = segments_kept
        #: Entries kept in memory behind a snapshot for followers that lag; a member alone has none.
        self._catch_up_entries = catch_up_entries
        self._in_pass = in_pass
        self._due: LogSnapshot | None = None
        self._wake = trio.Event()
        self._taken = trio.Event()

    def note_applied(self, index: int, term: int, conf_state: ConfState) -> None:
        """The store has applied up to here."""
        if self._due is None and index - self.newest.index >= self._count:
            self._due = LogSnapshot(index, term, conf_state)
            self._wake.set()

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

    async def _take(self, snapshot: LogSnapshot) -> None:
        # The flush makes durable every pass up to now, the row of the snapshot before this one with them: a start
        # will not need the log from before that one any more.
        await trio.to_thread.run_sync(self._backend.flush)
        self._wal.release(self.newest.index, self._segments_kept or sys.maxsize)
        self._wal.save_snapshot(snapshot.index, snapshot.term)
        self._in_pass(snapshot.write)
        self._storage.create_snapshot(snapshot.index, snapshot.conf_state, b"")
        keep_from = snapshot.index - self._catch_up_entries
        if keep_from >= self._storage.first_index():
            self._storage.compact(keep_from)
        self.newest = snapshot
        _log.info("saved snapshot", snapshot_index=snapshot.index)
