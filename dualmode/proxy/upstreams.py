"""Does: keeps a connection to one of the endpoints, and finds another one when it is lost.

All calls go to one endpoint as long as it serves. Spreading them would let one client's reads jump between members that
are not equally far (a serializable read may then go back in time); a fleet of proxies spreads by starting at different
endpoints. Who wants it all the same gets a `Spread` (`--endpoint-policy`); watches and what the proxy asks for itself
stay at the endpoint in use.

A round tries the endpoints in turn, beginning behind the one that failed. Who needs a connection while there is none
waits for the end of the round that is under way, or of one that begins at once; when it fails they are told why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import trio

from dualmode import limits, log
from dualmode.client.connection import UpstreamConnection, connect
from dualmode.edge.outbox import Outbox
from dualmode.edge.tls import ClientTls
from dualmode.errors import PeerError
from dualmode.http.interface import HttpClientConnection
from dualmode.proxy.spread import Spread
from dualmode.urls import Url

_log = log.get("proxy")

#: Called with a connection, or with None when no endpoint could be reached (`Upstreams.fault` says why).
WhenReady = Callable[[UpstreamConnection | None], None]


class Upstreams:
    """The endpoints of a proxy. `run` is its task."""

    def __init__(
        self,
        targets: Sequence[Url],
        tls: ClientTls | None,
        make_http: Callable[[], HttpClientConnection],
        outbox: Outbox,
        dial_timeout_seconds: float = limits.CONNECT_TIMEOUT_SECONDS,
        spread: Spread | None = None,
    ) -> None:
        self._targets = deque(targets)
        self._tls = tls
        self._make_http = make_http
        self._outbox = outbox
        self._dial_timeout_seconds = dial_timeout_seconds
        self.spread = spread
        self._nursery: trio.Nursery | None = None
        self._current: UpstreamConnection | None = None
        self._waiting: list[WhenReady] = []
        self._wanted = trio.Event()
        #: Called when an endpoint was lost or found.
        self.on_change: Callable[[], None] = lambda: None
        #: Plain counts for the metrics.
        self.lost = self.rounds_failed = self.calls = self.repeated = 0
        #: Why the last round found nobody.
        self.fault = "no endpoint was tried yet"

    @property
    def ready(self) -> UpstreamConnection | None:
        """The connection, if there is one that takes new streams."""
        current = self._current
        return current if current is not None and current.is_open else None

    @property
    def scheme(self) -> bytes:
        """Of requests: endpoints are all https or all http in practice, and servers do not look at it."""
        return b"https" if self._targets and self._targets[0].is_tls else b"http"

    def order(self) -> list[Url]:
        """The endpoints, the one in use first."""
        return list(self._targets)

    def set_targets(self, targets: Sequence[Url]) -> None:
        """The endpoints are these from now on. One that is in use and no longer among them takes no new calls; those
        that are open on it may finish."""
        current = self._current
        self._targets = deque(targets)
        if current is not None and current.is_open:
            if current.target in targets:
                self._targets.rotate(-self._targets.index(current.target))
            else:
                current.close()
        self._wanted.set()
        self._spread_out()

    def connections(self) -> list[UpstreamConnection]:
        """All that calls may go to, the one in use first."""
        ready = self.ready
        used = [] if ready is None else [ready]
        return used if self.spread is None else [*used, *self.spread.connections()]

    def count(self, attempt: int) -> None:
        """A call is sent: for the first time, or once more."""
        if attempt == 1:
            self.calls += 1
        else:
            self.repeated += 1

    def states(self) -> dict[Url, bool]:
        """Which endpoints take calls now."""
        taking = [self.ready] if self.spread is None else self.spread.candidates(self.ready)
        up = {connection.target for connection in taking if connection is not None}
        return {target: target in up for target in self._targets}

    def for_call(self, path: bytes) -> UpstreamConnection | None:
        """The connection that a call to this path goes to, if there is one."""
        return self.ready if self.spread is None else self.spread.pick(path, self.ready)

    def order_for(self, path: bytes) -> list[Url]:
        """The endpoints in the order in which a plain request to this path tries them."""
        order = self.order()
        chosen = self.spread and self.spread.pick(path, self.ready)
        if chosen and chosen.target in order:
            order.remove(chosen.target)
            order.insert(0, chosen.target)
        return order

    def when_ready(self, call: WhenReady) -> None:
        """Calls once: with a connection, or with None at the end of a round without one."""
        self._waiting.append(call)
        self._wanted.set()

    async def run(self) -> None:
        """Keeps a connection as long as it is not cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._outbox.start(self._nursery)
            while True:
                self._current = await self._round()
                self._spread_out()
                self._tell()
                self.on_change()
                if self._current is not None:
                    await self._current.leaving.wait()
                    self._lose(self._current)
                    continue
                self.rounds_failed += 1
                await trio.sleep(limits.PROXY_ROUND_PAUSE_SECONDS)
                with trio.move_on_after(limits.PROXY_RETRY_SECONDS):
                    await self._wanted.wait()

    def _lose(self, connection: UpstreamConnection) -> None:
        self.lost += 1
        _log.warning("lost the endpoint", endpoint=str(connection.target), reason=connection.reason)
        if self._targets and self._targets[0] == connection.target:
            self._targets.rotate(-1)

    def _spread_out(self) -> None:
        if self.spread is not None and self._nursery is not None:
            used = self._current.target if self._current is not None and self._current.is_open else None
            self.spread.keep(self.order(), used, self._nursery, self._connect)

    async def _connect(self, target: Url) -> UpstreamConnection:
        assert self._nursery is not None, "it runs"
        start_task = self._nursery.start_soon
        return await connect(target, self._tls, self._make_http, self._outbox, start_task, self._dial_timeout_seconds)

    async def _round(self) -> UpstreamConnection | None:
        """Tries every endpoint once. The one that answers comes first from now on."""
        faults = []
        for _ in range(len(self._targets)):
            try:
                connection = await self._connect(self._targets[0])
            except PeerError as error:
                faults.append(str(error))
                self._targets.rotate(-1)
            else:
                _log.info("connected to an endpoint", endpoint=str(connection.target))
                self.fault = ""
                return connection
        fault = "; ".join(faults)
        if fault != self.fault:
            _log.warning("no endpoint can be reached", fault=fault)
            self.fault = fault
        return None

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._wanted = trio.Event()
        with self._outbox:
            for call in waiting:
                call(self.ready)
