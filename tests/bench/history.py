"""Does: what a long history does to a member, and a compaction of it while it serves, beside etcd.

    python -m tests.bench.history [--revisions 1000000] [--keys 100]

Each server gets that many revisions of that few keys. Then a steady load of 1,000 requests a second (half Puts, half
Ranges) runs: for a while, during a compaction of all of it that is waited for, and for a while after it.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import click
import grpc

from dualmode.api import etcdserverpb
from tests.bench import h2load, native_load, report
from tests.bench.h2load import LoadFailedError
from tests.bench.large import costs
from tests.bench.measure import Bench
from tests.bench.results import percentile
from tests.bench.scripts import shuffled
from tests.bench.steady import SteadyLoad
from tests.bench.targets import Target, started
from tests.bench.workloads import ONE, PUT_KEY, VALUE, Shape, Workload, grpc_message
from tests.interop.grpc_client import connect

FILL_SHAPE: Final = Shape(10, 50)
#: Each key is put so often in one go, then the next.
PUTS_IN_A_ROW: Final = 5000
BESIDE_SECONDS: Final = 3.0
COMPACTION_TIMEOUT_SECONDS: Final = 240.0


def fill(target: Target, directory: Path, revisions: int, keys: int) -> None:
    """Puts, one revision each. Raises `LoadFailedError` when a single one did not happen."""
    url, before = target.servers[0].url, revision(target)
    requests = [etcdserverpb.PutRequest(key=b"history/%04d" % number, value=VALUE) for number in range(keys)]
    done = number = 0
    while done < revisions:
        count = min(PUTS_IN_A_ROW, revisions - done)
        workload = Workload("Fill", "Put", requests[number % keys], True, None)
        if h2load.PROGRAM:
            h2load.run(url, workload, FILL_SHAPE, count, directory)
        else:
            native_load.run(url, shuffled(workload.path, [grpc_message(workload.request)], 5), FILL_SHAPE, count)
        done, number = done + count, number + 1
    if revision(target) != before + revisions:
        raise LoadFailedError(f"{revision(target) - before} of {revisions} revisions happened")


def revision(target: Target) -> int:
    return int(target.client.Range(key=PUT_KEY).header.revision)


def compact(target: Target, at: int) -> None:
    """Returns when it is done in the store, too. Raises `LoadFailedError` when what is older can still be read."""
    request = etcdserverpb.CompactionRequest(revision=at, physical=True)
    with connect(target.servers[0]) as client:
        client.call("Compact", request, COMPACTION_TIMEOUT_SECONDS)
        try:
            client.Range(key=PUT_KEY, revision=at - 1)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                return
            raise
    raise LoadFailedError("an older revision can still be read")


def phases(target: Target) -> dict[str, dict[str, Any]]:
    """Before, during and after: seconds, server CPU seconds, and each kind's p50, p99 and largest latency."""
    found: dict[str, dict[str, Any]] = {}
    with SteadyLoad(target.servers[0].url) as load, ThreadPoolExecutor(1) as beside:
        for name in ("before", "during", "after"):
            before, began = target.cpu_seconds(), time.monotonic()
            compaction: Future[None] | None = None
            if name == "during":
                compaction = beside.submit(compact, target, revision(target))
                seconds = load.run(compaction.done)
                compaction.result()
            else:
                seconds = load.run(lambda began=began: time.monotonic() - began > BESIDE_SECONDS)  # type: ignore[misc]
            found[name] = {"seconds": seconds, "cpu_seconds": target.cpu_seconds() - before}
            for method, took in load.latencies.items():
                found[name][method] = [percentile(took, 0.5), percentile(took, 0.99), float(took[-1])]
    return found


def measure(program: str, revisions: int, keys: int, directory: Path) -> dict[str, Any]:
    """One server; a line for each figure."""

    def say(what: str, value: str) -> None:
        click.echo(f"| {program} | {what} | {value} |")

    directory.mkdir()
    with started(program, program, ONE, directory) as target:
        bench = Bench(target, ONE, directory, "h2load" if h2load.PROGRAM else "native")
        target.client.Put(key=PUT_KEY, value=VALUE)
        began = time.monotonic()
        fill(target, directory / "fill", revisions, keys)
        figures: dict[str, Any] = {"fill_seconds": time.monotonic() - began, "memory_mib": target.resident_mib()}
        say(f"{revisions:,} revisions of {keys} keys", f"filled in {figures['fill_seconds']:.1f} s")
        say("memory", f"{figures['memory_mib']:.0f} MiB")
        figures["with_history"] = costs(bench)
        figures["phases"] = phases(target)
        for name, phase in figures["phases"].items():
            latencies = "; ".join(
                f"{kind} p50/p99/max {'/'.join(f'{it:.0f}' for it in phase[kind])} us" for kind in ("Put", "Range")
            )
            share = phase["cpu_seconds"] / phase["seconds"]
            say(f"{name} the compaction", f"{phase['seconds']:.1f} s, {share:.0%} of a core; {latencies}")
        figures["compacted"] = costs(bench)
        figures["memory_after_mib"] = target.resident_mib()
        for name in ("with_history", "compacted"):
            say(name.replace("_", " "), ", ".join(f"{kind} {cost:.1f} us" for kind, cost in figures[name].items()))
        say("memory after it", f"{figures['memory_after_mib']:.0f} MiB")
    return figures


@click.command()
@click.option("--revisions", default=1_000_000, show_default=True)
@click.option("--keys", default=100, show_default=True)
@click.option("--program", "programs", multiple=True, default=("etcd", "dualmode"), show_default=True)
def main(revisions: int, keys: int, programs: tuple[str, ...]) -> None:
    """A long history, and the end of it."""
    click.echo("| server | what | figure |")
    click.echo("| --- | --- | --- |")
    figures = {}
    for program in programs:
        with tempfile.TemporaryDirectory(prefix="history-") as folder:
            figures[program] = measure(program, revisions, keys, Path(folder) / program)
    report.keep("-history", figures)


if __name__ == "__main__":
    main()
