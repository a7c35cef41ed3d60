"""Does: keeps leases alive: one LeaseKeepAlive stream for each client, as client libraries have it.

A shape is connections (each with one stream) x keep-alives under way on it, each for a lease of its own.
"""

from __future__ import annotations

import time
from typing import Final

from dualmode.api import etcdserverpb
from tests.bench.h2load import Load, LoadFailedError
from tests.bench.measure import Bench
from tests.bench.native_load import Links
from tests.bench.results import Sample
from tests.bench.scripts import LEASE_TTL_SECONDS
from tests.bench.workloads import Shape, grpc_message
from tests.interop.grpc_client import Client

_PATH: Final = "/etcdserverpb.Lease/LeaseKeepAlive"
#: 1 to 1,000: as many as keep-alives are under way at most.
LEASES: Final = 1000


class Streams:
    """`answered` counts answers with a TTL above 0; anything else ends the run."""

    def __init__(self, links: Links, shape: Shape) -> None:
        self._links = links
        self._received = [bytearray() for _ in links.links]
        self._known: dict[bytes, int] = {}  #: messages that were read and found right, and their lease
        self._bodies = {
            lease: grpc_message(etcdserverpb.LeaseKeepAliveRequest(ID=lease)) for lease in range(1, shape.at_once + 1)
        }
        self._began: dict[int, float] = {}
        self._streams: dict[int, int] = {}
        self.asked = self.answered = 0
        self.latencies: list[int] = []

    def ask(self, link: int, lease: int) -> None:
        self.asked += 1
        self._began[lease] = time.perf_counter()
        http2 = self._links.links[link].http2
        if link in self._streams:
            http2.send(self._streams[link], self._bodies[lease])
        else:
            self._streams[link] = http2.request(self._bodies[lease], end=False)

    def answers(self, link: int, data: bytes) -> list[int]:
        """Which leases were answered for by what came now."""
        buffer = self._received[link]
        buffer += data
        found, start = [], 0
        while len(buffer) - start >= 5:
            end = start + 5 + int.from_bytes(buffer[start + 1 : start + 5], "big")
            if end > len(buffer):
                break
            message = bytes(buffer[start + 5 : end])
            lease = self._known.get(message) or self._read(message)
            self.latencies.append(int((time.perf_counter() - self._began.pop(lease)) * 1e6))
            found.append(lease)
            start = end
        del buffer[:start]
        self.answered += len(found)
        return found

    def _read(self, message: bytes) -> int:
        response = etcdserverpb.LeaseKeepAliveResponse.FromString(message)
        if response.TTL <= 0 or response.ID not in self._began:
            raise LoadFailedError(f"a keep-alive was answered with {response}")
        self._known[message] = response.ID
        return int(response.ID)


def prepare(client: Client) -> None:
    """The leases that are kept."""
    for lease in range(1, LEASES + 1):
        client.LeaseGrant(ID=lease, TTL=LEASE_TTL_SECONDS)


def check(client: Client) -> None:
    """Raises `LoadFailedError` when one of them is gone."""
    found = {lease.ID for lease in client.LeaseLeases().leases}
    if not found >= set(range(1, LEASES + 1)):
        raise LoadFailedError(f"{len(found)} of {LEASES} leases are there")


def run(url: str, shape: Shape, requests: int) -> Load:
    links = Links(url, (_PATH,), shape.connections)
    streams = Streams(links, shape)

    def take(link: int, stream: int, data: bytes | None) -> None:
        if data is None:
            raise LoadFailedError("a keep-alive stream ended")
        for lease in streams.answers(link, data):
            if streams.asked < requests:
                streams.ask(link, lease)

    started = time.perf_counter()
    try:
        for number in range(min(shape.at_once, requests)):
            streams.ask(number % shape.connections, number + 1)
        links.pump(take, lambda: streams.answered == requests)
        seconds = time.perf_counter() - started
    finally:
        links.close()
    return Load(requests, seconds, 0, sorted(streams.latencies))


def sample(bench: Bench, shape: Shape, seconds: float) -> Sample:
    """A run of about `seconds`."""
    client, url = bench.target.client, bench.target.servers[0].url
    if not client.LeaseLeases().leases:
        prepare(client)
    measured = bench.timed("Lease keep-alive", shape, seconds, lambda count: run(url, shape, count))
    check(client)
    return measured
