"""Does: `make bench`: etcd and dualmode in turns under the same loads; a table with ratios and bars."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.bench import h2load
from tests.bench.cases import Case, plan
from tests.bench.measure import Bench
from tests.bench.results import COLUMNS, ETCD, OURS, Results, cells, markdown, replace_measured
from tests.bench.targets import open_certificates, started
from tests.bench.workloads import TOPOLOGIES, Topology
from tests.interop.servers import ETCD as ETCD_PROGRAM

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@click.command()
@click.option("--quick", is_flag=True, help="One repetition of short runs: a minute, for a first look.")
@click.option("--repetitions", default=3, show_default=True)
@click.option("--seconds", default=0.8, show_default=True, help="Of each run.")
@click.option("--only", default="", help='Workloads whose name contains this, such as "put", "range of" or "watch".')
@click.option("--shape", "shape_name", default="", help='Only this shape, such as "10x10".')
@click.option("--loader", type=click.Choice(["h2load", "native"]), help="h2load where it is installed.")
@click.option("--ours", type=click.Choice(["dualmode", "etcd"]), default="dualmode", help="etcd: against itself.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where data directories are made.")
@click.option("--save", is_flag=True, help="Write the table into docs/benchmarks.md.")
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
) -> None:
    """Loads etcd and dualmode in turns and prints what an operation costs on each."""
    loader = loader or ("h2load" if h2load.PROGRAM else "native")
    if quick:
        repetitions, seconds = 1, 0.4
    chosen = possible(plan(only, shape_name))
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=data)))
        results = Results(machine(loader, repetitions, seconds))
        for topology in TOPOLOGIES:
            cases = [case for case in chosen if case.topology is topology]
            if cases:
                measure(results, topology, ours, root, loader, cases, repetitions, seconds)
    show(results)
    keep(results, save)


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


def machine(loader: str, repetitions: int, seconds: float) -> dict[str, str]:
    """Versions and the machine, without which figures say nothing."""

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    cpu = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ": ?"
    )
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    dirty = " with changes" if output("git", "status", "--porcelain", "-uno") else ""
    return {
        "taken": time.strftime("%Y-%m-%d"),
        "dualmode": output("git", "rev-parse", "--short", "HEAD") + dirty,
        "etcd": output(str(ETCD_PROGRAM), "--version").splitlines()[0].removeprefix("etcd Version: "),
        "Python": platform.python_version(),
        "machine": f"{cores} cores, {cpu.split(': ')[1]}, Linux {platform.release()}",
        "load average before": f"{os.getloadavg()[0]:.1f}",  # far above 0: others used the machine too
        "loader": h2load.version() if loader == "h2load" else "our own (tests/bench/native_load.py)",
        "method": f"median of {repetitions} runs of about {seconds} s each, servers in turns, fsync on",
    }


def show(results: Results) -> None:
    console = Console(width=None if sys.stdout.isatty() else 180)
    table = Table(title="CPU time of the server for each operation, and what follows from it")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number in (0, 1, len(COLUMNS) - 1) else "right")
    for row in results.rows:
        verdict = row.verdict()
        style = "green" if verdict.startswith("PASS") else "red" if verdict else ""
        *others, last = cells(row)
        table.add_row(*others, f"[{style}]{last}[/]" if style else last)
    console.print(table)
    console.print(
        f"resident memory: etcd {results.resident_mib[ETCD]:.0f} MiB, dualmode {results.resident_mib[OURS]:.0f} MiB: "
        f"{results.memory_verdict()}"
    )
    for name, value in results.machine.items():
        console.print(f"{name}: {value}", highlight=False)


def keep(results: Results, save: bool) -> None:
    folder = Path("bench-results")
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    print(f"kept as {path}")
    if save:
        PAGE.write_text(replace_measured(PAGE.read_text(), markdown(results)))
        print(f"written into {PAGE.name}")


if __name__ == "__main__":
    main()
