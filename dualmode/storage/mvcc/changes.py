"""Decides: what changed, revision by revision, for watches: handed over by each pass, or read back from history."""

from __future__ import annotations

from collections.abc import Iterator

from dualmode.storage.backend import Reader
from dualmode.storage.mvcc import keyvalue, rows
from dualmode.storage.mvcc.history import record_before
from dualmode.storage.mvcc.interval import contains, interval
from dualmode.storage.varints import varint


class Change:
    """One key written or deleted at one revision."""

    __slots__ = ("is_delete", "key", "kv", "previous")

    def __init__(self, key: bytes, kv: bytes, is_delete: bool, previous: bytes | None) -> None:
        self.key = key
        self.kv = kv  #: serialised KeyValue; of a deletion only key and mod_revision
        self.is_delete = is_delete
        self.previous = previous  #: serialised KeyValue before, None when there was none (or it is compacted)

    def __repr__(self) -> str:
        return f"Change({'DELETE' if self.is_delete else 'PUT'} {self.key!r} {self.kv!r})"


class Commit:
    """All changes of one main revision, in the order they were made."""

    __slots__ = ("changes", "revision")

    def __init__(self, revision: int, changes: list[Change]) -> None:
        self.revision = revision
        self.changes = changes

    def __repr__(self) -> str:
        return f"Commit({self.revision}, {self.changes!r})"


def read_changes(
    reader: Reader,
    compacted: int,
    low_revision: int,
    high_revision: int,
    key: bytes,
    range_end: bytes,
    with_previous: bool,
) -> Iterator[Commit]:
    """The commits with low_revision <= revision <= high_revision that touch the interval, from the revision rows."""
    low, high = interval(key, range_end)
    commit: Commit | None = None
    start, end = rows.revision_row(low_revision, 0), rows.revision_row(high_revision + 1, 0)
    for row, record in reader.scan(start, end):
        changed_key = keyvalue.key_of(record)
        if not contains(low, high, changed_key):
            continue
        main, _, is_delete = rows.revision_of(row)
        kv = keyvalue.encode_deleted(changed_key, varint(main)) if is_delete else record
        previous = None
        # What was there at main - 1 must still be readable; and a put that creates its key has nothing before it, even
        # where its transaction deleted one.
        if with_previous and main > compacted and (is_delete or keyvalue.fields(record).create_revision != main):
            previous = record_before(reader, changed_key, main)
        if commit is not None and commit.revision != main:
            yield commit
            commit = None
        if commit is None:
            commit = Commit(main, [])
        commit.changes.append(Change(changed_key, kv, is_delete, previous))
    if commit is not None:
        yield commit
