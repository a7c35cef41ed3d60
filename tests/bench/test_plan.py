"""Which rows there are, and when the next request of a steady load is due."""

from __future__ import annotations

import pytest

from tests.bench.cases import OTHER_FILES, plan
from tests.bench.measure import operations_of
from tests.bench.pace import Pace
from tests.bench.workloads import Shape


def bars(name: str) -> dict[str, float | None]:
    return {case.shape: case.bar for case in plan("", "") if case.name == name}


@pytest.mark.parametrize(
    ("name", "bar"),
    [("Lease keep-alive", 2.0), ("Put, auth on", 2.0), ("Range, auth on", 3.0), ("Paging, 100,000 keys", 3.0)],
)
def test_bars_of_load(name: str, bar: float) -> None:
    load = {"1x100": bar, "10x10": bar, "100x1": None, "100x10": bar, "1000x1": None, "1x1": None}
    assert bars(name) == load


def test_no_row_is_there_twice() -> None:
    rows = [(case.name, case.shape) for case in plan("", "")]
    assert len(rows) == len(set(rows)) > 100


def test_the_tail_is_judged_for_put_and_range_only() -> None:
    assert [(case.name, case.shape) for case in plan("", "") if case.judges_p99] == [
        ("Put", "100x10"),
        ("Range", "100x10"),
    ]


def test_rows_are_chosen_by_name_and_shape() -> None:
    assert {case.name for case in plan("lease", "1x1")} == {"Lease grant and revoke", "Lease keep-alive"}
    assert [case.shape for case in plan("fan-out", "")] == ["10x100", "1x1000", "1000x1"]
    assert not plan("no such row", "")


def test_many_connections_want_many_files() -> None:
    (many,) = plan("keep-alive", "1000x1")
    assert not many.fits(1024)
    assert many.fits(1000 + OTHER_FILES)


@pytest.mark.parametrize(
    ("shape", "usual", "operations"),
    [
        (Shape(10, 10), 5000.5, 5000),
        (Shape(100, 10), 300.0, 1000),  # each slot has one
        (Shape(1000, 1), 30_000.0, 30_000),
        (Shape(1000, 1), 9000.0, 20_000),  # twenty for each connection
        (Shape(1000, 1), 2000.0, 8000),  # but not more than four times as long as others
        (Shape(1000, 1), 100.0, 1000),
    ],
)
def test_length_of_a_run(shape: Shape, usual: float, operations: int) -> None:
    assert operations_of(shape, usual) == operations


def test_a_pace_sends_what_is_due_however_late_it_is_asked() -> None:
    pace = Pace(100.0, 10, start=5.0)
    assert (pace.due(5.0), pace.due(5.0)) == (1, 0)
    assert pace.wait_seconds(5.0) == pytest.approx(0.01)
    assert pace.due(5.035) == 3
    assert pace.wait_seconds(5.05) == 0.0
    assert pace.due(9.0) == 6
    assert (pace.sent, pace.due(10.0), pace.wait_seconds(10.0)) == (10, 0, 1.0)
