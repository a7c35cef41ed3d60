"""Does: `make bench`: etcd and dualmode in turns under the same loads; a table with ratios and bars."""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
from pathlib import Path

import click

from tests.bench import charts, h2load, report
from tests.bench.cases import Case, plan
from tests.bench.measure import Bench
from tests.bench.results import ETCD, OURS, Results, markdown, replace_measured
from tests.bench.targets import COMPILED, open_certificates, started
from tests.bench.workloads import TOPOLOGIES, Topology

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@click.command()
@click.option("--quick", is_flag=True, help="One repetition of short runs: some minutes, for a first look.")
@click.option("--repetitions", default=3, show_default=True)
@click.option("--seconds", default=0.8, show_default=True, help="Of each run.")
@click.option("--only", default="", help='Workloads whose name contains this, such as "put", "range of" or "watch".')
@click.option("--shape", "shape_name", default="", help='Only this shape, such as "10x10".')
@click.option("--loader", type=click.Choice(["h2load", "native"]), help="h2load where it is installed.")
@click.option(
    "--ours",
    type=click.Choice(["dualmode", "compiled", "etcd"]),
    default="dualmode",
    help="compiled: what `make wheel` has built. etcd: against itself.",
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where data directories are made.")
@click.option("--save", is_flag=True, help="Write the table into docs/benchmarks.md.")
@click.option("--plot", is_flag=True, help="Draw charts into docs/charts; with --save, show them on the page too.")
def main(
    quick: bool,
    repetitions: int,
    seconds: float,
    only: str,
    shape_name: str,
    loader: str | None,
    ours: str,
    data: Path | None,
    save: bool,
    plot: bool,
) -> None:
    """Loads etcd and dualmode in turns and prints what an operation costs on each."""
    loader = loader or ("h2load" if h2load.PROGRAM else "native")
    if quick:
        repetitions, seconds = 1, 0.4
    chosen = possible(plan(only, shape_name))
    if ours == "compiled" and not COMPILED.exists():
        raise click.UsageError("there are no compiled modules yet: run `make wheel` first")
    if save and ours == "etcd":
        raise click.UsageError("what etcd does against itself has no place on the page")
    if not chosen:
        raise click.UsageError(f"nothing to measure with {only!r} in its name, shape {shape_name or 'any'}")
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=data)))
        results = Results(report.machine(loader, repetitions, seconds, ours))
        for topology in TOPOLOGIES:
            cases = [case for case in chosen if case.topology is topology]
            if cases:
                measure(results, topology, ours, root, loader, cases, repetitions, seconds)
    report.show(results)
    report.keep("", results.as_json())
    drawn = charts.draw(results) if plot else []
    if save:
        measured = "\n\n".join(filter(None, (markdown(results), charts.links(drawn))))
        PAGE.write_text(replace_measured(PAGE.read_text(), measured, ours))
        print(f"written into {PAGE.name}")


def measure(
    results: Results,
    topology: Topology,
    ours: str,
    root: Path,
    loader: str,
    cases: list[Case],
    repetitions: int,
    seconds: float,
) -> None:
    """Rounds alternate between the two sides, and who begins alternates too: the machine's moods hit both."""
    with contextlib.ExitStack() as stack:
        benches: dict[str, Bench] = {}
        for name, program in ((ETCD, "etcd"), (OURS, ours)):
            directory = root / f"{name}{TOPOLOGIES.index(topology)}"
            directory.mkdir()
            tls = open_certificates(directory / "tls") if topology.has_tls else None
            target = stack.enter_context(started(program, name, topology, directory, tls))
            benches[name] = Bench(target, topology, directory, loader)
            benches[name].fill()
        total = len(cases) * repetitions
        for number in range(total):
            case = cases[number // repetitions]
            say(f"{number + 1}/{total} {case.name} {case.shape}")
            for name in in_turn(number):
                row = results.row(case.name, case.shape, case.bar, case.judges_p99)
                row.samples[name].append(case.take(benches[name], seconds))
        for name, bench in benches.items():
            results.resident_mib[name] = max(results.resident_mib.get(name, 0.0), bench.target.resident_mib())
        say("")


def possible(cases: list[Case]) -> list[Case]:
    """Those for which a process may open enough files here; servers and h2load inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for case in cases:
        if not case.fits(hard):
            print(f"left out: {case.name} {case.shape}: a process may open {hard} files here", file=sys.stderr)
    return [case for case in cases if case.fits(hard)]


def in_turn(number: int) -> tuple[str, str]:
    return (ETCD, OURS) if number % 2 == 0 else (OURS, ETCD)


def say(text: str) -> None:
    """One line that is written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
