"""Does: what a snapshot of a large store costs, beside etcd: time, CPU and memory of the server.

    python -m tests.bench.snapshots [--keys 750000] [--value-bytes 1024] [--rounds 3]

The file has a gigabyte or so: pages are not full. The client reads the stream and throws it away; one more round that
is not measured checks its SHA-256.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click

from dualmode.api import etcdserverpb
from tests.bench import report
from tests.bench.costs import forget_peak, peak_mib
from tests.bench.h2load import LoadFailedError
from tests.bench.messages import Messages
from tests.bench.native_load import Links
from tests.bench.targets import Target, started
from tests.bench.workloads import ONE, grpc_message
from tests.interop.grpc_client import connect

PATH: Final = "/etcdserverpb.Maintenance/Snapshot"
PUTS_OF_A_TXN: Final = 50
TIMEOUT_SECONDS: Final = 240.0
DIGEST_BYTES: Final = 32


def fill(target: Target, keys: int, value_bytes: int) -> None:
    """Values that do not compress."""
    noise = hashlib.shake_128(b"snapshot").digest(2 * value_bytes)

    def put(first: int) -> None:
        puts = []
        for number in range(first, min(first + PUTS_OF_A_TXN, keys)):
            start = number % value_bytes
            value = noise[start : start + value_bytes]
            puts.append(etcdserverpb.PutRequest(key=b"snapshot/%08d" % number, value=value))
        client.Txn(success=[etcdserverpb.RequestOp(request_put=put) for put in puts])

    with connect(target.servers[0]) as client, ThreadPoolExecutor(4) as together:
        list(together.map(put, range(0, keys, PUTS_OF_A_TXN)))
        counted = client.Range(key=b"snapshot/", range_end=b"snapshot0", count_only=True).count
    if counted != keys:
        raise LoadFailedError(f"{counted} of {keys} keys are there")


def read(url: str, each: Callable[[bytes], None] | None = None) -> int:
    """Reads one snapshot and returns the bytes of its stream; `each` takes every message. Raises `LoadFailedError` when
    it ended before the end."""
    links = Links(url, (PATH,), 1)
    messages = Messages(each)
    ended = False

    def take(link: int, stream: int, data: bytes | None) -> None:
        nonlocal ended
        if data is None:
            ended = True
        else:
            messages.receive(data)

    try:
        links.links[0].http2.request(grpc_message(etcdserverpb.SnapshotRequest()))
        links.pump(take, lambda: ended, timeout_seconds=TIMEOUT_SECONDS)
    finally:
        links.close()
    last = etcdserverpb.SnapshotResponse.FromString(messages.last)
    if not last.blob or last.remaining_bytes:
        raise LoadFailedError(f"the stream ended with {last.remaining_bytes} bytes remaining")
    return messages.received_bytes


def check(url: str) -> int:
    """The bytes of the file. Raises `LoadFailedError` when it is not what its own digest, at the end of it, says."""
    digest, tail, size = hashlib.sha256(), b"", 0

    def each(message: bytes) -> None:
        nonlocal tail, size
        blob = etcdserverpb.SnapshotResponse.FromString(message).blob
        size += len(blob)
        tail += blob
        digest.update(tail[:-DIGEST_BYTES])
        tail = tail[-DIGEST_BYTES:]

    read(url, each)
    if digest.digest() != tail:
        raise LoadFailedError("the snapshot's digest is not that of its content")
    return size


def measure(target: Target) -> dict[str, float]:
    """One snapshot."""
    pid = target.servers[0].process.pid
    at_rest = target.resident_mib()
    forget_peak(pid)
    before, began = target.cpu_seconds(), time.monotonic()
    received = read(target.servers[0].url)
    seconds = time.monotonic() - began
    return {
        "seconds": seconds,
        "cpu_seconds": target.cpu_seconds() - before,
        "mb_per_second": received / seconds / 1e6,
        "resident_mib_before": at_rest,
        "resident_mib_peak": peak_mib(pid),
    }


@click.command()
@click.option("--keys", default=750_000, show_default=True)
@click.option("--value-bytes", default=1024, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(keys: int, value_bytes: int, rounds: int) -> None:
    """Snapshots of a gigabyte, the servers in turns."""
    samples: dict[str, list[dict[str, float]]] = {"etcd": [], "dualmode": []}
    sizes = {}
    with tempfile.TemporaryDirectory(prefix="snapshots-") as folder, ExitStack() as stack:
        targets = {name: stack.enter_context(started(name, name, ONE, Path(folder))) for name in samples}
        for name, target in targets.items():
            fill(target, keys, value_bytes)
            sizes[name] = check(target.servers[0].url)
        for number in range(rounds):
            for name in list(samples)[:: 1 if number % 2 == 0 else -1]:
                samples[name].append(measure(targets[name]))
    click.echo("| server | file MB | " + " | ".join(samples["etcd"][0]) + " |")
    click.echo("| --- | " + "---: | " * (1 + len(samples["etcd"][0])))
    for name, found in samples.items():
        middle: dict[str, Any] = {what: statistics.median(one[what] for one in found) for what in found[0]}
        spread = [max(one["cpu_seconds"] for one in found), min(one["cpu_seconds"] for one in found)]
        figures = " | ".join(f"{value:.1f}" for value in middle.values())
        click.echo(f"| {name} | {sizes[name] / 1e6:,.0f} | {figures} | (CPU {spread[1]:.1f} to {spread[0]:.1f} s)")
    report.keep("-snapshots", {"file_bytes": sizes, "samples": samples})


if __name__ == "__main__":
    main()
