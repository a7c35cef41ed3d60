"""Does: fills an empty store of ours from etcd's buckets.

Bucket `key` becomes three rows a record, in the one pass that reads it: the record itself, its place in the history of
its key, and, as long as nothing newer comes, the head row. Which keys hang on which lease is not in the file: as etcd
does at its start, it is taken from the newest records of the keys once all are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.backend import Backend, Batch, new_batch
from dualmode.storage.bbolt.reader import BboltFile
from dualmode.storage.bbolt.summary import revision_of
from dualmode.storage.leases import decode_lease
from dualmode.storage.mvcc import keyvalue, rows

#: Buckets whose items are rows of ours under the same names. Who the members are is the caller's to say.
COPIED_BUCKETS: Final = (b"alarm", b"auth", b"authRoles", b"authUsers", b"lease")
_RECORD_BYTES: Final = 17 + rows.RECORD_OVERHEAD_BYTES
#: Of every row; what RocksDB keeps besides key and value.
_ROW_OVERHEAD_BYTES: Final = 32
_TOLD_RECORDS: Final = 4096


@dataclass(slots=True)
class EtcdMeta:
    """Bucket `meta`, as far as a store needs it."""

    consistent_index: int = 0
    term: int = 0
    scheduled_compaction: int = -1
    finished_compaction: int = -1
    conf_state: bytes = b""

    @classmethod
    def read(cls, file: BboltFile) -> EtcdMeta:
        """Raises `StorageError` for items that are not as long as etcd makes them."""
        meta = cls()
        for key, value in file.items(b"meta"):
            if key == b"confState":
                meta.conf_state = value
            elif key in (b"consistent_index", b"term"):
                if len(value) != 8:
                    raise StorageError(f"bucket meta: {key.decode()} has {len(value)} bytes")
                number = int.from_bytes(value, "big")
                if key == b"term":
                    meta.term = number
                else:
                    meta.consistent_index = number
            elif key == b"scheduledCompactRev":
                meta.scheduled_compaction = revision_of(value)[0]
            elif key == b"finishedCompactRev":
                meta.finished_compaction = revision_of(value)[0]
        return meta


@dataclass(slots=True)
class Loaded:
    """What was loaded."""

    state: rows.State
    meta: EtcdMeta
    records: int = 0
    lost_leases: set[int] = field(default_factory=set)  #: named by keys, and not there

    def write_state(self, backend: Backend, applied_index: int, applied_term: int) -> None:
        """Writes the state that belongs to the rows: until then they are no store (`Store` refuses them)."""
        self.state.applied_index = applied_index
        self.state.applied_term = applied_term
        batch = new_batch()
        batch.put(rows.STATE, self.state.encode())
        backend.write(batch)


def load(
    file: BboltFile, backend: Backend, bump_revision: int = 0, told: Callable[[int], None] = lambda records: None
) -> Loaded:
    """Writes all rows but the state, which is the caller's to write, last.

    `bump_revision` raises the newest revision by so much and marks everything up to there as compacted, so that no
    client goes on where it was before the restore. Raises `StorageError` for records that etcd could not have written.
    """
    meta = EtcdMeta.read(file)
    state = rows.State()
    loaded = Loaded(state, meta)
    writer = _BatchWriter(backend)
    newest = 0
    for key, record in file.items(b"key"):
        newest = _load_record(writer, state, key, record)
        loaded.records += 1
        if not loaded.records % _TOLD_RECORDS:
            told(loaded.records)
    compacted = max(meta.scheduled_compaction, meta.finished_compaction)
    if bump_revision:
        newest = compacted = newest + bump_revision
        _load_record(writer, state, rows.revision_row(newest, 0)[1:], b"")
    for name in COPIED_BUCKETS:
        prefix = rows.bucket_prefix(name)
        for key, value in file.items(name):
            writer.put(prefix + key, value)
    writer.flush()
    loaded.lost_leases = _attach(backend, writer, _lease_ids(file.items(b"lease")))
    state.revision = max(1, newest, compacted)
    _set_compaction(state, meta, compacted)
    return loaded


def _load_record(writer: _BatchWriter, state: rows.State, key: bytes, record: bytes) -> int:
    """The rows of one record; gives its main revision."""
    main, sub, is_deletion = revision_of(key)
    fields = keyvalue.fields(record)
    user_key = fields.key
    writer.put(b"R" + key, record)
    writer.put(rows.history_row(user_key, main, sub), rows.TOMBSTONE_MARK if is_deletion else b"")
    if is_deletion:
        writer.delete(rows.HEAD + user_key)
    elif user_key:
        if fields.mod_revision != main:
            raise StorageError(f"bucket key: the record at revision {main} says that it is of {fields.mod_revision}")
        writer.put(rows.HEAD + user_key, record)
    # A record without a key marks where `--bump-revision` of an earlier restore has led: nothing can be read of it.
    state.record_count += 1
    state.record_bytes += len(record) + _RECORD_BYTES + is_deletion
    return main


def _set_compaction(state: rows.State, meta: EtcdMeta, compacted: int) -> None:
    """A compaction that etcd had scheduled and not finished goes on behind the last one that it finished."""
    state.compacted = compacted
    finished = min(meta.finished_compaction, compacted)
    if finished >= 0:
        state.compaction_finished = finished
        state.compaction_main = finished


def _lease_ids(items: Iterable[tuple[bytes, bytes]]) -> set[int]:
    return {decode_lease(value).lease_id for _, value in items}


def _attach(backend: Backend, writer: _BatchWriter, leases: set[int]) -> set[int]:
    """Hangs the keys on their leases; gives the leases that keys name and that are not there."""
    lost: set[int] = set()
    for row, record in backend.scan(rows.HEAD, rows.HEAD_END):
        lease = keyvalue.lease_of(record)
        if lease in leases:
            writer.put(rows.attachment_prefix(lease) + row[1:], b"")
        elif lease:
            lost.add(lease)
    writer.flush()
    return lost


class _BatchWriter:
    """Gathers rows into batches of a bounded size."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._batch: Batch = new_batch()
        self._bytes = 0

    def put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        self._count(len(key) + len(value))

    def delete(self, key: bytes) -> None:
        self._batch.delete(key)
        self._count(len(key))

    def flush(self) -> None:
        batch, self._batch = self._batch, new_batch()
        self._bytes = 0
        self._backend.write(batch)

    def _count(self, size: int) -> None:
        self._bytes += size + _ROW_OVERHEAD_BYTES
        if self._bytes >= limits.RESTORE_BATCH_BYTES:
            self.flush()
