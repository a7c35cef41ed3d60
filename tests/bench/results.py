"""Decides: medians, spreads, ratios and bars, and the Markdown that keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

ETCD: Final = "etcd"
OURS: Final = "dualmode"
#: Where a table stands on the page, by what was measured.
MARKS: Final = {
    "dualmode": ("<!-- measured: begin -->", "<!-- measured: end -->"),
    "compiled": ("<!-- measured compiled: begin -->", "<!-- measured compiled: end -->"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one server: `operations` in `seconds` of wall time for `cpu_seconds` of the server."""

    operations: int
    seconds: float
    cpu_seconds: float
    p50_microseconds: float
    p99_microseconds: float
    p999_microseconds: float

    @property
    def per_second(self) -> float:
        return self.operations / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """Server CPU time for each operation."""
        return self.cpu_seconds / self.operations * 1e6


def percentile(ordered: Sequence[int], share: float) -> float:
    """Nearest rank."""
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


@dataclass
class Row:
    """A workload in a shape, with the samples of each server in the order they were taken."""

    workload: str
    shape: str
    bar: float | None
    #: Whether the slowest of a hundred answers may come no later than etcd's.
    judges_p99: bool = False
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {ETCD: [], OURS: []})

    def middle(self, server: str, what: str) -> float:
        return median(getattr(sample, what) for sample in self.samples[server])

    def spread(self, server: str, what: str) -> float:
        """(largest - smallest) / median."""
        values = [getattr(sample, what) for sample in self.samples[server]]
        return (max(values) - min(values)) / median(values)

    @property
    def cpu_ratio(self) -> float:
        """How many times etcd's throughput for each CPU second."""
        return self.middle(ETCD, "cpu_microseconds") / self.middle(OURS, "cpu_microseconds")

    @property
    def speed_ratio(self) -> float:
        return self.middle(OURS, "per_second") / self.middle(ETCD, "per_second")

    def latency_ratio(self, share: str) -> float:
        """Below 1: we answer sooner. `share` is "p50" or "p99"."""
        return self.middle(OURS, f"{share}_microseconds") / self.middle(ETCD, f"{share}_microseconds")

    def verdict(self) -> str:
        """Against the bars of this row; empty where there is none."""
        if self.shape == "1x1":
            return self._latency_verdict("p50")
        verdicts = []
        if self.bar is not None:
            verdicts.append(_verdict(self.cpu_ratio >= self.bar, f"{self.bar:.1f}"))
        if self.judges_p99:
            verdicts.append(self._latency_verdict("p99"))
        return ", ".join(verdicts)

    def _latency_verdict(self, share: str) -> str:
        ratio = self.latency_ratio(share)
        return _verdict(ratio <= 1.0, f"{share} {ratio:.2f}x")


def _verdict(passed: bool, text: str) -> str:
    return f"{'PASS' if passed else 'FALLS SHORT'} ({text})"


@dataclass
class Results:
    """Everything of one session of measuring."""

    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    resident_mib: dict[str, float] = field(default_factory=dict)

    def row(self, workload: str, shape: str, bar: float | None, judges_p99: bool = False) -> Row:
        """The row of this name, made when there is none."""
        for row in self.rows:
            if (row.workload, row.shape) == (workload, shape):
                return row
        self.rows.append(Row(workload, shape, bar, judges_p99))
        return self.rows[-1]

    def memory_verdict(self) -> str:
        return _verdict(self.resident_mib[OURS] < self.resident_mib[ETCD], "below etcd's")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Results:
        rows = [
            Row(**{**row, "samples": {name: [Sample(**one) for one in them] for name, them in row["samples"].items()}})
            for row in kept["rows"]
        ]
        return cls(kept["machine"], rows, kept["resident_mib"])


COLUMNS: Final = (
    *("workload", "shape", "etcd us/op", "ours us/op", "CPU ratio", "etcd op/s", "ours op/s", "speed ratio"),
    *("etcd p50/p99/p99.9 us", "ours p50/p99/p99.9 us", "spread", "bar"),
)


def cells(row: Row) -> list[str]:
    """One row of the table, as text. us/op is server CPU time; ratios above 1 are in our favour."""
    latencies = [
        "/".join(f"{row.middle(server, f'{it}_microseconds'):.0f}" for it in ("p50", "p99", "p999"))
        for server in (ETCD, OURS)
    ]
    spread = max(row.spread(server, "cpu_microseconds") for server in (ETCD, OURS))
    return [
        *(row.workload, row.shape),
        *(f"{row.middle(server, 'cpu_microseconds'):.1f}" for server in (ETCD, OURS)),
        f"{row.cpu_ratio:.2f}",
        *(f"{row.middle(server, 'per_second'):,.0f}" for server in (ETCD, OURS)),
        f"{row.speed_ratio:.2f}",
        *latencies,
        f"{spread:.0%}",
        row.verdict(),
    ]


def markdown(results: Results) -> str:
    def line(parts: Iterable[str]) -> str:
        return "| " + " | ".join(parts) + " |"

    table = [line(COLUMNS), line("---" for _ in COLUMNS), *(line(cells(row)) for row in results.rows)]
    memory = f"etcd {results.resident_mib[ETCD]:.0f} MiB, dualmode {results.resident_mib[OURS]:.0f} MiB"
    machine = [f"- {name}: {value}" for name, value in results.machine.items()]
    return "\n".join(
        [*table, "", f"Memory after all of it (resident): {memory}: {results.memory_verdict()}", "", *machine]
    )


def replace_measured(page: str, measured: str, ours: str = "dualmode") -> str:
    """The page with what stands between the marks replaced. Raises ValueError when it has no marks."""
    mark_begin, mark_end = MARKS[ours]
    before, begin, rest = page.partition(mark_begin)
    _, end, after = rest.partition(mark_end)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {mark_begin} and {mark_end}")
    return f"{before}{mark_begin}\n\n{measured}\n\n{mark_end}{after}"
