"""Does: computes hashes of the store in steps of a few milliseconds, between which everyone else gets the loop."""

from __future__ import annotations

import time
from typing import Final, Protocol

import trio
from google_crc32c import extend as extend_crc

from dualmode import limits
from dualmode.storage.backend import View
from dualmode.storage.mvcc import rows
from dualmode.storage.mvcc.hashing import StoreHash
from dualmode.storage.mvcc.store import Store

_META: Final = b"meta"
#: Rows that differ between members that hold the same.
_NOT_HASHED: Final = frozenset((b"consistent_index", b"term", b"storageVersion"))


class Run(Protocol):
    """A hash being computed."""

    def step(self, budget_rows: int) -> bool:
        """Takes that many rows in; True when all are."""


class BucketsRun:
    """The hash of Maintenance.Hash: everything in the store, bucket by bucket, by name and rows (etcd
    `backend.Hash`)."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._buckets = list(rows.ETCD_BUCKETS)
        self._next_row = b""
        self.crc: int = 0

    def step(self, budget_rows: int) -> bool:
        """Takes up to `budget_rows` rows of one bucket in; True when all are."""
        bucket = self._buckets[0]
        start, end = _rows_of(bucket)
        if not self._next_row:
            self._next_row = start
            self.crc = extend_crc(self.crc, bucket)
        taken = self._view.rows(self._next_row, end, budget_rows)
        crc = self.crc
        prefix_bytes = len(start)
        for row, value in taken:
            key = row[prefix_bytes:]
            if bucket != _META or key not in _NOT_HASHED:
                crc = extend_crc(crc, key + value)
        self.crc = crc
        if len(taken) == budget_rows:
            self._next_row = taken[-1][0] + b"\x00"
            return False
        self._next_row = b""
        del self._buckets[0]
        if not self._buckets:
            self._view.close()
        return not self._buckets


def _rows_of(bucket: bytes) -> tuple[bytes, bytes]:
    if bucket == b"key":
        return rows.REVISION, rows.REVISION_END
    prefix = rows.bucket_prefix(bucket)
    return prefix, rows.prefix_end(prefix)


class StepSize:
    """How many rows a step takes: as many as fit its time, since records may have ten bytes or a million."""

    def __init__(self) -> None:
        self.rows = limits.HASH_FIRST_ROWS

    def note(self, took_seconds: float) -> None:
        """A step has taken this long."""
        if took_seconds > limits.HASH_STEP_SECONDS:
            self.rows = max(1, self.rows // 2)
        elif took_seconds < limits.HASH_STEP_SECONDS / 4:
            self.rows = min(limits.HASH_STEP_ROWS, self.rows * 2)


class Hasher:
    """Runs a bounded number of hashes at once; others wait for their turn."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = trio.Semaphore(limits.HASHES_AT_ONCE)

    async def by_revision(self, revision: int) -> StoreHash:
        """HashKV at a revision (0: now). Raises COMPACTED and FUTURE_REVISION."""
        async with self._turns:
            run = self._store.start_hash(revision)
            await _complete(run)
            return run.result()

    async def everything(self) -> int:
        """The hash of all that this member has stored."""
        async with self._turns:
            run = BucketsRun(self._store.backend.view())
            await _complete(run)
            return run.crc


async def _complete(run: Run) -> None:
    size = StepSize()
    while True:
        began = time.perf_counter()
        if run.step(size.rows):
            return
        size.note(time.perf_counter() - began)
        await trio.lowlevel.checkpoint()
