"""Does: makes a snapshot from the leader into a store of ours, and puts it in place of the one we have.

Making it takes long and happens before Raft hears of the snapshot: from the file, into a folder beside the store. When
Raft then says that it is to be taken, the write-ahead log records it, and that record is the decision: a start after a
crash finishes what it says (`member.snapshots.places`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import trio
from google.protobuf.message import DecodeError

from dualmode import log
from dualmode.errors import StorageError
from dualmode.member.cluster.membership import Membership
from dualmode.member.log_snapshot import LogSnapshot
from dualmode.member.log_writer import LogWriter
from dualmode.member.replica import Replica
from dualmode.member.snapshots import places, v2_store
from dualmode.member.surroundings import RunBlocking
from dualmode.raft import Message, Ready, Snapshot
from dualmode.storage.backend import Backend
from dualmode.storage.bbolt.check import check
from dualmode.storage.bbolt.files import open_mapped
from dualmode.storage.bbolt.load import load
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal.files import sync_directory

_log = log.get("snapshot")


class SnapshotReceiver:
    """One per member. The transport calls `receive`, the replica `install`."""

    def __init__(
        self,
        replica: Replica,
        log_writer: LogWriter,
        member_dir: Path,
        run_blocking: RunBlocking,
        store_guard: trio.Lock,
        reload: Callable[[LogSnapshot], None],
    ) -> None:
        """`store_guard` is held by whoever has the store worked on in a thread; `reload` has everybody read anew what
        they remember of it."""
        self._replica = replica
        self._log_writer = log_writer
        self._member_dir = member_dir
        self._run_blocking = run_blocking
        self._store_guard = store_guard
        self._reload = reload
        #: Held while a store is filled: a leader that gives up, and the next one, may send at the same time.
        self._loading = trio.Lock()
        #: Whether the store is being replaced now, for the metrics.
        self.is_installing = False
        replica.install = self.install

    async def receive(self, message: Message, file: Path) -> None:
        """The database of a snapshot has arrived. Raises `StorageError` when it cannot be used; the file is gone
        afterwards in any case, and what was made of it as well unless Raft takes it."""
        snapshot = message.snapshot
        assert snapshot is not None, "the transport hands in snapshots only"
        try:
            async with self._loading:
                await self._load(snapshot, file)
        finally:
            with trio.CancelScope(shield=True):
                await self._run_blocking(_forget, file)
        self._replica.exchange.receive(message)

    async def _load(self, snapshot: Snapshot, file: Path) -> None:
        applied_index, index = self._replica.store.applied_index, snapshot.metadata.index
        # Stores that Raft had no use for: they would heap up while snapshots come that it does not take.
        await self._run_blocking(places.drop_older, self._member_dir, applied_index)
        if index > applied_index:
            _log.info("loading a snapshot from the leader", snapshot_index=index)
            await self._run_blocking(make_incoming, self._member_dir, snapshot, file)

    async def install(self, ready: Ready, snapshot: Snapshot) -> None:
        """Raft has taken the snapshot: the log says so, then the store is replaced. Raises `StorageError`."""
        metadata = snapshot.metadata
        incoming = places.incoming(self._member_dir, metadata.index)
        if not incoming.exists():
            raise StorageError(f"the database of the snapshot at index {metadata.index} is not there: {incoming}")
        self.is_installing = True
        try:
            await self._install(ready, snapshot, incoming)
        finally:
            self.is_installing = False

    async def _install(self, ready: Ready, snapshot: Snapshot, incoming: Path) -> None:
        metadata = snapshot.metadata
        async with self._store_guard:
            await self._log_writer.install(ready, snapshot)
            store = self._replica.store
            former = store.backend
            store.replace_backend(Backend.open(places.take(self._member_dir, metadata.index)))
            # Who still reads in it keeps it alive as long as that takes; its folder is of no use to anyone else.
            former.close()
            shutil.rmtree(former.directory, ignore_errors=True)
        self._reload(LogSnapshot(metadata.index, metadata.term, metadata.conf_state))
        self._replica.applying.installed(metadata.conf_state)
        _log.info("applied snapshot", snapshot_index=metadata.index, revision=store.revision)


def make_incoming(member_dir: Path, snapshot: Snapshot, file: Path) -> None:
    """Runs in a thread: the complete store of `snapshot`, or nothing. Raises `StorageError`."""
    metadata = snapshot.metadata
    loading, incoming = places.loading(member_dir), places.incoming(member_dir, metadata.index)
    if incoming.exists():
        return
    shutil.rmtree(loading, ignore_errors=True)
    try:
        _fill(loading, snapshot, file)
        loading.rename(incoming)
        sync_directory(member_dir)
    except OSError as error:
        raise StorageError(f"cannot make a store of the snapshot {file}: {error}") from error
    finally:
        shutil.rmtree(loading, ignore_errors=True)


def _fill(directory: Path, snapshot: Snapshot, file: Path) -> None:
    metadata = snapshot.metadata
    with open_mapped(file) as mapped:
        check(mapped.bbolt)
        backend = Backend.open(directory)
        try:
            loaded = load(mapped.bbolt, backend)
            # A database may be ahead of its snapshot, never behind it: what comes twice is passed over.
            index = max(metadata.index, loaded.meta.consistent_index)
            if loaded.meta.consistent_index > metadata.index and loaded.meta.term:
                loaded.write_state(backend, index, loaded.meta.term)
            else:
                loaded.write_state(backend, index, metadata.term)
            store = Store(backend)
            store.begin_pass()
            for key, value in mapped.bbolt.items(b"cluster"):
                store.bucket_put(b"cluster", key, value)
            _write_members(store, snapshot, mapped.bbolt.items)
            LogSnapshot(metadata.index, metadata.term, metadata.conf_state).write(store)
            store.end_pass(index, store.applied_term)
            backend.flush()
        except DecodeError as error:
            raise StorageError(f"the snapshot {file} is damaged: {error}") from None
        finally:
            backend.close()


def _write_members(store: Store, snapshot: Snapshot, items: Callable[[bytes], object]) -> None:
    """From the JSON of the v2 store, which is right in every release that sends it; from the database without one."""
    if not snapshot.data:
        for bucket in (b"members", b"members_removed"):
            for key, value in items(bucket):  # type: ignore[attr-defined]
                store.bucket_put(bucket, key, value)
        return
    state = v2_store.decode(snapshot.data)
    membership = Membership(store)
    for member in state.members:
        membership.put(member)
    for member_id in state.removed:
        membership.note_removed(member_id)
    if state.version is not None and membership.cluster_version is None:
        membership.set_cluster_version(state.version)


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)
