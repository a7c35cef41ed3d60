"""Decides: which rows a compaction removes, a few at a time, so that nobody waits for it.

Compacting at revision C keeps, of every key, the newest version that is not newer than C; when that one is a deletion
it goes too, unless it was made at C itself (etcd 3.4.34, 3.5.16 and later keep it, so that a watch from C sees it).

The rows to walk are only those written since the last compaction: each of them makes the version of its key before it
unreachable, and that one is the last of its older versions still there, because whatever came before it went when it
was walked, or in an earlier compaction. Each step writes its removals together with the place where it stopped: after a
crash the next step goes on from there.

Two things make a row cheap. The last version of each key that was walked is remembered (`survivors.py`), so that mostly
neither the history nor the record need be read to remove it. And where many neighbours go at once, a range is deleted:
a mark for each row would fill RocksDB's memory with marks, and each flush of them rewrites the files they are about.
A range has a price of its own, though: the first read after a new one costs a tenth of a microsecond for each of those
in RocksDB's memory. So short runs go row by row, and `wants_flush` says when the memory holds enough of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.backend import Backend, Batch, new_batch
from dualmode.storage.mvcc import keyvalue, rows
from dualmode.storage.mvcc.rows import State
from dualmode.storage.mvcc.survivors import UNKNOWN, Survivor, Survivors
from dualmode.storage.varints import read_varint

_ANY_SUB = (1 << 64) - 1


class Walked(NamedTuple):
    """What a step has looked at."""

    rows: list[bytes]  #: revision rows, in order
    is_end: bool  #: nothing is left to walk
    removed: dict[bytes, list[Survivor]]  #: what they make unreachable, by key, oldest first
    left: dict[bytes, Survivor | None]  #: the version of each key that is left; None: it has none


class Compaction:
    """Belongs to one open store, which calls `step` until it says True. Remembers nothing that it cannot find again."""

    def __init__(self, backend: Backend, state: State) -> None:
        self._backend = backend
        self._state = state
        self._survivors = Survivors(limits.COMPACTION_MEMORY_BYTES)
        #: Up to where the survivors are known; what is walked anew (the revision of the last compaction) is not.
        self._known_to = (0, 0)
        self._ranges = 0

    @property
    def wants_flush(self) -> bool:
        """Whether RocksDB's memory has so many deleted ranges that reads suffer."""
        return self._ranges >= limits.COMPACTION_RANGES_IN_MEMORY

    def flushed(self) -> None:
        """It was flushed."""
        self._ranges = 0

    def step(self, budget_rows: int) -> bool:
        """Walks the next `budget_rows` revision rows (fewer, if they are large) and writes what that removes; True when
        nothing is left to do."""
        state = self._state
        target = state.compacted
        if state.compaction_finished >= target:
            return True
        if self._known_to != (state.compaction_main, state.compaction_sub):
            self._survivors.forget_all()
        walked = self._walk(target, budget_rows)
        batch = new_batch()
        self._remove(batch, walked)
        if walked.is_end:
            # The next compaction begins at `target` again: a deletion made at `target` is due then.
            state.compaction_main, state.compaction_sub = target, 0
            state.compaction_finished = target
            self._survivors.forget_all()
        else:
            main, sub, _ = rows.revision_of(walked.rows[-1])
            state.compaction_main, state.compaction_sub = main, sub + 1
            self._survivors.remember(walked.left)
        self._known_to = (state.compaction_main, state.compaction_sub)
        batch.put(rows.STATE, state.encode())
        self._backend.write(batch)
        return walked.is_end

    # --- What goes -------------------------------------------------------------------------------------------

    def _walk(self, target: int, budget_rows: int) -> Walked:
        start = rows.revision_row(self._state.compaction_main, self._state.compaction_sub)
        end = rows.revision_row(target, _ANY_SUB) + b"\xff"
        at_target = rows.revision_row(target, 0)
        walked: list[bytes] = []
        removed: dict[bytes, list[Survivor]] = {}
        left: dict[bytes, Survivor | None] = {}
        budget_bytes = limits.COMPACTION_STEP_BYTES
        for row, record in self._backend.scan(start, end):
            key = keyvalue.key_of(record)
            before = left[key] if key in left else self._before(key, row, record)
            if before is not None:
                removed.setdefault(key, []).append(before)
            version = Survivor(row, len(record))
            if len(row) > rows.PUT_REVISION_ROW_BYTES and row < at_target:
                removed.setdefault(key, []).append(version)
                left[key] = None
            else:
                left[key] = version
            walked.append(row)
            budget_bytes -= len(record)
            if len(walked) == budget_rows or budget_bytes <= 0:
                return Walked(walked, False, removed, left)
        return Walked(walked, True, removed, left)

    def _before(self, key: bytes, row: bytes, record: bytes) -> Survivor | None:
        """The next older version of `key` that is still there."""
        known = self._survivors.get(key)
        if known is not UNKNOWN:
            return known
        main, sub, _ = rows.revision_of(row)
        if sub == 0 and _creates(record):
            return None  # a deletion before it has been walked, and went
        start = rows.history_row(key, main, sub)
        for older, mark in self._backend.rows(start + b"\x00", rows.prefix_end(start[:-16]), limit=1):
            _, main, sub = rows.history_of(older)
            older_row = rows.revision_row(main, sub) + mark
            older_record = self._backend.get(older_row)
            if older_record is None:
                raise StorageError(f"damaged store in {self._backend.directory}: row {older_row!r} is missing")
            return Survivor(older_row, len(older_record))
        return None

    # --- How it goes -----------------------------------------------------------------------------------------

    def _remove(self, batch: Batch, walked: Walked) -> None:
        state = self._state
        gone: set[bytes] = set()
        for key, versions in walked.removed.items():
            for row, record_bytes in versions:
                gone.add(row)
                state.record_bytes -= len(row) - 1 + rows.RECORD_OVERHEAD_BYTES + record_bytes
            state.record_count -= len(versions)
            # All versions up to the newest of these go: nothing else lies between them.
            history = [rows.history_row(key, *rows.revision_of(row)[:2]) for row in _ends_or_all(versions)]
            self._delete_run(batch, history, len(versions))
        for run in _runs(walked.rows, gone):
            self._delete_run(batch, run, len(run))
        for row in gone.difference(walked.rows):
            batch.delete(row)

    def _delete_run(self, batch: Batch, run: list[bytes], count: int) -> None:
        """`run` has all rows that go, or the first and the last of `count` neighbours."""
        if count >= limits.COMPACTION_RANGE_ROWS:
            low, high = min(run[0], run[-1]), max(run[0], run[-1])
            batch.delete_range(low, high + b"\x00")
            self._ranges += 1
            return
        for row in run:
            batch.delete(row)


def _creates(record: bytes) -> bool:
    """Whether this KeyValue is the first version of its key: made where it was modified. A deletion has neither."""
    if not record:
        return False
    length, position = read_varint(record, 1)
    position += length
    if position == len(record):
        return False
    created, position = read_varint(record, position + 1)
    modified, _ = read_varint(record, position + 1)
    return created == modified


def _ends_or_all(versions: list[Survivor]) -> list[bytes]:
    """Their rows; of so many that a range will be deleted, the first and the last."""
    if len(versions) >= limits.COMPACTION_RANGE_ROWS:
        return [versions[0].row, versions[-1].row]
    return [row for row, _ in versions]


def _runs(walked: list[bytes], gone: set[bytes]) -> Iterator[list[bytes]]:
    """The rows of `walked` that are in `gone`, neighbours together."""
    for is_gone, run in groupby(walked, gone.__contains__):
        if is_gone:
            yield list(run)
