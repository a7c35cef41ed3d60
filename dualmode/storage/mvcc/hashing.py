"""Decides: etcd's HashKV: one number for everything up to a revision, by which members find out that they differ.

CRC-32C over the bucket name "key", then every record (revision key, then KeyValue) with main revision <= the one asked
for. What lies at or below the compacted revision only counts when it is still the newest version of its key at the
revision asked for and no deletion: so it does not matter how far a member's compaction has come. etcd has two special
cases, and so have we: when no key is alive at that revision nothing is left out; and a deletion made exactly at the
compacted revision, which old versions remove and new ones keep, never counts.
"""

from __future__ import annotations

from typing import NamedTuple

from google_crc32c import extend as extend_crc

from dualmode.storage.backend import View
from dualmode.storage.mvcc import history, keyvalue, rows

_BUCKET_NAME = b"key"


class StoreHash(NamedTuple):
    """The answer of HashKV."""

    hash: int
    compact_revision: int  #: -1: never compacted
    current_revision: int


class HashRun:
    """A hash being computed on a view of the store: `step` until it says True, then `result`."""

    def __init__(self, view: View, revision: int, compacted: int, current: int) -> None:
        self._view = view
        self._revision = revision
        self._compacted = compacted
        self._current = current
        self._crc: int = extend_crc(0, _BUCKET_NAME)
        self._next_row = rows.REVISION
        self._end_row = rows.revision_row(revision + 1, 0)
        first_alive = next(history.versions_at(view, b"", None, revision), None)
        #: At which revision a record at or below `compacted` must be the newest of its key to count.
        self._newest_at = compacted if first_alive is None else revision

    def step(self, budget_rows: int) -> bool:
        """Takes up to `budget_rows` records in (0: all there are); True when all are."""
        crc = self._crc
        taken = self._view.rows(self._next_row, self._end_row, budget_rows)
        for row, record in taken:
            main, sub, is_delete = rows.revision_of(row)
            if main <= self._compacted and not self._counts(record, main, sub, is_delete):
                continue
            crc = extend_crc(crc, row[1:] + record)
        self._crc = crc
        if not budget_rows or len(taken) < budget_rows:
            self._view.close()
            return True
        self._next_row = taken[-1][0] + b"\x00"
        return False

    def result(self) -> StoreHash:
        """The hash, once `step` has said True."""
        return StoreHash(self._crc, self._compacted, self._current)

    def _counts(self, record: bytes, main: int, sub: int, is_delete: bool) -> bool:
        if is_delete:
            return False
        return history.version_at(self._view, keyvalue.key_of(record), self._newest_at) == (main, sub, False)
