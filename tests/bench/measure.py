"""Does: one measured run: load, cost of the server, and proof that every request succeeded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from dualmode.api import etcdserverpb
from tests.bench import h2load, native_load
from tests.bench.costs import cpu_seconds
from tests.bench.h2load import Load, LoadFailedError
from tests.bench.results import Sample
from tests.bench.workloads import (
    PUT_KEY,
    SPAN_KEYS,
    VALUE,
    WATCH_CLIENTS,
    WATCH_PREFIX,
    WATCHES_PER_CLIENT,
    Shape,
    Workload,
    grpc_message,
    span_key,
)
from tests.interop.grpc_client import Client, connect
from tests.interop.servers import Server

#: Requests of the run that warms up and tells how many make a run of the wanted length.
WARM_UP_REQUESTS: Final = 300
WATCH_PUTS: Final = 30


@dataclass
class Bench:
    """One server and what is known of it. `speeds` remembers each load's requests per second from its warm-up."""

    server: Server
    directory: Path
    loader: str  #: "h2load" or "native"
    client: Client = field(init=False)
    speeds: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = connect(self.server)

    def fill(self) -> None:
        """What the reads read."""
        self.client.Put(key=PUT_KEY, value=VALUE)
        for first in range(0, SPAN_KEYS, 100):
            numbers = range(first, first + 100)
            puts = [etcdserverpb.PutRequest(key=span_key(number), value=VALUE) for number in numbers]
            self.client.Txn(success=[etcdserverpb.RequestOp(request_put=put) for put in puts])

    def sample(self, workload: Workload, shape: Shape, seconds: float) -> Sample:
        """A run of about `seconds`."""
        key = workload.name, str(shape)
        if key not in self.speeds:
            warm_up = self._load(workload, shape, max(WARM_UP_REQUESTS, 2 * shape.connections * shape.streams))
            self.speeds[key] = warm_up.requests / warm_up.seconds
        at_once = shape.connections * shape.streams
        requests = max(int(self.speeds[key] * seconds), 2 * at_once) // at_once * at_once
        before = cpu_seconds(self.server.process.pid)
        load = self._proven(workload, shape, requests)
        spent = cpu_seconds(self.server.process.pid) - before
        self.speeds[key] = requests / load.seconds
        return sample_of(load, spent)

    def _load(self, workload: Workload, shape: Shape, requests: int) -> Load:
        if self.loader == "h2load":
            return h2load.run(self.server.url, workload, shape, requests, self.directory)
        return native_load.run(self.server.url, workload.path, self._bodies(workload), shape, requests)

    @staticmethod
    def _bodies(workload: Workload) -> Callable[[int], bytes]:
        """Puts of random existing keys, drawn before the clock runs; otherwise always the same request."""
        if workload.name != "Put":
            return lambda number: workload.body
        draw = Random(1)
        keys = [span_key(draw.randrange(SPAN_KEYS)) for _ in range(4096)]
        bodies = [grpc_message(etcdserverpb.PutRequest(key=key, value=VALUE)) for key in keys]
        return lambda number: bodies[number % len(bodies)]

    def _proven(self, workload: Workload, shape: Shape, requests: int) -> Load:
        """h2load sees HTTP's 200, which a gRPC error has too: the store says whether writes happened, the size of
        the answers whether reads did."""
        revision = self._revision()
        answer = self.client.call(workload.method, workload.request).ByteSize() + 5
        load = self._load(workload, shape, requests)
        if workload.is_write:
            happened = self._revision() - revision - 1  # one was our own call just above
            if happened != requests:
                raise LoadFailedError(f"{workload.name}: {happened} of {requests} writes happened")
        elif load.data_bytes != requests * answer:
            raise LoadFailedError(f"{workload.name}: {load.data_bytes} bytes, not {requests} times {answer}")
        return load

    def _revision(self) -> int:
        return int(self.client.Range(key=PUT_KEY).header.revision)

    def watch_sample(self) -> Sample:
        """Puts, one after another, each seen by every watcher before the next. An operation is one event delivered."""
        watchers = native_load.Watchers(self.server.url)
        total = WATCH_CLIENTS * WATCHES_PER_CLIENT
        took: list[int] = []
        try:
            watchers.wait(created=total)
            self._put_and_wait(watchers, total)
            before = cpu_seconds(self.server.process.pid)
            started = time.perf_counter()
            for number in range(2, WATCH_PUTS + 2):
                began = time.perf_counter()
                self._put_and_wait(watchers, number * total)
                took.append(int((time.perf_counter() - began) * 1e6))
            seconds = time.perf_counter() - started
            spent = cpu_seconds(self.server.process.pid) - before
        finally:
            watchers.close()
        return sample_of(Load(WATCH_PUTS * total, seconds, 0, sorted(took)), spent)

    def _put_and_wait(self, watchers: Any, events: int) -> None:
        self.client.Put(key=WATCH_PREFIX + b"key", value=VALUE)
        watchers.wait(events=events)

    def close(self) -> None:
        self.client.close()


def sample_of(load: Load, cpu: float) -> Sample:
    took = load.latencies_microseconds
    return Sample(load.requests, load.seconds, cpu, percentile(took, 0.50), percentile(took, 0.99))


def percentile(ordered: list[int], share: float) -> float:
    """Nearest rank."""
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
