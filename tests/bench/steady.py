"""Does: a steady load, Puts and Ranges of one key in turns at a fixed rate, to see what something else does to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from dualmode.api import etcdserverpb
from tests.bench.h2load import LoadFailedError
from tests.bench.native_load import Links
from tests.bench.pace import Pace
from tests.bench.workloads import PUT_KEY, VALUE, grpc_message
from tests.interop.grpc_client import path_of

PER_SECOND: Final = 1000
CONNECTIONS: Final = 10
#: A load that should have ended long ago.
LONGEST_SECONDS: Final = 300.0
#: Each kind's method, body, and the least bytes of an answer: an error has none.
KINDS: Final = (
    ("Put", grpc_message(etcdserverpb.PutRequest(key=PUT_KEY, value=VALUE)), 5),
    ("Range", grpc_message(etcdserverpb.RangeRequest(key=PUT_KEY)), len(VALUE)),
)


class SteadyLoad:
    """A context manager: its connections stay open from one `run` to the next."""

    def __init__(self, url: str) -> None:
        self._links = Links(url, [path_of(method) for method, _, _ in KINDS], CONNECTIONS)
        self._asked: dict[tuple[int, int], tuple[int, float]] = {}
        self._came: dict[tuple[int, int], int] = {}
        self._pace = Pace(PER_SECOND, 0, 0.0)
        self.latencies: dict[str, list[int]] = {}

    def run(self, is_done: Callable[[], bool]) -> float:
        """Until `is_done`, and what is under way then has been answered; returns the seconds it took. `latencies` has
        the sorted microseconds of each kind afterwards, from when a request was sent."""
        started = time.perf_counter()
        self.latencies = {method: [] for method, _, _ in KINDS}
        self._pace = Pace(PER_SECOND, int(PER_SECOND * LONGEST_SECONDS), started)
        self._links.pump(self._take, lambda: is_done() or self._is_over(), self._tick, 2 * LONGEST_SECONDS)
        self._links.pump(self._take, lambda: not self._asked)
        for took in self.latencies.values():
            took.sort()
        return time.perf_counter() - started

    def _is_over(self) -> bool:
        return self._pace.sent == self._pace.count

    def _tick(self) -> float:
        first = self._pace.sent
        for number in range(first, first + self._pace.due(time.perf_counter())):
            kind, link = number % len(KINDS), number // len(KINDS) % CONNECTIONS
            stream = self._links.links[link].http2.request(KINDS[kind][1], path=kind)
            self._asked[link, stream] = kind, time.perf_counter()
            self._links.links[link].flush()
        return min(self._pace.wait_seconds(time.perf_counter()), 0.05)

    def _take(self, link: int, stream: int, data: bytes | None) -> None:
        if data is not None:
            self._came[link, stream] = self._came.get((link, stream), 0) + len(data)
            return
        kind, began = self._asked.pop((link, stream))
        method, _, least = KINDS[kind]
        if self._came.pop((link, stream), 0) < least:
            raise LoadFailedError(f"a {method} failed")
        self.latencies[method].append(int((time.perf_counter() - began) * 1e6))

    def __enter__(self) -> SteadyLoad:
        return self

    def __exit__(self, *_: object) -> None:
        self._links.close()
