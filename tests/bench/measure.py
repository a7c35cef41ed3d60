"""Does: one measured run: load, cost of the server, and proof that every request succeeded."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from dualmode.api import etcdserverpb
from tests.bench import h2load, native_load
from tests.bench.h2load import Load, LoadFailedError
from tests.bench.http2_client import Header
from tests.bench.results import Sample, percentile
from tests.bench.scripts import Script, repeated, shuffled
from tests.bench.targets import Target
from tests.bench.workloads import (
    GRPC_PREFIX,
    PUT_KEY,
    SPAN_KEYS,
    VALUE,
    Shape,
    Topology,
    Workload,
    grpc_message,
    span_key,
)
from tests.interop.grpc_client import Client
from tests.interop.servers import Server

#: Requests of the run that warms up and tells how many make a run of the wanted length.
WARM_UP_REQUESTS: Final = 300
#: To open connections is part of a run. Where they are many, each makes at least so many operations, unless the run
#: would take so many times as long as others.
MANY_CONNECTIONS: Final = 1000
OPERATIONS_OF_A_CONNECTION: Final = 20
LONGEST: Final = 4


@dataclass
class Bench:
    """One side in one topology. `speeds` remembers each load's operations per second, `scripts` what was prepared."""

    target: Target
    topology: Topology
    directory: Path
    loader: str  #: "h2load" or "native"
    speeds: dict[tuple[str, str], float] = field(default_factory=dict)
    scripts: dict[str, Script] = field(default_factory=dict)

    def fill(self) -> None:
        """What the reads read."""
        self.target.client.Put(key=PUT_KEY, value=VALUE)
        put_all(self.target.client, [span_key(number) for number in range(SPAN_KEYS)])

    def sample(self, workload: Workload, shape: Shape, seconds: float) -> Sample:
        """A run of about `seconds`."""
        return self.timed(workload.name, shape, seconds, lambda count: self._proven(workload, shape, count))

    def scripted(self, name: str, prepare: Callable[[Client], Script], shape: Shape, seconds: float) -> Sample:
        """The same for requests that vary; `prepare` is called once for each side."""
        if name not in self.scripts:
            self.scripts[name] = prepare(self.target.client)
        script, url = self.scripts[name], self.target.servers[0].url
        return self.timed(name, shape, seconds, lambda count: native_load.run(url, script, shape, count))

    def timed(self, name: str, shape: Shape, seconds: float, run: Callable[[int], Load]) -> Sample:
        """`run(operations)` once for about `seconds`, behind a first short one that tells how fast it is."""
        key = name, str(shape)
        if key not in self.speeds:
            warm_up = run(max(WARM_UP_REQUESTS, shape.at_once))
            self.speeds[key] = warm_up.requests / warm_up.seconds
        operations = operations_of(shape, self.speeds[key] * seconds)
        before = self.target.cpu_seconds()
        load = run(operations)
        self.target.settle(PUT_KEY)
        spent = self.target.cpu_seconds() - before
        self.speeds[key] = load.requests / load.seconds
        return sample_of(load, spent)

    def _proven(self, workload: Workload, shape: Shape, requests: int) -> Load:
        """h2load sees HTTP's 200, which a gRPC error has too: the store says whether writes happened, the size of
        the answers whether reads did."""
        servers = self.target.loaded(self.topology)
        clients = [self.target.clients[self.target.servers.index(server)] for server in servers]
        answers = [
            ask(server, client, workload, self.target.headers) for server, client in zip(servers, clients, strict=True)
        ]
        revision = self._revision()
        with ThreadPoolExecutor() as together:
            parts = shape.divided(len(servers))
            running = [
                together.submit(self._load, server, workload, part, requests * part.at_once // shape.at_once, answer)
                for server, part, answer in zip(servers, parts, answers, strict=False)
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

    def _load(self, server: Server, workload: Workload, shape: Shape, requests: int, answer_bytes: int) -> Load:
        requests = max(requests // shape.at_once, 1) * shape.at_once
        headers = self.target.headers
        if self.loader == "h2load" or workload.json_path:  # our own loader has no HTTP/1.1
            return h2load.run(server.url, workload, shape, requests, self.directory / server.name, headers)
        return native_load.run(server.url, self._script(workload, answer_bytes), shape, requests, headers)

    @staticmethod
    def _script(workload: Workload, answer_bytes: int) -> Script:
        """Puts of random existing keys, drawn before the clock runs; otherwise always the same request."""
        if not workload.is_write:
            return repeated(workload.path, workload.body, answer_bytes)
        if workload.name != "Put":
            return shuffled(workload.path, [workload.body], answer_bytes)
        draw = Random(1)
        keys = [span_key(draw.randrange(SPAN_KEYS)) for _ in range(4096)]
        bodies = [grpc_message(etcdserverpb.PutRequest(key=key, value=VALUE)) for key in keys]
        return shuffled(workload.path, bodies, answer_bytes)

    def _revision(self) -> int:
        return int(self.target.client.Range(key=PUT_KEY).header.revision)


def operations_of(shape: Shape, usual: float) -> int:
    """How many make a run, where `usual` would be done in the time of one."""
    least = OPERATIONS_OF_A_CONNECTION * shape.connections if shape.connections >= MANY_CONNECTIONS else 0
    return max(int(usual), min(least, int(usual * LONGEST)), shape.at_once)


def put_all(client: Client, keys: Sequence[bytes]) -> None:
    """In transactions of a hundred."""
    for first in range(0, len(keys), 100):
        puts = [etcdserverpb.PutRequest(key=key, value=VALUE) for key in keys[first : first + 100]]
        client.Txn(success=[etcdserverpb.RequestOp(request_put=put) for put in puts])


def ask(server: Server, client: Client, workload: Workload, headers: Sequence[Header]) -> int:
    """Bytes of one answer of this member."""
    if workload.json_path:
        host, _, port = server.target.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        more = {name.decode(): value.decode() for name, value in headers}
        connection.request("POST", workload.json_path, workload.body, {"content-type": "application/json", **more})
        size = len(connection.getresponse().read())
        connection.close()
        return size
    return int(client.call(workload.method, workload.request).ByteSize()) + len(GRPC_PREFIX)


def joined(loads: list[Load]) -> Load:
    """Several loads that ran beside each other, as one."""
    latencies = sorted(took for load in loads for took in load.latencies_microseconds)
    requests, size = sum(load.requests for load in loads), sum(load.data_bytes for load in loads)
    return Load(requests, max(load.seconds for load in loads), size, latencies)


def sample_of(load: Load, cpu: float) -> Sample:
    took = load.latencies_microseconds
    return Sample(load.requests, load.seconds, cpu, *(percentile(took, share) for share in (0.50, 0.99, 0.999)))
