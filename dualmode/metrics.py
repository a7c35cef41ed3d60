"""Decides: counters and histograms as plain numbers; whoever counts pays an addition, the scrape does the rest.

The lowest layer, so that storage, replica and rpc count without knowing Prometheus. status/ reads the numbers when it
is asked and gives them their names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def exponential_buckets(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Upper bounds start, start*factor, ... as etcd declares its histograms."""
    return tuple(start * factor**power for power in range(count))


class Counter:
    """A number that grows. Hot paths write `counter.value += 1` themselves."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Histogram:
    """How often a value fell into which bucket. The unit is the caller's; Prometheus wants seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds must grow"
        self.bounds = tuple(bounds)
        #: Not cumulative; the last one counts what is above all bounds.
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """A bound belongs to the bucket below it (Prometheus' `le`)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, int]]:
        """(upper bound as text, how many values up to it), the last bound being "+Inf"."""
        result = []
        sum_so_far = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            sum_so_far += count
            result.append(("+Inf" if bound == float("inf") else repr(bound), sum_so_far))
        return result
