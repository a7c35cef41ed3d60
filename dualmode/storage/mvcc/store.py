"""Decides: the multi-version store: puts, deletions and reads of keys by revision, on the rows of one backend.

How it is driven. One task (apply) writes; it and the services on the same loop read.

    begin_pass()                                   a batch is opened
        put / delete_range / compact ...           alone: each is one revision
        begin_transaction() .. commit_transaction()   together: one revision, sub-revisions 0, 1, 2 ...
        bucket_put / leases.save ...               rows beside the keys
    end_pass(index, term) -> commits               the batch is written with the applied index: all of it or nothing

Reads between begin and end see what the pass has written so far. After a crash the backend holds the state at the end
of some pass, with the applied index of that pass, and the log replays the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dualmode import errors, limits
from dualmode.errors import StorageError
from dualmode.storage.backend import Backend, Batch, new_batch
from dualmode.storage.leases import Leases
from dualmode.storage.mvcc import changes, history, keyvalue, rows
from dualmode.storage.mvcc.changes import Change, Commit
from dualmode.storage.mvcc.compaction import Compaction
from dualmode.storage.mvcc.hashing import HashRun, StoreHash
from dualmode.storage.mvcc.heads import HeadCache
from dualmode.storage.mvcc.interval import interval
from dualmode.storage.mvcc.pending import PendingRows, merge
from dualmode.storage.varints import varint

_RECORD_KEY_BYTES = 17 + rows.RECORD_OVERHEAD_BYTES


class Store:
    """Keys with their history. See the module's text for how it is driven."""

    def __init__(self, backend: Backend, head_cache_bytes: int = limits.STORE_HEAD_CACHE_BYTES) -> None:
        """Raises `StorageError` when the backend holds something else or is damaged."""
        self._head_cache_bytes = head_cache_bytes
        self._pending = PendingRows(backend)
        self.leases = Leases(self._pending)
        self._batch: Batch | None = None
        #: Hears the commits of every pass once it is written, and None when the backend is another one: whoever
        #: remembers answers.
        self.on_change: Callable[[list[Commit] | None], None] = lambda commits: None
        self._open(backend)

    def _open(self, backend: Backend) -> None:
        stored = backend.get(rows.STATE)
        if stored is None and backend.rows(b"", b"\xff", limit=1):
            raise StorageError(f"the store in {backend.directory} has rows but no state row: it is damaged or not ours")
        self.backend = backend
        self.state = rows.State() if stored is None else rows.State.decode(stored)
        #: Newest revision: what the next write goes above.
        self.revision = self.state.revision
        #: Drops what is compacted; says when the backend should be flushed.
        self.compaction = Compaction(backend, self.state)
        self._heads = HeadCache(self._head_cache_bytes)
        self._commits: list[Commit] = []
        self._transaction: list[Change] | None = None
        self._next_varint = varint(self.revision + 1)

    def replace_backend(self, backend: Backend) -> None:
        """Goes on with another backend, whose content is that of a later point of the same history. Between passes;
        whoever remembers something of the store must read it anew. Raises `StorageError` as at the start."""
        assert self._batch is None, "a backend is replaced between passes"
        self._pending.backend = backend
        self._open(backend)
        self.on_change(None)

    # --- Numbers ---------------------------------------------------------------------------------------------

    @property
    def compacted(self) -> int:
        """The last revision asked to be compacted, -1 when there was none."""
        return self.state.compacted

    @property
    def applied_index(self) -> int:
        """Index of the last log entry whose effects are in the backend (as of the last finished pass)."""
        return self.state.applied_index

    @property
    def applied_term(self) -> int:
        """Term of that entry."""
        return self.state.applied_term

    @property
    def total_size(self) -> int:
        """Bytes of all records with their history, counted as etcd's file would: what the quota is held against.

        The sum is exact and falls as compaction removes records; there is nothing to defragment.
        """
        return self.state.record_bytes

    @property
    def in_use_size(self) -> int:
        """The same number: no space is held that is not in use."""
        return self.state.record_bytes

    @property
    def current_revision(self) -> int:
        """The revision that reads see: inside a transaction that has written, the one being written."""
        return self.revision + 1 if self._transaction else self.revision

    # --- Passes and transactions -----------------------------------------------------------------------------

    def begin_pass(self) -> None:
        """Opens the batch of one apply pass."""
        assert self._batch is None, "the last pass has not ended"
        self._batch = new_batch()

    def end_pass(self, applied_index: int, applied_term: int) -> list[Commit]:
        """Writes the pass with its applied index, atomically; returns its commits in order, for watches.

        Raises `StorageError` when the backend cannot take it: then the process must stop and replay.
        """
        batch = self._batch
        assert batch is not None, "no pass was begun"
        assert self._transaction is None, "a transaction is open"
        heads = self._heads
        for row, value in self._pending.written.items():
            if value is None:
                batch.delete(row)
                heads.forget(row)
            else:
                batch.put(row, value)
                if row[0] == 0x4B:  # only head rows are read through the cache
                    heads.remember(row, value)
        state = self.state
        state.applied_index = applied_index
        state.applied_term = applied_term
        state.revision = self.revision
        batch.put(rows.STATE, state.encode())
        self.backend.write(batch)
        commits = self._commits
        self._batch = None
        self._commits = []
        self._pending.clear()
        if commits:
            self.on_change(commits)
        return commits

    def begin_transaction(self) -> None:
        """From here to `commit_transaction` all writes share one revision."""
        assert self._batch is not None, "a transaction belongs to a pass"
        assert self._transaction is None, "transactions do not nest"
        self._transaction = []

    def commit_transaction(self) -> None:
        """Ends the transaction. Without a write the revision stays what it was."""
        written = self._transaction
        assert written is not None, "no transaction is open"
        self._transaction = None
        if written:
            _tell_what_was_before(written)
            self._advance(written)

    def _advance(self, written: list[Change]) -> None:
        self.revision += 1
        self._commits.append(Commit(self.revision, written))
        self._next_varint = varint(self.revision + 1)

    # --- Writing ---------------------------------------------------------------------------------------------

    def put(self, key: bytes, value: bytes, lease: int = 0) -> bytes | None:
        """Writes `key` and hangs it on `lease` (0: on none). Returns the KeyValue that was there before.

        The caller has checked that the key is not empty and that the lease exists.
        """
        batch = self._batch
        assert batch is not None, "a put belongs to a pass"
        previous = self.get(key)
        if previous is None:
            kv = keyvalue.encode_first(key, self._next_varint, value, lease)
            old_lease = 0
        else:
            kv, old_lease = keyvalue.encode_next(previous, key, self._next_varint, value, lease)
        if old_lease != lease:
            if old_lease:
                self.leases.detach(key, old_lease)
            if lease:
                self.leases.attach(key, lease)
        main = self.revision + 1
        transaction = self._transaction
        sub = len(transaction) if transaction else 0
        batch.put(rows.revision_row(main, sub), kv)
        batch.put(rows.history_row(key, main, sub), b"")
        self._pending.put(b"K" + key, kv)
        state = self.state
        state.record_count += 1
        state.record_bytes += len(kv) + _RECORD_KEY_BYTES
        change = Change(key, kv, False, previous)
        if transaction is None:
            self._advance([change])
        else:
            transaction.append(change)
        return previous

    def delete_range(self, key: bytes, range_end: bytes = b"") -> list[bytes]:
        """Deletes the keys of the interval; returns their KeyValues in key order. None there: nothing happens."""
        batch = self._batch
        assert batch is not None, "a deletion belongs to a pass"
        removed = self.select(key, range_end)
        if not removed:
            return removed
        main = self.revision + 1
        transaction = self._transaction
        written = [] if transaction is None else transaction
        state = self.state
        for previous in removed:
            found = keyvalue.key_of(previous)
            sub = len(written)
            record = keyvalue.encode_tombstone(found)
            batch.put(rows.revision_row(main, sub) + rows.TOMBSTONE_MARK, record)
            batch.put(rows.history_row(found, main, sub), rows.TOMBSTONE_MARK)
            self._pending.put(b"K" + found, None)
            lease = keyvalue.lease_of(previous)
            if lease:
                self.leases.detach(found, lease)
            state.record_count += 1
            state.record_bytes += len(record) + _RECORD_KEY_BYTES + 1
            written.append(Change(found, keyvalue.encode_deleted(found, self._next_varint), True, previous))
        if transaction is None:
            self._advance(written)
        return removed

    # --- Reading ---------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """The newest KeyValue of `key`, None when it does not exist."""
        row = b"K" + key
        written = self._pending.written
        if written and row in written:
            return written[row]
        kv = self._heads.get(row)
        if kv is None:
            kv = self.backend.get(row)
            if kv is not None:
                self._heads.remember(row, kv)
        return kv

    def select(self, key: bytes, range_end: bytes = b"", revision: int = 0, limit: int = 0) -> list[bytes]:
        """The KeyValues of the interval at `revision` (0: now) in key order, at most `limit` of them (0: all).

        Raises `errors.COMPACTED` and `errors.FUTURE_REVISION`.
        """
        if revision > 0 and revision != self.current_revision:
            return self._select_at(key, range_end, revision, limit)
        if not range_end:
            kv = self.get(key)
            return [] if kv is None else [kv]
        low, high = _head_rows(key, range_end)
        changed = self._pending.between(low, high)
        if not changed:
            return self.backend.values(low, high, limit, _head_row_of)
        return _first(self._pending.rows(low, high), limit)

    def count(self, key: bytes, range_end: bytes = b"", revision: int = 0) -> int:
        """How many keys the interval has at `revision` (0: now). Raises as `select` does."""
        if revision > 0 and revision != self.current_revision:
            self._check_revision(revision)
            if revision > self.state.revision:
                return len(self._select_at(key, range_end, revision, 0))
            low, high = interval(key, range_end)
            return sum(1 for _ in history.versions_at(self.backend, low, high, revision))
        if not range_end:
            return 0 if self.get(key) is None else 1
        low, bound = _head_rows(key, range_end)
        if not self._pending.between(low, bound):
            return self.backend.count(low, bound)
        return sum(1 for _ in self._pending.rows(low, bound))

    def _check_revision(self, revision: int) -> None:
        if revision > self.current_revision:
            raise errors.FUTURE_REVISION
        if revision < self.state.compacted:
            raise errors.COMPACTED

    def _select_at(self, key: bytes, range_end: bytes, revision: int, limit: int) -> list[bytes]:
        self._check_revision(revision)
        if revision > self.state.revision:
            return self._select_within_pass(key, range_end, revision, limit)
        if range_end:
            found = self._select_undone(key, range_end, revision, limit)
            if found is not None:
                return found
        low, high = interval(key, range_end)
        return history.records_at(self.backend, low, high, revision, limit)

    def _select_undone(self, key: bytes, range_end: bytes, revision: int, limit: int) -> list[bytes] | None:
        """A revision a little behind: what is there now, with what has changed since undone. Who reads page by page at
        the revision of the first page comes here as soon as somebody writes. None: there is too much to undo."""
        low, high = _head_rows(key, range_end)
        newest = self.backend.values(low, high, limit, _head_row_of)
        most = limits.UNDONE_SHARE * len(newest)
        changed = history.changed_keys(self.backend, *interval(key, range_end), revision, self.state.revision, most)
        if changed is None:
            return None
        if changed and limit:
            newest = self.backend.values(low, high, limit + len(changed), _head_row_of)
        return history.undo(self.backend, newest, changed, revision, limit)

    def _select_within_pass(self, key: bytes, range_end: bytes, revision: int, limit: int) -> list[bytes]:
        """A revision that this pass has made but not written: what the backend has, and the commits up to there."""
        low, high = _head_rows(key, range_end or key + b"\x00")
        until: dict[bytes, bytes | None] = {}
        for commit in self._commits:
            if commit.revision <= revision:
                for change in commit.changes:
                    until[b"K" + change.key] = None if change.is_delete else change.kv
        changed = sorted(row for row in until if low <= row < high)
        return _first(merge(self.backend.scan(low, high), changed, until), limit)

    def changes(
        self, low_revision: int, high_revision: int, key: bytes, range_end: bytes = b"", with_previous: bool = False
    ) -> Iterator[Commit]:
        """The commits of these revisions (both inclusive) that touch the interval, each with those changes only.

        Reads what finished passes have written. Raises `errors.COMPACTED` when low_revision is below `compacted`.
        """
        if low_revision < self.state.compacted:
            raise errors.COMPACTED
        high = min(high_revision, self.state.revision)
        return changes.read_changes(
            self.backend, self.state.compacted, low_revision, high, key, range_end, with_previous
        )

    # --- Compaction and hashes -------------------------------------------------------------------------------

    def compact(self, revision: int) -> None:
        """Makes what only revisions below `revision` can see unreadable, from now on; `compaction_step` removes it.

        Belongs to a pass. Raises `errors.COMPACTED` (not above the last one) and `errors.FUTURE_REVISION`.
        """
        assert self._batch is not None, "a compaction belongs to a pass"
        if revision <= self.state.compacted:
            raise errors.COMPACTED
        if revision > self.revision:
            raise errors.FUTURE_REVISION
        state = self.state
        if state.compaction_main == state.compacted:
            # Overtaken among the records of its own revision: deletions made there were kept, and are due now.
            state.compaction_sub = 0
        state.compacted = revision

    def compaction_step(self, budget_rows: int) -> bool:
        """Removes some of what is compacted, looking at `budget_rows` records; True when there is nothing left to do.

        Between passes; goes on after a restart where it stopped.
        """
        assert self._batch is None, "compaction steps come between passes"
        return self.compaction.step(budget_rows)

    def start_hash(self, revision: int = 0) -> HashRun:
        """Begins to compute the hash of everything up to `revision` (0: now), of the store as it is now.

        Between passes. Raises `errors.COMPACTED` and `errors.FUTURE_REVISION`.
        """
        assert self._batch is None, "a hash is of what finished passes wrote"
        if revision <= 0:
            revision = self.revision
        self._check_revision(revision)
        return HashRun(self.backend.view(), revision, self.state.compacted, self.revision)

    def hash_by_revision(self, revision: int = 0) -> StoreHash:
        """(hash, compact_revision, current_revision) in one go; a large store takes seconds: see `start_hash`."""
        run = self.start_hash(revision)
        run.step(0)
        return run.result()

    # --- Rows beside the keys --------------------------------------------------------------------------------

    def bucket_put(self, bucket: bytes, key: bytes, value: bytes) -> None:
        """Writes a row of one of etcd's small buckets (alarm, auth, authUsers, members, cluster, meta ...)."""
        assert self._batch is not None, "a row is written in a pass"
        self._pending.put(rows.bucket_prefix(bucket) + key, value)

    def bucket_delete(self, bucket: bytes, key: bytes) -> None:
        """Deletes such a row."""
        assert self._batch is not None, "a row is deleted in a pass"
        self._pending.put(rows.bucket_prefix(bucket) + key, None)

    def bucket_get(self, bucket: bytes, key: bytes) -> bytes | None:
        """Such a row, None when there is none."""
        return self._pending.get(rows.bucket_prefix(bucket) + key)

    def bucket_rows(self, bucket: bytes) -> list[tuple[bytes, bytes]]:
        """All (key, value) of a bucket, in key order."""
        prefix = rows.bucket_prefix(bucket)
        start = len(prefix)
        return [(row[start:], value) for row, value in self._pending.rows(prefix, rows.prefix_end(prefix))]


def _tell_what_was_before(written: list[Change]) -> None:
    """Watchers hear of the record before the transaction: what it overwrites of its own was never there for anybody.
    A put whose key was created by the transaction, though it may have deleted it first, has none before it, as in etcd
    (create_revision = mod_revision)."""
    if len(written) == 1:
        return
    before: dict[bytes, bytes | None] = {}
    created: set[bytes] = set()
    for change in written:
        key = change.key
        first = before.setdefault(key, change.previous)
        if not change.is_delete and change.previous is None:
            created.add(key)
        change.previous = None if key in created and not change.is_delete else first


def _head_row_of(kv: bytes) -> bytes:
    return b"K" + keyvalue.key_of(kv)


def _head_rows(key: bytes, range_end: bytes) -> tuple[bytes, bytes]:
    low, high = interval(key, range_end)
    return rows.HEAD + low, rows.HEAD_END if high is None else rows.HEAD + high


def _first(found: Iterator[tuple[bytes, bytes]], limit: int) -> list[bytes]:
    values: list[bytes] = []
    for _, value in found:
        values.append(value)
        if len(values) == limit:
            break
    return values
