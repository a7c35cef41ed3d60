"""Decides: charts of ratios to etcd, as SVG text.

    python -m tests.bench.charts bench-results/20260102-030405.json

draws those of a run that was kept, as `make bench ARGS=--plot` draws those of the run itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import click

from tests.bench.results import Results, Row

FOLDER: Final = Path(__file__).parents[2] / "docs" / "charts"
#: The axis is logarithmic: twice as much is as far to the right as half is to the left.
SMALLEST: Final = 0.25
LARGEST: Final = 16.0
_ROW: Final = 22
_LABEL: Final = 270
_WIDTH: Final = 480
_TOP: Final = 56
_RIGHT: Final = 70
_MET, _MISSED, _PLAIN, _INK, _GRID = "#2e7d4f", "#c0392b", "#5b7fa6", "#24292f", "#d0d7de"


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of a chart: how many times etcd's, and how many times it should be."""

    label: str
    ratio: float
    bar: float | None


def x_of(ratio: float) -> float:
    """Where a ratio lies; what is beyond the axis lies at its end."""
    inside = min(max(ratio, SMALLEST), LARGEST)
    return _LABEL + _WIDTH * math.log(inside / SMALLEST) / math.log(LARGEST / SMALLEST)


def chart(title: str, lines: Iterable[Measured]) -> str:
    """Bars from 1 to the right (more than etcd) or to the left (less); a stroke marks the bar that is to be reached."""
    lines = list(lines)
    height = _TOP + _ROW * len(lines) + 16
    width = _LABEL + _WIDTH + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    tick = SMALLEST
    while tick <= LARGEST:
        x, stroke = x_of(tick), _INK if tick == 1 else _GRID
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height - 12}" stroke="{stroke}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle">{tick:g}x</text>')
        tick *= 2
    for number, line in enumerate(lines):
        parts += _line(line, _TOP + number * _ROW)
    return "\n".join([*parts, "</svg>", ""])


def _line(line: Measured, top: int) -> list[str]:
    one, x = x_of(1.0), x_of(line.ratio)
    colour = _PLAIN if line.bar is None else _MET if line.ratio >= line.bar else _MISSED
    parts = [
        f'<text x="{_LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(line.label)}</text>',
        f'<rect x="{min(one, x):.1f}" y="{top + 2}" width="{max(abs(x - one), 1):.1f}" height="{_ROW - 8}" '
        f'fill="{colour}"/>',
        f'<text x="{max(one, x) + 6:.1f}" y="{top + 13}">{line.ratio:.2f}</text>',
    ]
    if line.bar is not None:
        bar = x_of(line.bar)
        parts.append(
            f'<line x1="{bar:.1f}" x2="{bar:.1f}" y1="{top - 1}" y2="{top + _ROW - 3}" stroke="{_INK}" '
            'stroke-width="2.5"/>'
        )
    return parts


def charts(results: Results) -> dict[str, str]:
    """File name and text of each: one for every shape of load, one for watches, two for latencies."""
    rows = [row for row in results.rows if all(row.samples.values())]
    watches = [row for row in rows if row.workload.startswith("Watch")]
    loads = [row for row in rows if row not in watches]
    made = {}
    for shape in dict.fromkeys(row.shape for row in loads):
        lines = [Measured(row.workload, row.cpu_ratio, row.bar) for row in loads if row.shape == shape]
        made[f"cpu-{shape}.svg"] = chart(f"{shape}: work for each CPU second of the server, etcd is 1", lines)
    if watches:
        lines = [Measured(f"{row.workload} {row.shape}", row.cpu_ratio, row.bar) for row in watches]
        made["cpu-watch.svg"] = chart("Watches: work for each CPU second of the server, etcd is 1", lines)
    alone = [Measured(row.workload, _sooner(row, "p50"), 1.0) for row in rows if row.shape == "1x1"]
    if alone:
        made["p50-1x1.svg"] = chart("1x1: how many times sooner than etcd the median answer comes", alone)
    tail = [Measured(f"{row.workload} {row.shape}", _sooner(row, "p99"), 1.0) for row in rows if row.judges_p99]
    if tail:
        made["p99.svg"] = chart("p99: how many times sooner than etcd the slowest of a hundred answers comes", tail)
    return made


def _sooner(row: Row, share: str) -> float:
    return 1 / row.latency_ratio(share)


def draw(results: Results, folder: Path = FOLDER) -> list[str]:
    """Writes them; the names of the files."""
    folder.mkdir(exist_ok=True)
    made = charts(results)
    for name, text in made.items():
        (folder / name).write_text(text)
        print(f"drawn: {folder.name}/{name}")
    return list(made)


def links(names: Iterable[str]) -> str:
    """Markdown that shows them on a page beside the folder."""
    return "\n\n".join(f"![{name.removesuffix('.svg')}]({FOLDER.name}/{name})" for name in names)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Draws what `make bench` kept as FILE into docs/charts."""
    draw(Results.from_json(json.loads(file.read_text())))


if __name__ == "__main__":
    main()
