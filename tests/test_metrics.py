"""Counters and histograms against what Prometheus defines."""

import pytest

from dualmode.metrics import Counter, Histogram, exponential_buckets


def test_buckets_are_etcds() -> None:
    assert exponential_buckets(0.001, 2, 4) == (0.001, 0.002, 0.004, 0.008)
    assert len(exponential_buckets(0.001, 2, 14)) == 14


def test_a_bound_belongs_to_its_own_bucket() -> None:
    histogram = Histogram([1, 2])
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.observe(value)
    assert histogram.cumulative() == [("1", 2), ("2", 4), ("+Inf", 5)]
    assert histogram.count == 5
    assert histogram.total == 8


def test_bounds_that_do_not_grow_are_our_mistake() -> None:
    with pytest.raises(AssertionError):
        Histogram([2, 1])


def test_a_counter_counts() -> None:
    counter = Counter()
    counter.value += 2
    assert counter.value == 2
