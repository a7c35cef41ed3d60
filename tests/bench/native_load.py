"""Does: our own loader: varied request bodies, where h2load is missing or sends too much of the same; and watchers.

One thread and one selector: it takes more CPU than h2load, so compare servers under the same loader only.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from dualmode.api import etcdserverpb
from tests.bench.h2load import Load, LoadFailedError
from tests.bench.http2_client import Connection
from tests.bench.workloads import WATCH_CLIENTS, WATCH_PREFIX, WATCHES_PER_CLIENT, Shape, grpc_message

RUN_TIMEOUT_SECONDS: Final = 60.0
_READ_BYTES: Final = 1 << 20


class Link:
    """A connection and its socket."""

    def __init__(self, url: str, path: str) -> None:
        target = urlsplit(url)
        self.http2 = Connection(target.netloc, path)
        self.socket = socket.create_connection((target.hostname, target.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def flush(self) -> None:
        """Blocks until all is sent: our requests are small and the server reads."""
        if self.http2.output:
            self.socket.sendall(self.http2.output)
            self.http2.output.clear()

    def read(self) -> list[tuple[int, bytes | None]]:
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise LoadFailedError("the server closed the connection")
        return self.http2.receive(data)


class Links:
    """Several connections to one method, read as data comes."""

    def __init__(self, url: str, path: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.links = [Link(url, path) for _ in range(count)]
        for number, link in enumerate(self.links):
            self._selector.register(link.socket, selectors.EVENT_READ, number)

    def pump(self, take: Callable[[int, int, bytes | None], None], is_done: Callable[[], bool]) -> None:
        """Calls `take(link number, stream, data or None at the end)` until `is_done`; bounded in time."""
        deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
        for link in self.links:
            link.flush()
        while not is_done():
            if time.monotonic() > deadline:
                raise LoadFailedError(f"not done in {RUN_TIMEOUT_SECONDS} s")
            for key, _ in self._selector.select(1.0):
                for stream, data in self.links[key.data].read():
                    take(key.data, stream, data)
                self.links[key.data].flush()

    def close(self) -> None:
        for link in self.links:
            link.socket.close()
        self._selector.close()


def run(url: str, path: str, bodies: Callable[[int], bytes], shape: Shape, requests: int) -> Load:
    """`bodies(n)` is the n-th request's gRPC message."""
    links = Links(url, path, shape.connections)
    began: dict[tuple[int, int], float] = {}
    latencies: list[int] = []
    data_bytes = sent = 0

    def send(number: int) -> None:
        nonlocal sent
        if sent < requests:
            began[number, links.links[number].http2.request(bodies(sent))] = time.perf_counter()
            sent += 1

    def take(number: int, stream: int, data: bytes | None) -> None:
        nonlocal data_bytes
        if data is not None:
            data_bytes += len(data)
            return
        latencies.append(int((time.perf_counter() - began.pop((number, stream))) * 1e6))
        send(number)

    started = time.perf_counter()
    for _ in range(shape.streams):
        for number in range(shape.connections):
            send(number)
    try:
        links.pump(take, lambda: len(latencies) == requests)
    finally:
        links.close()
    return Load(requests, time.perf_counter() - started, data_bytes, sorted(latencies))


class Watchers:
    """`WATCH_CLIENTS` connections with one stream each and `WATCHES_PER_CLIENT` watches of one prefix on it."""

    def __init__(self, url: str) -> None:
        self._links = Links(url, "/etcdserverpb.Watch/Watch", WATCH_CLIENTS)
        self._received = [bytearray() for _ in range(WATCH_CLIENTS)]
        self.created = self.events = 0
        create = etcdserverpb.WatchCreateRequest(key=WATCH_PREFIX, range_end=WATCH_PREFIX[:-1] + b"0")
        body = grpc_message(etcdserverpb.WatchRequest(create_request=create)) * WATCHES_PER_CLIENT
        for link in self._links.links:
            link.http2.request(body, end=False)

    def wait(self, created: int | None = None, events: int | None = None) -> None:
        """Reads until so many watches were created, or so many events came in all."""
        self._links.pump(self._take, lambda: created == self.created or events == self.events)

    def _take(self, number: int, stream: int, data: bytes | None) -> None:
        if data is None:
            raise LoadFailedError("a watch stream ended")
        buffer = self._received[number]
        buffer += data
        start = 0
        while len(buffer) - start >= 5:
            end = start + 5 + int.from_bytes(buffer[start + 1 : start + 5], "big")
            if end > len(buffer):
                break
            response = etcdserverpb.WatchResponse.FromString(bytes(buffer[start + 5 : end]))
            self.created += response.created
            self.events += len(response.events)
            start = end
        del buffer[:start]

    def close(self) -> None:
        self._links.close()
