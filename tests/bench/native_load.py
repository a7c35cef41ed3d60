"""Does: our own loader: requests that vary, where h2load is missing or sends too much of the same.

One thread and one selector: it takes more CPU than h2load, so compare servers under the same loader only.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from tests.bench.h2load import Load, LoadFailedError
from tests.bench.http2_client import Connection, Header
from tests.bench.scripts import Call, Script
from tests.bench.workloads import Shape

RUN_TIMEOUT_SECONDS: Final = 60.0
_READ_BYTES: Final = 1 << 20


class Link:
    """A connection and its socket."""

    def __init__(self, url: str, paths: Sequence[str], headers: Sequence[Header] = ()) -> None:
        target = urlsplit(url)
        self.http2 = Connection(target.netloc, *paths, scheme=target.scheme, headers=headers)
        self.socket = socket.create_connection((target.hostname, target.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.scheme == "https":
            context = ssl._create_unverified_context()  # loopback, and certificates of this very run
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket)

    def flush(self) -> None:
        """Blocks until all is sent: our requests are small and the server reads."""
        if self.http2.output:
            self.socket.sendall(self.http2.output)
            self.http2.output.clear()

    def read(self) -> list[tuple[int, bytes | None]]:
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise LoadFailedError("the server closed the connection")
        while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            data += self.socket.recv(_READ_BYTES)
        return self.http2.receive(data)


class Links:
    """Several connections to the methods `paths`, read as data comes."""

    def __init__(self, url: str, paths: Sequence[str], count: int, headers: Sequence[Header] = ()) -> None:
        self._selector = selectors.DefaultSelector()
        self.links: list[Link] = []
        try:
            for number in range(count):
                self.links.append(Link(url, paths, headers))
                self._selector.register(self.links[-1].socket, selectors.EVENT_READ, number)
        except BaseException:
            self.close()
            raise

    def pump(
        self,
        take: Callable[[int, int, bytes | None], None],
        is_done: Callable[[], bool],
        tick: Callable[[], float] = lambda: 1.0,
        timeout_seconds: float = RUN_TIMEOUT_SECONDS,
    ) -> None:
        """Calls `take(link number, stream, data or None at the end)` until `is_done`; bounded in time. `tick` is
        called between; it may send, and says after how many seconds at most it wants to be called again."""
        deadline = time.monotonic() + timeout_seconds
        for link in self.links:
            link.flush()
        while not is_done():
            if time.monotonic() > deadline:
                raise LoadFailedError(f"not done in {timeout_seconds} s")
            for key, _ in self._selector.select(tick()):
                for stream, data in self.links[key.data].read():
                    take(key.data, stream, data)
                self.links[key.data].flush()

    def close(self) -> None:
        for link in self.links:
            link.socket.close()
        self._selector.close()


class _Slot:
    """One request under way at a time: the chain it is in, and what has come of the answer to its last call."""

    __slots__ = ("answer_bytes", "began", "chain", "link", "step", "turn")

    def __init__(self, link: int) -> None:
        self.link = link
        self.turn = self.step = self.answer_bytes = 0
        self.chain: Sequence[Call] = ()
        self.began = 0.0


def run(url: str, script: Script, shape: Shape, chains: int, headers: Sequence[Header] = ()) -> Load:
    """Runs so many chains, each answer checked for its size; an operation is a chain, its latency that of the whole."""
    links = Links(url, script.paths, shape.connections, headers)
    slots = [_Slot(number % shape.connections) for number in range(min(shape.at_once, chains))]
    asked: dict[tuple[int, int], tuple[int, _Slot]] = {}
    latencies: list[int] = []
    data_bytes = begun = 0

    def begin(number: int, slot: _Slot) -> None:
        nonlocal begun
        if begun == chains:
            return
        begun += 1
        slot.chain, slot.step = script.chain(number, slot.turn), 0
        slot.turn += 1
        slot.began = time.perf_counter()
        call(number, slot)

    def call(number: int, slot: _Slot) -> None:
        step = slot.chain[slot.step]
        slot.answer_bytes = 0
        stream = links.links[slot.link].http2.request(step.body, path=step.path)
        asked[slot.link, stream] = number, slot

    def take(link: int, stream: int, data: bytes | None) -> None:
        nonlocal data_bytes
        if data is not None:
            asked[link, stream][1].answer_bytes += len(data)
            return
        number, slot = asked.pop((link, stream))
        step = slot.chain[slot.step]
        data_bytes += slot.answer_bytes
        if not step.smallest <= slot.answer_bytes <= step.largest:
            what = f"{script.paths[step.path]}: {slot.answer_bytes} bytes"
            raise LoadFailedError(f"{what}, not {step.smallest} to {step.largest}")
        slot.step += 1
        if slot.step < len(slot.chain):
            call(number, slot)
            return
        latencies.append(int((time.perf_counter() - slot.began) * 1e6))
        begin(number, slot)

    started = time.perf_counter()
    try:
        for number, slot in enumerate(slots):
            begin(number, slot)
        links.pump(take, lambda: len(latencies) == chains)
        seconds = time.perf_counter() - started
    finally:
        links.close()
    return Load(chains, seconds, data_bytes, sorted(latencies))
