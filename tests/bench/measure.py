"""Does: one measured run: load, cost of the server, and proof that every request succeeded."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from dualmode.api import etcdserverpb
from tests.bench import h2load, native_load
from tests.bench.h2load import Load, LoadFailedError
from tests.bench.results import Sample
from tests.bench.targets import Target
from tests.bench.workloads import (
    GRPC_PREFIX,
    PUT_KEY,
    SPAN_KEYS,
    VALUE,
    WATCH_CLIENTS,
    WATCH_PREFIX,
    WATCHES_PER_CLIENT,
    Shape,
    Topology,
    Workload,
    grpc_message,
    span_key,
)
from tests.interop.grpc_client import connect
from tests.interop.servers import Server

#: Requests of the run that warms up and tells how many make a run of the wanted length.
WARM_UP_REQUESTS: Final = 300
WATCH_PUTS: Final = 30


@dataclass
class Bench:
    """One side in one topology. `speeds` remembers each load's requests per second from its warm-up."""

    target: Target
    topology: Topology
    directory: Path
    loader: str  #: "h2load" or "native"
    speeds: dict[tuple[str, str], float] = field(default_factory=dict)

    def fill(self) -> None:
        """What the reads read."""
        client = self.target.client
        client.Put(key=PUT_KEY, value=VALUE)
        for first in range(0, SPAN_KEYS, 100):
            numbers = range(first, first + 100)
            puts = [etcdserverpb.PutRequest(key=span_key(number), value=VALUE) for number in numbers]
            client.Txn(success=[etcdserverpb.RequestOp(request_put=put) for put in puts])

    def sample(self, workload: Workload, shape: Shape, seconds: float) -> Sample:
        """A run of about `seconds`."""
        key = workload.name, str(shape)
        if key not in self.speeds:
            warm_up = self._proven(workload, shape, max(WARM_UP_REQUESTS, 2 * shape.at_once))
            self.speeds[key] = warm_up.requests / warm_up.seconds
        requests = max(int(self.speeds[key] * seconds), 2 * shape.at_once)
        before = self.target.cpu_seconds()
        load = self._proven(workload, shape, requests)
        self.target.settle(PUT_KEY)
        spent = self.target.cpu_seconds() - before
        self.speeds[key] = load.requests / load.seconds
        return sample_of(load, spent)

    def _proven(self, workload: Workload, shape: Shape, requests: int) -> Load:
        """h2load sees HTTP's 200, which a gRPC error has too: the store says whether writes happened, the size of
        the answers whether reads did."""
        servers = self.target.loaded(self.topology)
        answers = [connect_and_ask(server, workload) for server in servers]
        revision = self._revision()
        with ThreadPoolExecutor() as together:
            parts = shape.divided(len(servers))
            running = [
                together.submit(self._load, server, workload, part, requests * part.at_once // shape.at_once)
                for server, part in zip(servers, parts, strict=False)
            ]
            loads = [it.result() for it in running]
        load = joined(loads)
        if workload.is_write:
            happened = self._revision() - revision
            if happened != load.requests:
                raise LoadFailedError(f"{workload.name}: {happened} of {load.requests} writes happened")
        for one, answer in zip(loads, answers, strict=False):
            if not workload.is_write and one.data_bytes != one.requests * answer:
                raise LoadFailedError(f"{workload.name}: {one.data_bytes} bytes, not {one.requests} times {answer}")
        return load

    def _load(self, server: Server, workload: Workload, shape: Shape, requests: int) -> Load:
        requests = max(requests // shape.at_once, 1) * shape.at_once
        if self.loader == "h2load":
            return h2load.run(server.url, workload, shape, requests, self.directory / server.name)
        return native_load.run(server.url, workload.path, self._bodies(workload), shape, requests)

    @staticmethod
    def _bodies(workload: Workload) -> Callable[[int], bytes]:
        """Puts of random existing keys, drawn before the clock runs; otherwise always the same request."""
        if workload.name != "Put":
            return lambda number: workload.body
        draw = Random(1)
        keys = [span_key(draw.randrange(SPAN_KEYS)) for _ in range(4096)]
        bodies = [grpc_message(etcdserverpb.PutRequest(key=key, value=VALUE)) for key in keys]
        return lambda number: bodies[number % len(bodies)]

    def _revision(self) -> int:
        return int(self.target.client.Range(key=PUT_KEY).header.revision)

    def watch_sample(self) -> Sample:
        """Puts, one after another, each seen by every watcher before the next. An operation is one event delivered."""
        watchers = native_load.Watchers(self.target.servers[0].url)
        total = WATCH_CLIENTS * WATCHES_PER_CLIENT
        took: list[int] = []
        try:
            watchers.wait(created=total)
            self._put_and_wait(watchers, total)
            before = self.target.cpu_seconds()
            started = time.perf_counter()
            for number in range(2, WATCH_PUTS + 2):
                began = time.perf_counter()
                self._put_and_wait(watchers, number * total)
                took.append(int((time.perf_counter() - began) * 1e6))
            seconds = time.perf_counter() - started
            spent = self.target.cpu_seconds() - before
        finally:
            watchers.close()
        return sample_of(Load(WATCH_PUTS * total, seconds, 0, sorted(took)), spent)

    def _put_and_wait(self, watchers: Any, events: int) -> None:
        self.target.client.Put(key=WATCH_PREFIX + b"key", value=VALUE)
        watchers.wait(events=events)


def connect_and_ask(server: Server, workload: Workload) -> int:
    """Bytes of one answer of this member."""
    if workload.json_path:
        host, _, port = server.target.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("POST", workload.json_path, workload.body, {"content-type": "application/json"})
        size = len(connection.getresponse().read())
        connection.close()
        return size
    with connect(server) as client:
        return int(client.call(workload.method, workload.request).ByteSize()) + len(GRPC_PREFIX)


def joined(loads: list[Load]) -> Load:
    """Several loads that ran beside each other, as one."""
    latencies = sorted(took for load in loads for took in load.latencies_microseconds)
    requests, size = sum(load.requests for load in loads), sum(load.data_bytes for load in loads)
    return Load(requests, max(load.seconds for load in loads), size, latencies)


def sample_of(load: Load, cpu: float) -> Sample:
    took = load.latencies_microseconds
    return Sample(load.requests, load.seconds, cpu, *(percentile(took, share) for share in (0.50, 0.99, 0.999)))


def percentile(ordered: list[int], share: float) -> float:
    """Nearest rank."""
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
