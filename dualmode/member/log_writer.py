"""Does: makes what Raft has decided durable, before anyone acts on it: append, sync, cut, and wait for room.

Two ways: `write_at_once` never waits for anything but a quick disk, `write` may. A commit index alone is not written:
it goes with the next batch, since a start can do without it.
"""

from __future__ import annotations

import contextlib

import trio

from dualmode import limits, log
from dualmode.errors import NoSpaceError, StorageError
from dualmode.member.surroundings import Door
from dualmode.peer.codec import encode_conf_state
from dualmode.raft import Entry, HardState, MemoryStorage, Ready, Snapshot
from dualmode.storage.raft_entries import forget_encoded
from dualmode.storage.wal import WriteAheadLog

_log = log.get("replica")


class LogWriter:
    """The tail of the write-ahead log, and Raft's memory of what is in it. Owned by the replica.

    `fsync` is False with --unsafe-no-fsync: then a power cut may take what was acknowledged.
    """

    def __init__(self, wal: WriteAheadLog, storage: MemoryStorage, door: Door, fsync: bool) -> None:
        self._wal = wal
        self._storage = storage
        self._door = door
        self._fsync = fsync
        #: What Raft has decided and the log does not have yet; only a commit index may stay here for long.
        self._unsaved: HardState | None = None

    @property
    def is_quick(self) -> bool:
        """Whether a write is expected to be over in less time than a hand-over to a thread takes."""
        return self._door.is_quick and not self._wal.is_full

    def write_at_once(self, ready: Ready) -> bool:
        """Writes and syncs here and now; False when the disk is full, and nothing was written."""
        self._take_state(ready)
        if ready.entries or ready.must_sync:
            must_sync = self._append(ready.entries)
            if must_sync is None:
                return False
            if must_sync and self._fsync:
                self._door.sync_inline(self._wal.sync)
            self._keep(ready.entries)
        return True

    async def write(self, ready: Ready) -> None:
        """Writes and syncs, waiting for the disk and, as long as it takes, for room on it."""
        self._take_state(ready)
        if not ready.entries and not ready.must_sync:
            return
        must_sync = self._append(ready.entries)
        while must_sync is None:
            await trio.sleep(limits.DISK_FULL_RETRY_SECONDS)
            must_sync = self._append(ready.entries)
        if must_sync and self._fsync:
            if self._door.is_quick:
                self._door.sync_inline(self._wal.sync)
            else:
                await self._door.sync(self._wal.sync)
        if self._wal.is_full:
            await self._cut()
        self._keep(ready.entries)

    async def install(self, ready: Ready, snapshot: Snapshot) -> None:
        """The log goes on behind a snapshot from the leader: what it had before that does not count any more. Synced
        when this returns; the disk is waited for, and room on it."""
        self._take_state(ready)
        metadata = snapshot.metadata
        conf_state = encode_conf_state(metadata.conf_state)
        while True:
            try:
                # The record of a snapshot counts once a hard state behind it has committed its index.
                self._wal.save_snapshot(metadata.index, metadata.term, conf_state)
                self._wal.append(ready.entries, self._unsaved)
                break
            except NoSpaceError as error:
                _log.error("cannot append to the write-ahead log, trying again", error=str(error))
                await trio.sleep(limits.DISK_FULL_RETRY_SECONDS)
        self._unsaved = None
        await self._door.run(self._wal.sync)
        self._storage.apply_snapshot(Snapshot(b"", metadata))
        self._keep(ready.entries)

    def close(self) -> None:
        """The log learns how far it was committed. It may fail: it is the end anyway."""
        if self._unsaved is not None:
            with contextlib.suppress(StorageError):
                self._append([])

    def _keep(self, entries: list[Entry]) -> None:
        """They are in the log, and from now on in Raft's memory; their bytes are not needed twice there."""
        self._storage.append(entries)
        forget_encoded(entries)

    def _take_state(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self._storage.set_hard_state(ready.hard_state)
            self._unsaved = ready.hard_state

    def _append(self, entries: list[Entry]) -> bool | None:
        """Whether a sync is needed; None when the disk is full. The entries are in Raft's memory then and stay there:
        they are appended when there is room, and who proposed them is told of a timeout, since nobody knows yet."""
        try:
            must_sync = self._wal.append(entries, self._unsaved)
        except NoSpaceError as error:
            _log.error("cannot append to the write-ahead log, trying again", error=str(error))
            return None
        self._unsaved = None
        return must_sync

    async def _cut(self) -> None:
        try:
            await self._door.run(self._wal.cut_if_full)
        except NoSpaceError as error:
            # The segment in use goes on growing; the next batch tries again.
            _log.error("cannot begin a new segment of the write-ahead log", error=str(error))
