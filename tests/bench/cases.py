"""Decides: the rows of the table: what is measured in which shape of load and which topology, and with which bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.bench import keep_alive, watching
from tests.bench.measure import Bench
from tests.bench.results import Sample
from tests.bench.varied import VARIED
from tests.bench.workloads import (
    CLUSTER_SHAPES,
    ONE,
    P99_SHAPE,
    SHAPES,
    TOPOLOGIES,
    WORKLOADS,
    Shape,
    Topology,
    Workload,
    bar_at,
)

KEEP_ALIVE_BAR: Final = 2.0
#: Files beside its sockets that a process of either side has open, at most; a TLS connection is one, too.
OTHER_FILES: Final = 256


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table to be. `take(bench, seconds)` measures one side once."""

    topology: Topology
    workload: str
    shape: str
    bar: float | None
    take: Callable[[Bench, float], Sample]
    connections: int
    judges_p99: bool = False

    @property
    def name(self) -> str:
        return ", ".join(filter(None, (self.workload, self.topology.name)))

    def fits(self, files: int) -> bool:
        """Whether a process that may open so many files can do it."""
        return self.connections + OTHER_FILES <= files


def _repeated(workload: Workload, topology: Topology, shape: Shape, bar: float | None) -> Case:
    judges_p99 = workload.judges_p99 and topology is ONE and shape == P99_SHAPE

    def take(bench: Bench, seconds: float) -> Sample:
        return bench.sample(workload, shape, seconds)

    return Case(topology, workload.name, str(shape), bar, take, shape.connections, judges_p99)


def _varied() -> list[Case]:
    return [
        Case(
            *(ONE, load.name, str(shape), bar_at(load.bar, shape)),
            lambda bench, seconds, load=load, shape=shape: load.sample(bench, shape, seconds),  # type: ignore[misc]
            shape.connections,
        )
        for load in VARIED
        for shape in SHAPES
    ]


def _keep_alives() -> list[Case]:
    return [
        Case(
            *(ONE, "Lease keep-alive", str(shape), bar_at(KEEP_ALIVE_BAR, shape)),
            lambda bench, seconds, shape=shape: keep_alive.sample(bench, shape, seconds),  # type: ignore[misc]
            shape.connections,
        )
        for shape in SHAPES
    ]


def _watches() -> list[Case]:
    cases = [
        Case(
            *(ONE, "Watch fan-out", f"{shape.connections}x{shape.streams}", watching.BAR),
            lambda bench, seconds, shape=shape: watching.fan_out(bench, shape),  # type: ignore[misc]
            shape.connections,
        )
        for shape in watching.SHAPES
    ]
    rate = f"{watching.PUTS_PER_SECOND:,}/s"
    return [*cases, Case(ONE, "Watch latency beside Puts", rate, None, watching.latency_under_load, 11)]


def _elsewhere() -> list[Case]:
    return [
        _repeated(workload, topology, shape, bar_at(bar, shape))
        for topology in TOPOLOGIES[1:]
        for workload in WORKLOADS
        if (bar := workload.bar_in(topology)) is not None
        for shape in (CLUSTER_SHAPES if topology.members > 1 else SHAPES)
    ]


def plan(only: str, shape_name: str) -> list[Case]:
    """Every case whose name contains `only`, in the order of the table."""
    cases = [
        _repeated(workload, ONE, shape, workload.bar_at(shape)) for workload in WORKLOADS for shape in workload.shapes
    ]
    cases += [*_varied(), *_keep_alives(), *_watches(), *_elsewhere()]
    return [case for case in cases if only.lower() in case.name.lower() and shape_name in ("", case.shape)]
