"""Does: watchers: how much an event costs that many are given, and how soon it comes while puts go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from dualmode.api import etcdserverpb
from tests.bench.h2load import Load, LoadFailedError
from tests.bench.measure import Bench, sample_of
from tests.bench.native_load import Links
from tests.bench.pace import Pace
from tests.bench.results import Sample
from tests.bench.workloads import VALUE, Shape, grpc_message
from tests.interop.grpc_client import path_of

_PATH: Final = "/etcdserverpb.Watch/Watch"
PREFIX: Final = b"watched/"
BAR: Final = 3.0
#: Connections with a stream each x watches on it.
SHAPES: Final = (Shape(10, 100), Shape(1, 1000), Shape(1000, 1))
#: A hundred thousand events: CPU time is counted in hundredths of a second.
PUTS: Final = 100
#: Puts beside which the latency of events is measured: well below what either server can do.
PUTS_PER_SECOND: Final = 2000
PUT_CONNECTIONS: Final = 10


def responses(buffer: bytearray) -> Iterator[Any]:
    """The whole gRPC messages at the start of the buffer, which they leave."""
    start = 0
    while len(buffer) - start >= 5:
        end = start + 5 + int.from_bytes(buffer[start + 1 : start + 5], "big")
        if end > len(buffer):
            break
        yield etcdserverpb.WatchResponse.FromString(bytes(buffer[start + 5 : end]))
        start = end
    del buffer[:start]


def creation() -> bytes:
    """Asks for a watch of all of `PREFIX`."""
    create = etcdserverpb.WatchCreateRequest(key=PREFIX, range_end=PREFIX[:-1] + b"0")
    return grpc_message(etcdserverpb.WatchRequest(create_request=create))


class Watchers:
    """`shape.connections` with one stream each and `shape.streams` watches of one prefix on it."""

    def __init__(self, url: str, shape: Shape) -> None:
        self._links = Links(url, (_PATH,), shape.connections)
        self._received = [bytearray() for _ in self._links.links]
        self.created = self.events = 0
        for link in self._links.links:
            stream = link.http2.request(creation(), end=False)
            for _ in range(shape.streams - 1):
                link.http2.send(stream, creation())

    def wait(self, created: int | None = None, events: int | None = None) -> None:
        """Reads until so many watches were created, or so many events came in all."""
        self._links.pump(self._take, lambda: created == self.created or events == self.events)

    def _take(self, number: int, stream: int, data: bytes | None) -> None:
        if data is None:
            raise LoadFailedError("a watch stream ended")
        self._received[number] += data
        for response in responses(self._received[number]):
            self.created += response.created
            self.events += len(response.events)

    def close(self) -> None:
        self._links.close()


def fan_out(bench: Bench, shape: Shape) -> Sample:
    """Puts, one after another, each seen by every watcher before the next. An operation is one event delivered."""
    watchers = Watchers(bench.target.servers[0].url, shape)
    total = shape.at_once
    took: list[int] = []
    try:
        watchers.wait(created=total)
        for number in range(PUTS + 1):
            if number == 1:  # the first has warmed up
                before, started = bench.target.cpu_seconds(), time.perf_counter()
            began = time.perf_counter()
            bench.target.client.Put(key=PREFIX + b"key", value=VALUE)
            watchers.wait(events=(number + 1) * total)
            took.append(int((time.perf_counter() - began) * 1e6))
        seconds = time.perf_counter() - started
        spent = bench.target.cpu_seconds() - before
    finally:
        watchers.close()
    return sample_of(Load(PUTS * total, seconds, 0, sorted(took[1:])), spent)


class _UnderLoad:
    """A watch on the first connection; on the others puts of another key each, at a fixed rate."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._received = bytearray()
        self._sent_at: dict[bytes, float] = {}
        self.pace = Pace(PUTS_PER_SECOND, 0, 0.0)
        self.is_watching = False
        self.answered = 0
        self.latencies: list[int] = []
        links.links[0].http2.request(creation(), end=False)

    def tick(self) -> float:
        first = self.pace.sent
        for number in range(first, first + self.pace.due(time.perf_counter())):
            link = self._links.links[1 + number % PUT_CONNECTIONS]
            key = PREFIX + b"%06d" % number
            link.http2.request(grpc_message(etcdserverpb.PutRequest(key=key, value=VALUE)), path=1)
            self._sent_at[key] = time.perf_counter()
            link.flush()
        return self.pace.wait_seconds(time.perf_counter())

    def take(self, link: int, stream: int, data: bytes | None) -> None:
        if link:
            self.answered += data is None
            return
        if data is None:
            raise LoadFailedError("a watch stream ended")
        now = time.perf_counter()
        self._received += data
        for response in responses(self._received):
            self.is_watching |= response.created
            for event in response.events:
                self.latencies.append(int((now - self._sent_at.pop(event.kv.key)) * 1e6))

    def is_done(self) -> bool:
        return len(self.latencies) == self.answered == self.pace.count


def latency_under_load(bench: Bench, seconds: float) -> Sample:
    """An operation is a Put and its event; the latency is from the one to the other."""
    links = Links(bench.target.servers[0].url, (_PATH, path_of("Put")), 1 + PUT_CONNECTIONS)
    try:
        load = _UnderLoad(links)
        links.pump(load.take, lambda: load.is_watching)
        before, started = bench.target.cpu_seconds(), time.perf_counter()
        load.pace = Pace(PUTS_PER_SECOND, int(PUTS_PER_SECOND * seconds), started)
        links.pump(load.take, load.is_done, load.tick)
        took = time.perf_counter() - started
        spent = bench.target.cpu_seconds() - before
    finally:
        links.close()
    return sample_of(Load(load.pace.count, took, 0, sorted(load.latencies)), spent)
