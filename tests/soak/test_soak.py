"""A few hours of the day: what Python holds must stay flat. The whole day is `python -m tests.soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.measure import GROWTH_ALLOWED, growth
from tests.soak.run import run

HOURS = 2.0


def test_leases_and_watches_leave_nothing_behind(tmp_path: Path) -> None:
    result = run(tmp_path, HOURS, seed=7)
    assert result.operations > 20_000
    assert result.figures[-1].compacted > result.figures[0].compacted
    # Bytes of the process are for the long run: the store fills its buffers for hours.
    for name in ("objects", "blocks"):
        assert growth([getattr(one, name) for one in result.figures]) < GROWTH_ALLOWED, result.figures


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 9, 9, 9, 9, 9, 9, 9], 0.0), ([1, 10, 10, 10, 10, 10, 11, 11], 0.1), ([5, 10, 10, 5], -0.5)],
)
def test_growth_is_of_what_comes_after_the_warm_up(values: list[float], expected: float) -> None:
    assert growth(values) == pytest.approx(expected)
