"""Decides: Prometheus' text format (0.0.4) from plain numbers.

prometheus-client writes it too, but takes some 10 microseconds a sample: over the thousand samples of the gRPC
counters alone that would hold the loop for 10 ms at every scrape. It also cannot say etcd's counters that do not end in
`_total`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dualmode.metrics import Histogram

Number = int | float
Labels = tuple[str, ...]
#: One sample, or one for each tuple of label values.
Value = Number | Histogram | Mapping[Labels, Number] | Mapping[Labels, Histogram]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, "counter", "gauge" or "histogram", what it means, and the names of its labels."""

    name: str
    kind: str
    help: str
    labels: Labels = ()


def number_text(value: Number) -> str:
    """Whole numbers plainly, as Go prints them up to 21 digits."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def label_text(names: Iterable[str], values: Iterable[str]) -> str:
    """`{name="value",...}`, or nothing."""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def render(family: Family, value: Value) -> str:
    """The family with all its samples, sorted by nothing: their order is the mapping's."""
    lines = [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
    samples = value.items() if isinstance(value, Mapping) else [((), value)]
    for labels, sample in samples:
        if isinstance(sample, Histogram):
            lines += _histogram(family, labels, sample)
        else:
            lines.append(f"{family.name}{label_text(family.labels, labels)} {number_text(sample)}")
    return "\n".join(lines) + "\n"


def _histogram(family: Family, labels: Labels, histogram: Histogram) -> Iterator[str]:
    for bound, count in histogram.cumulative():
        yield f"{family.name}_bucket{label_text((*family.labels, 'le'), (*labels, bound))} {count}"
    text = label_text(family.labels, labels)
    yield f"{family.name}_sum{text} {number_text(histogram.total)}"
    yield f"{family.name}_count{text} {histogram.count}"
