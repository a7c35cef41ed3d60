"""Does: what a call costs through `dualmode proxy`, beside etcd's own gRPC proxy and TCP gateway.

    python -m tests.bench.proxies [--seconds 2] [--rounds 3]

One etcd 3.5.1 behind all of them, alternating rounds, h2load in front. Counted is the CPU time of the proxy process;
latency at 1x1 is compared with that of direct calls. Watch fan-out: puts straight to the member, each seen by 1,000
watches of one prefix (10 clients with 100 each) before the next.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from tests.bench import h2load
from tests.bench.costs import cpu_seconds, resident_mib
from tests.bench.watching import PREFIX, PUTS, Watchers
from tests.bench.workloads import PUT_KEY, VALUE, WORKLOADS, Shape, Workload
from tests.interop.grpc_client import Client
from tests.interop.processes import ServerProcess, free_port
from tests.interop.servers import ETCD, Server, start_etcd, start_proxy

SHAPES = (Shape(1, 1), Shape(1, 100), Shape(10, 10), Shape(100, 10))
NAMES = ("Put", "Range")
WATCHES = Shape(10, 100)


@dataclass
class Way:
    """One way to the member: its URL, and the process that is paid for (None: direct)."""

    name: str
    url: str
    pid: int | None


@contextmanager
def etcd_proxy(directory: Path, kind: str, endpoint: str) -> Iterator[Way]:
    """`etcd grpc-proxy start` or `etcd gateway start`."""
    port = free_port()
    command = [str(ETCD), kind, "start", f"--endpoints={endpoint}", f"--listen-addr=127.0.0.1:{port}"]
    if kind == "grpc-proxy":
        command.append(f"--data-dir={directory / kind}")

    def is_ready() -> bool:
        client = Client(f"127.0.0.1:{port}")
        try:
            return client.Range(key=b"x") is not None
        except Exception:
            return False
        finally:
            client.close()

    process = ServerProcess(kind, command, directory, is_ready)
    with process:
        yield Way(kind, f"http://127.0.0.1:{port}", process.pid)


def measure(way: Way, workload: Workload, shape: Shape, requests: int, directory: Path) -> tuple[float, float, int]:
    """(requests per second, CPU microseconds of the proxy for each, median latency in microseconds)."""
    before = cpu_seconds(way.pid) if way.pid else 0.0
    load = h2load.run(way.url, workload, shape, requests, directory)
    spent = cpu_seconds(way.pid) - before if way.pid else 0.0
    return load.requests / load.seconds, spent / requests * 1e6, load.latencies_microseconds[requests // 2]


def endpoint_of(server: Server) -> str:
    return urlsplit(server.url).netloc


@click.command()
@click.option("--seconds", default=2.0)
@click.option("--rounds", default=3)
def main(seconds: float, rounds: int) -> None:
    """Proxies side by side."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        directory = Path(folder)
        etcd = stack.enter_context(start_etcd(directory))
        ours = stack.enter_context(start_proxy(directory, etcd.url))
        ways = [
            Way("direct", etcd.url, None),
            Way("dualmode", ours.url, ours.process.pid),
            stack.enter_context(etcd_proxy(directory, "grpc-proxy", endpoint_of(etcd))),
            stack.enter_context(etcd_proxy(directory, "gateway", endpoint_of(etcd))),
        ]
        client = Client(endpoint_of(etcd))
        client.Put(key=PUT_KEY, value=b"x" * 256)
        client.close()
        click.echo(
            subprocess.run([str(ETCD), "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
        )
        click.echo(
            "| Load | Way | per second | p50 us | added us | CPU us of the proxy | work per CPU second to grpc-proxy |"
        )
        click.echo("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
        for workload in (one for one in WORKLOADS if one.name in NAMES):
            for shape in SHAPES:
                show(workload, shape, ways, rounds, seconds, directory)
        show_fan_out(ways, rounds)
        for way in ways[1:]:
            click.echo(f"memory of {way.name}: {resident_mib(way.pid or 0):.0f} MiB")


def show(workload: Workload, shape: Shape, ways: list[Way], rounds: int, seconds: float, directory: Path) -> None:
    """One line for each way, medians of alternating rounds."""
    requests = {way.name: max(200, int(measure(way, workload, shape, 300, directory)[0] * seconds)) for way in ways}
    samples: dict[str, list[tuple[float, float, int]]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            samples[way.name].append(measure(way, workload, shape, requests[way.name], directory))
    show_medians(f"{workload.name} {shape}", samples)


def show_medians(what: str, samples: dict[str, list[tuple[float, float, int]]]) -> None:
    """A line of a Markdown table for each way."""
    medians = {
        name: tuple(statistics.median(values) for values in zip(*found, strict=True)) for name, found in samples.items()
    }
    for name, (speed, cost, latency) in medians.items():
        ratio = medians["grpc-proxy"][1] / cost if cost else 0.0
        added = latency - medians["direct"][2]
        costs = f"{cost:.1f} | {ratio:.2f}" if cost else "|"
        click.echo(f"| {what} | {name} | {speed:,.0f} | {latency:.0f} | {added:+.0f} | {costs} |")


def fan_out(way: Way, direct: Way) -> tuple[float, float, int]:
    """The same three figures, for each event that a client was given."""
    total = WATCHES.at_once
    watchers = Watchers(way.url, WATCHES)
    client = Client(urlsplit(direct.url).netloc)
    took: list[float] = []
    try:
        watchers.wait(created=total)
        for number in range(1, PUTS + 2):
            if number == 2:
                before = cpu_seconds(way.pid) if way.pid else 0.0
            began = time.perf_counter()
            client.Put(key=PREFIX + b"key", value=VALUE)
            watchers.wait(events=number * total)
            took.append(time.perf_counter() - began)
        spent = cpu_seconds(way.pid) - before if way.pid else 0.0
    finally:
        watchers.close()
        client.close()
    took = took[1:]
    events = PUTS * total
    return events / sum(took), spent / events * 1e6, int(statistics.median(took) * 1e6)


def show_fan_out(ways: list[Way], rounds: int) -> None:
    """As `show`."""
    samples: dict[str, list[tuple[float, float, int]]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            samples[way.name].append(fan_out(way, ways[0]))
    show_medians("Watch fan-out", samples)


if __name__ == "__main__":
    main()
