"""Decides: how many keys an interval has, without counting all of them again for every page.

Every answer to a Range tells how many keys there are in all, so a page of 500 keys out of a million would cost a walk
over the million. Two things are remembered, both exact:

- where a page ended, at which revision, and how many keys were left then: the next page begins there;
- the number of an interval at a revision: what has changed since then says what it is now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from dualmode import limits
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.mvcc.changes import Commit

Interval = tuple[bytes, bytes]


class CountedView(Protocol):
    """What counting needs of the store."""

    revision: int

    def count(self, key: bytes, range_end: bytes, revision: int) -> int: ...


class History(CountedView, Protocol):
    """And what remembering needs (`storage.mvcc.Store`)."""

    @property
    def compacted(self) -> int: ...

    def changes(self, low_revision: int, high_revision: int, key: bytes, range_end: bytes) -> Iterator[Commit]: ...


class Counting(Protocol):
    """How a Range counts. Revision 0 is now."""

    def total(self, view: CountedView, key: bytes, range_end: bytes, revision: int) -> int:
        """How many keys the interval has. Raises as `view.count`."""

    def note_page(self, key: bytes, range_end: bytes, revision: int, total: int) -> None:
        """A page ended before `key`; from there on are so many."""


class Counts:
    """The memory of one store. It is asked between passes only: then a revision is what it will always be."""

    def __init__(self, store: History) -> None:
        self._store = store
        self._pages: OrderedDict[tuple[bytes, bytes, int], int] = OrderedDict()
        self._intervals: OrderedDict[Interval, tuple[int, int]] = OrderedDict()

    def total(self, view: CountedView, key: bytes, range_end: bytes, revision: int) -> int:
        """See Counting."""
        revision = revision if revision > 0 else view.revision
        known = self._pages.get((key, range_end, revision))
        if known is not None and revision >= self._store.compacted:
            return known
        if revision != view.revision:
            return view.count(key, range_end, revision)
        known = self._brought_up_to_date(key, range_end)
        total = view.count(key, range_end, 0) if known is None else known
        _remember(self._intervals, (key, range_end), (revision, total))
        return total

    def note_page(self, key: bytes, range_end: bytes, revision: int, total: int) -> None:
        """See Counting."""
        _remember(self._pages, (key, range_end, revision), total)
        if revision == self._store.revision:
            # Who pages through what is there now may find it changed at the next page.
            _remember(self._intervals, (key, range_end), (revision, total))

    def _brought_up_to_date(self, key: bytes, range_end: bytes) -> int | None:
        """The number of an interval now, from an older one; None when there is none, or counting costs less."""
        if (key, range_end) not in self._intervals:
            return None
        store = self._store
        revision, total = self._intervals[key, range_end]
        # What compaction has removed since cannot be told any more.
        if revision < store.compacted or store.revision - revision > total * limits.RECOUNT_SHARE:
            return None
        if revision == store.revision:
            return total
        for commit in store.changes(revision + 1, store.revision, key, range_end):
            for change in commit.changes:
                if change.is_delete:
                    total -= 1
                elif keyvalue.fields(change.kv).version == 1:
                    total += 1
        return total


def _remember(memory: OrderedDict, name: tuple, value: object) -> None:  # type: ignore[type-arg]
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > limits.REMEMBERED_COUNTS:
        memory.popitem(last=False)
