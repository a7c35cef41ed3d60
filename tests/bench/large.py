"""Does: what size does to a member: memory, start-up, and the cost of a Put and a Range, beside etcd.

    python -m tests.bench.large [--keys 1000000]

Each server is filled with that many keys of 256-byte values and measured at a tenth and a hundredth on the way, then
restarted, then measured again with 10,000 watches of other keys.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click

from dualmode.api import etcdserverpb
from tests.bench import h2load, report
from tests.bench.costs import resident_mib
from tests.bench.measure import Bench
from tests.bench.native_load import Links
from tests.bench.targets import started
from tests.bench.workloads import ONE, PUT_KEY, VALUE, WORKLOADS, Shape, grpc_message
from tests.interop.grpc_client import connect
from tests.interop.servers import Server

SHAPE: Final = Shape(10, 10)
SECONDS: Final = 1.0
PUTS_OF_A_TXN: Final = 100
IDLE_WATCHES: Final = 10_000
IDLE_STREAMS: Final = 40


def fill(server: Server, first: int, last: int) -> None:
    """Keys first to last, in transactions of a hundred, ten at a time."""

    def put(start: int) -> None:
        puts = [
            etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"large/%08d" % number, value=VALUE))
            for number in range(start, min(start + PUTS_OF_A_TXN, last))
        ]
        client.Txn(success=puts)

    with connect(server) as client, ThreadPoolExecutor(10) as together:
        list(together.map(put, range(first, last, PUTS_OF_A_TXN)))


def costs(bench: Bench) -> dict[str, float]:
    """CPU microseconds of a Put and of a Range, the middle of three runs."""
    found = {}
    for workload in WORKLOADS:
        if workload.name in ("Put", "Range"):
            samples = sorted(bench.sample(workload, SHAPE, SECONDS).cpu_microseconds for _ in range(3))
            found[workload.name] = samples[1]
    return found


def watch_others(server: Server) -> Links:
    """10,000 watches on keys that nobody writes, on forty streams."""
    links = Links(server.url, ("/etcdserverpb.Watch/Watch",), IDLE_STREAMS)
    seen = [0]
    for number, link in enumerate(links.links):
        creates = [
            etcdserverpb.WatchRequest(create_request=etcdserverpb.WatchCreateRequest(key=b"idle/%d/%d" % (number, key)))
            for key in range(IDLE_WATCHES // IDLE_STREAMS)
        ]
        link.http2.request(b"".join(map(grpc_message, creates)), end=False)

    def take(number: int, stream: int, data: bytes | None) -> None:
        seen[0] += len(data or b"")

    # An answer to a creation is 20 to 40 bytes: when so many have come, all are there.
    links.pump(take, lambda: seen[0] >= 20 * IDLE_WATCHES)
    return links


def measure(program: str, keys: int, directory: Path, loader: str) -> dict[str, str]:
    """One server from empty to large; a line for each figure, and all of them."""
    figures = {}

    def say(what: str, value: str) -> None:
        figures[what] = value
        click.echo(f"| {program} | {what} | {value} |")

    directory.mkdir()
    with started(program, program, ONE, directory) as target:
        bench = Bench(target, ONE, directory, loader)
        target.client.Put(key=PUT_KEY, value=VALUE)
        server, done = target.servers[0], 0
        for size in (keys // 100, keys // 10, keys):
            began = time.monotonic()
            fill(server, done, size)
            done = size
            spent = time.monotonic() - began
            found = costs(bench)
            say(f"{size:,} keys", f"filled in {spent:.1f} s; Put {found['Put']:.1f} us, Range {found['Range']:.1f} us")
        say("memory", f"{target.resident_mib():.0f} MiB")
        target.close()
        server.stop()
        began = time.monotonic()
        server.start()
        say("restart", f"{time.monotonic() - began:.2f} s until healthy, {resident_mib(server.process.pid):.0f} MiB")
        target.__post_init__()
        found = costs(bench)
        say("after the restart", f"Put {found['Put']:.1f} us, Range {found['Range']:.1f} us")
        links = watch_others(server)
        found = costs(bench)
        say(f"{IDLE_WATCHES:,} idle watches", f"Put {found['Put']:.1f} us, Range {found['Range']:.1f} us")
        links.close()
    return figures


@click.command()
@click.option("--keys", default=1_000_000, show_default=True)
@click.option("--program", "programs", multiple=True, default=("etcd", "dualmode"), show_default=True)
def main(keys: int, programs: tuple[str, ...]) -> None:
    """Members of a size."""
    loader = "h2load" if h2load.PROGRAM else "native"
    click.echo("| server | what | figure |")
    click.echo("| --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="large-") as folder:
        figures = {program: measure(program, keys, Path(folder) / program, loader) for program in programs}
    report.keep("-large", figures)


if __name__ == "__main__":
    main()
