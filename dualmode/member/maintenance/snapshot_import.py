"""Does: makes a data dir of ours from that of an etcd that has stopped: the same member, which goes on where it was.

What `member/snap/db` holds becomes our store, with etcd's consistent index as the applied index. The write-ahead log is
in the same format and is copied, from the newest log snapshot that lies behind that index on. So the first start does
what any start after a crash does: it reads the log, and its applier takes the entries that the store has not seen.
They are looked at here already, so that an entry nobody can apply is found now.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from google_crc32c import value as crc32c

from dualmode.api import raftpb, snappb
from dualmode.config.option import Mode
from dualmode.errors import StartError, StorageError
from dualmode.member.apply import requests
from dualmode.member.cluster.membership import Membership
from dualmode.member.log_snapshot import LogSnapshot
from dualmode.member.maintenance.snapshot_restore import Tell, check_file, check_is_free, made_or_removed
from dualmode.member.opening import Bootstrap, OpenMember, open_member
from dualmode.peer.codec import conf_state_of
from dualmode.raft import ConfState, EntryType
from dualmode.storage.backend import Backend
from dualmode.storage.bbolt.files import MappedFile, open_mapped
from dualmode.storage.bbolt.load import EtcdMeta, Loaded, load
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import read_snapshots
from dualmode.storage.wal.files import segments_from

#: Buckets that say who the members are: in a new cluster they begin empty, here they come along.
_MEMBER_BUCKETS = (b"cluster", b"members", b"members_removed")


@dataclass(frozen=True, slots=True)
class Imported:
    """What has become of it. `waiting_entries` are those that the first start applies."""

    loaded: Loaded
    members: int  #: in its cluster, as the database knows it
    member_id: int
    cluster_id: int
    waiting_entries: int


def import_data_dir(
    source: Path,
    target: Path,
    source_wal_dir: Path | None = None,
    target_wal_dir: Path | None = None,
    tell: Tell = lambda doing, count: None,
) -> Imported:
    """Raises StartError for directories that are not as they should be, StorageError for what is damaged or in use;
    nothing is left in `target` then, and `source` is never changed."""
    snap_dir = source / Mode.MEMBER / "snap"
    old_wal_dir = source_wal_dir or source / Mode.MEMBER / "wal"
    wal_dir = target_wal_dir or target / Mode.MEMBER / "wal"
    if not (snap_dir / "db").exists():
        raise StartError(f"{source} is no data dir of etcd: there is no {snap_dir / 'db'}")
    check_is_free(target, wal_dir)
    with open_mapped(snap_dir / "db", lock=True) as mapped:
        check_file(mapped, tell)
        with made_or_removed(target, wal_dir) as member_dir:
            index = EtcdMeta.read(mapped.bbolt).consistent_index
            base = find_base(snap_dir, old_wal_dir, index)
            loaded = _make_store(mapped, member_dir / "store", base, tell)
            tell("copying the write-ahead log", None)
            _copy_log(old_wal_dir, wal_dir, base.index)
            # There is a log, so nothing of a bootstrap is looked at.
            opened = open_member(member_dir, wal_dir, Bootstrap("", {}, ""))
            try:
                members = len(Membership(opened.store))
                return Imported(loaded, members, opened.member_id, opened.cluster_id, check_entries(opened, index))
            finally:
                opened.close()


def find_base(snap_dir: Path, wal_dir: Path, consistent_index: int) -> LogSnapshot:
    """The newest log snapshot that the log records and that the database is not behind: from there the log is read.

    Index 0 when the log goes back to its beginning. Raises StorageError when there is none.
    """
    recorded = [one for one in read_snapshots(wal_dir) if one[0] <= consistent_index]
    for index, term in sorted(recorded, reverse=True):
        if not index:
            return LogSnapshot()
        path = snap_dir / f"{term:016x}-{index:016x}.snap"
        if path.exists():
            return LogSnapshot(index, term, read_conf_state(path, index, term))
    raise StorageError(f"{wal_dir}: no log snapshot at or before the applied index {consistent_index}")


def read_conf_state(path: Path, index: int, term: int) -> ConfState:
    """Who voted at a log snapshot, from etcd's snapshot file. Raises StorageError when it is damaged."""
    try:
        outer = snappb.snapshot.FromString(path.read_bytes())
        if crc32c(outer.data) != outer.crc:
            raise StorageError(f"{path}: the checksum does not fit")
        metadata = raftpb.Snapshot.FromString(outer.data).metadata
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError:
        raise StorageError(f"{path}: not a snapshot file of etcd") from None
    if (metadata.index, metadata.term) != (index, term):
        raise StorageError(f"{path}: it is of index {metadata.index}, term {metadata.term}")
    return conf_state_of(metadata.conf_state)


def check_entries(opened: OpenMember, consistent_index: int) -> int:
    """How many committed entries the store has not seen. Raises StorageError for one that cannot be applied."""
    storage = opened.raft_storage
    commit = storage.initial_state()[0].commit
    low = max(consistent_index + 1, storage.first_index())
    if commit < low:
        return 0
    entries = storage.entries(low, min(commit, storage.last_index()) + 1)
    for entry in entries:
        if entry.type == EntryType.NORMAL and entry.data:
            try:
                requests.decode(entry.data)
            except DecodeError:
                raise StorageError(f"entry {entry.index} of the write-ahead log is no request of etcd's") from None
    return len(entries)


def _make_store(mapped: MappedFile, directory: Path, base: LogSnapshot, tell: Tell) -> Loaded:
    tell("importing records", None)
    backend = Backend.open(directory)
    try:
        loaded = load(mapped.bbolt, backend, told=lambda count: tell("importing records", count))
        index, term = loaded.meta.consistent_index, loaded.meta.term
        loaded.write_state(backend, index, term)
        store = Store(backend)
        store.begin_pass()
        for bucket in _MEMBER_BUCKETS:
            for key, value in mapped.bbolt.items(bucket):
                store.bucket_put(bucket, key, value)
        if base.index:
            base.write(store)
        store.end_pass(index, term)
    finally:
        backend.close()
    return loaded


def _copy_log(source: Path, target: Path, index: int) -> None:
    try:
        target.mkdir(mode=0o700, parents=True)
        for _, _, path in segments_from(source, index):
            shutil.copyfile(path, target / path.name)
    except OSError as error:
        raise StorageError(f"cannot copy the write-ahead log from {source}: {error}") from error
