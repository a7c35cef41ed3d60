"""The charts' text, and that what was kept can be drawn later."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.charts import LARGEST, Measured, chart, charts, draw, links, x_of
from tests.bench.results import ETCD, OURS, Results, Row, Sample

SVG = "{http://www.w3.org/2000/svg}"


def row(workload: str, shape: str, ratio: float, bar: float | None = None, judges_p99: bool = False) -> Row:
    etcd, ours = (Sample(1000, 1.0, cost, 100 * cost, 200 * cost, 300 * cost) for cost in (ratio, 1.0))
    return Row(workload, shape, bar, judges_p99, {ETCD: [etcd], OURS: [ours]})


RESULTS = Results(
    {"etcd": "3.5.1"},
    [
        row("Put", "100x10", 1.5, 2.0, judges_p99=True),
        row("Put", "1x1", 0.5),
        row("Watch fan-out", "1000x1", 3.5, 3.0),
        row("Watch fan-out", "10x100", 4.0, 3.0),
    ],
    {ETCD: 2.0, OURS: 1.0},
)


def test_a_chart_says_and_shows_each_ratio() -> None:
    text = chart("A & B", [Measured("met <1>", 4.0, 2.0), Measured("missed", 1.5, 2.0), Measured("plain", 0.5, None)])
    root = ElementTree.fromstring(text)
    words = [it.text for it in root.iter(f"{SVG}text")]
    assert [it for it in words if it in ("A & B", "met <1>", "4.00", "1.50", "0.50")] == [
        *("A & B", "met <1>", "4.00", "1.50", "0.50"),
    ]
    _, met, missed, plain = root.iter(f"{SVG}rect")
    assert len({it.get("fill") for it in (met, missed, plain)}) == 3
    assert float(met.get("x", "")) == pytest.approx(x_of(1.0), abs=0.1)  # from 1 to the right
    assert float(plain.get("x", "")) == pytest.approx(x_of(0.5), abs=0.1)  # and to the left
    marks = [it for it in root.iter(f"{SVG}line") if it.get("stroke-width")]
    assert [float(it.get("x1", "")) for it in marks] == [pytest.approx(x_of(2.0), abs=0.1)] * 2


def test_the_axis_is_logarithmic_and_ends() -> None:
    assert x_of(2.0) - x_of(1.0) == pytest.approx(x_of(1.0) - x_of(0.5))
    assert x_of(1000.0) == x_of(LARGEST)


def test_one_chart_for_each_shape_and_for_what_has_bars_of_its_own() -> None:
    made = charts(RESULTS)
    assert sorted(made) == ["cpu-100x10.svg", "cpu-1x1.svg", "cpu-watch.svg", "p50-1x1.svg", "p99.svg"]
    assert all(f"Watch fan-out {shape}" in made["cpu-watch.svg"] for shape in ("10x100", "1000x1"))


def test_what_is_drawn_is_shown(tmp_path: Path) -> None:
    names = draw(RESULTS, tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert links(["cpu-1x1.svg", "p99.svg"]) == "![cpu-1x1](charts/cpu-1x1.svg)\n\n![p99](charts/p99.svg)"


def test_what_was_kept_is_drawn_alike() -> None:
    assert charts(Results.from_json(json.loads(json.dumps(RESULTS.as_json())))) == charts(RESULTS)
