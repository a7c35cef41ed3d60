"""Decides: sets of keys made of intervals, and whether an interval lies in one entirely.

A permission is for a key, a range or everything from a key on; a user has many, through several roles. What a request
touches is again an interval, and it is allowed when the permissions together cover all of it, also where several of
them have to be laid side by side. Merged once into disjoint intervals, that is one binary search.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

#: [low, high) of keys; high None: without end (see `storage.mvcc.interval`).
Interval = tuple[bytes, bytes | None]


class KeySet:
    """Immutable. Intervals may overlap, touch and come in any order; empty ones hold nothing."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self._lows: list[bytes] = []
        self._highs: list[bytes | None] = []
        for low, high in sorted(intervals, key=lambda interval: interval[0]):
            if high is None or low < high:
                self._add(low, high)

    def _add(self, low: bytes, high: bytes | None) -> None:
        """`low` is no lower than any before it, so only the last interval can meet the new one."""
        if not self._highs:
            self._lows.append(low)
            self._highs.append(high)
            return
        last = self._highs[-1]
        if last is None:
            return
        if low > last:
            self._lows.append(low)
            self._highs.append(high)
        elif high is None or high > last:
            self._highs[-1] = high

    @property
    def intervals(self) -> list[Interval]:
        """Disjoint, not touching, ascending."""
        return list(zip(self._lows, self._highs, strict=True))

    def covers(self, low: bytes, high: bytes | None) -> bool:
        """Whether every key of [low, high) is in the set.

        An interval that holds no key (high <= low) is covered where its low end is in the set: who may not see what
        is around it is not told that it is empty.
        """
        at = bisect_right(self._lows, low) - 1
        if at < 0:
            return False
        end = self._highs[at]
        return end is None or (low < end and high is not None and high <= end)
