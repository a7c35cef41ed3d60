"""Does: the TCP gateway itself: takes connections, finds a remote for each, and probes remotes that were lost.

One nursery holds everything: a task per listener, one per connection (with the two of its relay), the prober. A fault
in one connection ends that one; only a listener that fails ends the gateway.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import trio

from dualmode import limits, log
from dualmode.edge.listener import Listener
from dualmode.edge.server import keep_alive
from dualmode.errors import PeerError
from dualmode.metrics import Counter
from dualmode.proxy.tcp.dial import SHORTAGES, dial
from dualmode.proxy.tcp.relay import Relay
from dualmode.proxy.tcp.remotes import Draw, Remote, Remotes
from dualmode.rpc.signal import Signal

_log = log.get("gateway")


class Gateway:
    """Relays what arrives on `listeners`. `run` is its task; `close` asks it to end."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        remotes: Remotes,
        dial_timeout_seconds: float,
        descriptors: int,
        draw: Draw = random.randrange,
    ) -> None:
        """`descriptors` may be open for relays at once: further clients wait to be accepted."""
        self.remotes = remotes
        self._listeners = listeners
        self._dial_timeout_seconds = dial_timeout_seconds
        self._draw = draw
        self._room = max(1, descriptors // limits.GATEWAY_DESCRIPTORS_PER_RELAY)
        self._accepting = trio.CancelScope()
        self._everything = trio.CancelScope()
        self._one_closed = Signal()
        self._one_lost = Signal()
        self._has_told = False
        #: Plain counts for log and metrics: connections open now, taken, and closed because no remote was left.
        self.open = 0
        self.accepted, self.refused = Counter(), Counter()
        self.bytes_to_remotes, self.bytes_to_clients = Counter(), Counter()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until `close` has done its work. Raises OSError when a listener fails."""
        with self._everything:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._probe_lost_ones)
                nursery.start_soon(self._accept_on_all, nursery)
                task_status.started()

    async def close(self, drain_seconds: float = limits.DRAIN_TIMEOUT_SECONDS) -> None:
        """Stops accepting, lets relays finish for so long, then cuts what is left; `run` returns."""
        self._accepting.cancel()
        with trio.move_on_after(drain_seconds):
            while self.open:
                await self._one_closed.wait()
        _log.info("closing gateway", accepted=self.accepted.value, refused=self.refused.value, cut=self.open)
        self._everything.cancel()

    # --- Accepting -------------------------------------------------------------------------------------------

    async def _accept_on_all(self, relays: trio.Nursery) -> None:
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for listener in self._listeners:
                    nursery.start_soon(self._accept, listener, relays)

    async def _accept(self, listener: Listener, relays: trio.Nursery) -> None:
        source = trio.SocketListener(trio.socket.from_stdlib_socket(listener.sock))
        try:
            while True:
                await self._until_room()
                try:
                    client = await source.accept()
                except OSError as error:
                    if error.errno not in SHORTAGES:
                        raise
                    _log.warning("cannot accept connections now", listener=listener.address, error=str(error))
                    await trio.sleep(limits.ACCEPT_PAUSE_SECONDS)
                else:
                    self.open += 1
                    self.accepted.value += 1
                    relays.start_soon(self._serve, client)
        finally:
            listener.close()

    async def _until_room(self) -> None:
        if self.open >= self._room:
            _log.warning("too many connections, new ones wait", limit=self._room)
        while self.open >= self._room:
            await self._one_closed.wait()

    # --- One connection --------------------------------------------------------------------------------------

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            async with client:
                keep_alive(client.socket)
                remote = await self._connect()
                if remote is None:
                    self.refused.value += 1
                    return
                async with remote:
                    keep_alive(remote.socket)
                    await Relay(client, remote, self.bytes_to_remotes, self.bytes_to_clients).run()
        except OSError as error:
            _log.debug("a connection was gone before it was relayed", error=str(error))
        except Exception:
            _log.exception("a connection ended by a fault of ours")
        finally:
            self.open -= 1
            self._one_closed.set()

    async def _connect(self) -> trio.SocketStream | None:
        """To the first remote that can be; each is tried once at most. None when there is none."""
        tried: list[Remote] = []
        while (remote := self.remotes.pick(self._draw, tried)) is not None:
            tried.append(remote)
            try:
                stream = await dial(remote, self._dial_timeout_seconds)
            except PeerError as error:
                self._lost(remote, str(error))
            except OSError as error:
                _log.warning("cannot connect to anybody now", error=error.strerror or str(error))
                return None
            else:
                self._reached(remote)
                return stream
        if not self._has_told:
            self._has_told = True
            _log.error("no endpoint can be connected: clients are closed until one is activated again")
        return None

    # --- Remotes ---------------------------------------------------------------------------------------------

    def _lost(self, remote: Remote, error: str) -> None:
        if self.remotes.failed(remote, trio.current_time()):
            _log.warning(
                "deactivated endpoint",
                address=str(remote),
                retry_seconds=self.remotes.retry_delay_seconds,
                active=[*map(str, self.remotes.active)],
                error=error,
            )
        self._one_lost.set()

    def _reached(self, remote: Remote) -> None:
        if self.remotes.reached(remote):
            self._has_told = False
            _log.info("activated", address=str(remote), active=[*map(str, self.remotes.active)])

    async def _probe_lost_ones(self) -> None:
        while True:
            at = self.remotes.next_probe_at
            with trio.move_on_at(math.inf if at is None else at):
                await self._one_lost.wait()
                continue
            async with trio.open_nursery() as nursery:
                for remote in self.remotes.due(trio.current_time()):
                    nursery.start_soon(self._probe, remote)

    async def _probe(self, remote: Remote) -> None:
        try:
            stream = await dial(remote, self._dial_timeout_seconds)
        except (PeerError, OSError) as error:
            self._lost(remote, str(error))
            _log.warning("failed to activate endpoint", address=str(remote), error=str(error))
        else:
            await trio.aclose_forcefully(stream)
            self._reached(remote)
