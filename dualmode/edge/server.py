"""Does: accepts connections, owns their tasks, looks after their time, and ends them in order.

One nursery per server holds everything: accept loops, one task per connection, the tasks of streams, writers of slow
connections, the ticker. A fault in one connection or route ends that one; only a listener that fails ends the server.
"""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from dualmode import limits, log
from dualmode.edge.admission import Admission, host_of
from dualmode.edge.connection import Connection
from dualmode.edge.listener import Listener
from dualmode.edge.outbox import Outbox
from dualmode.edge.tls import ServerTls
from dualmode.errors import StartError
from dualmode.http.h1 import Http1ServerConnection
from dualmode.http.interface import Classifier, HttpServerConnection
from dualmode.http.native import ServerConnection
from dualmode.http.routing import Mux

_log = log.get("edge")

#: accept(2) errors that belong to the connection that was to be accepted; the next one may be fine.
_LOST_BEFORE_ACCEPT = {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH}
#: No descriptor or no memory now.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def connection_limit() -> int:
    """How many connections this process may hold: its descriptor limit less what everything else needs.

    Raises StartError when nothing is left, as etcd does.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= limits.RESERVED_DESCRIPTORS:
        raise StartError(
            f"the limit of {soft} open files leaves none for clients ({limits.RESERVED_DESCRIPTORS} are kept back); "
            "raise it (ulimit -n, LimitNOFILE=)"
        )
    return soft - limits.RESERVED_DESCRIPTORS


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How to serve; the defaults are the program's own."""

    #: Makes the engine of an HTTP/2 connection: where `--http2-engine` arrives.
    http2: Callable[[Classifier], HttpServerConnection] = ServerConnection
    #: The same for HTTP/1.1, with the scheme of its requests.
    http1: Callable[[Classifier, bytes], Http1ServerConnection] = Http1ServerConnection
    #: Needed when a listener allows TLS.
    tls: ServerTls | None = None
    connections: int = field(default_factory=connection_limit)
    #: Who else may not stay: where `--max-connections` arrives. Its own without limits, unless given.
    admission: Admission = field(default_factory=Admission)
    #: Called at every tick with the time, before the connections: deadlines of calls live there.
    on_tick: tuple[Callable[[float], None], ...] = ()


class Server:
    """Serves one mux on some listeners. `run` is its task; `close` asks it to end.

    `outbox` may be shared with others on the same loop (other servers, the apply pass).
    """

    def __init__(
        self, listeners: Sequence[Listener], mux: Mux, options: ServerOptions, outbox: Outbox | None = None
    ) -> None:
        """Raises StartError when TLS is asked for and there is no certificate."""
        for listener in listeners:
            if listener.place.allows_tls and options.tls is None:
                raise StartError(f"{listener.place.urls[-1]}: https needs a certificate and a key")
        self.mux = mux
        self.options = options
        self.outbox = outbox or Outbox()
        self.now = trio.current_time
        #: With the address that each came from, as `Admission` counts it.
        self.connections: dict[Connection, str | None] = {}
        #: Plain counter for metrics: accepted since the start.
        self.accepted = 0
        self._listeners = listeners
        self._accepting = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._room: trio.Event | None = None
        self._empty: trio.Event | None = None

    @property
    def tls(self) -> ServerTls | None:
        return self.options.tls

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until `close` has done its work. Raises OSError when a listener fails."""
        async with trio.open_nursery() as self._nursery:
            self.outbox.start(self._nursery)
            self._nursery.start_soon(self._tick)
            self._nursery.start_soon(self._accept_on_all)
            task_status.started()

    async def close(self, drain_seconds: float = limits.DRAIN_TIMEOUT_SECONDS) -> None:
        """Stops accepting, lets calls in flight finish for so long, then cuts what is left; `run` returns."""
        self._accepting.cancel()
        with self.outbox:
            for connection in list(self.connections):
                connection.close()
        with trio.move_on_after(drain_seconds):
            await self._until_empty()
        for connection in list(self.connections):
            connection.cut()
        with trio.move_on_after(limits.LINGER_SECONDS):
            await self._until_empty()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def start_task(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Starts a task that lives no longer than the server."""
        if self._nursery is not None:
            self._nursery.start_soon(function, *args)

    def forget(self, connection: Connection) -> None:
        """A connection is over."""
        self.options.admission.leave(self.connections.pop(connection))
        if self._room is not None:
            self._room.set()
        if self._empty is not None and not self.connections:
            self._empty.set()

    # --- Accepting -------------------------------------------------------------------------------------------

    async def _accept_on_all(self) -> None:
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for listener in self._listeners:
                    nursery.start_soon(self._accept, listener)

    async def _accept(self, listener: Listener) -> None:
        try:
            while True:
                await self._until_room()
                await trio.lowlevel.wait_readable(listener.sock)
                if not self._accept_some(listener):
                    await trio.sleep(limits.ACCEPT_PAUSE_SECONDS)
        finally:
            listener.close()  # only now: a socket must not be closed under a task that waits for it

    def _accept_some(self, listener: Listener) -> bool:
        """Takes what is waiting, as far as there is room. False when descriptors have run out."""
        for _ in range(min(limits.ACCEPTS_PER_TURN, self.options.connections - len(self.connections))):
            try:
                sock, address = listener.sock.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    _log.warning("cannot accept connections now", listener=listener.address, error=str(error))
                    return False
                if error.errno not in _LOST_BEFORE_ACCEPT:
                    raise
            else:
                self._take(listener, sock, address)
        return True

    def _take(self, listener: Listener, sock: socket.socket, address: Any) -> None:
        host = host_of(address)
        refusal = self.options.admission.refusal(host)
        if refusal:
            sock.close()
            self._refused(refusal, listener, address)
            return
        self.accepted += 1
        place = listener.place
        try:
            keep_alive(sock)
            connection = Connection(
                self, sock, _address_text(address), place.allows_plain, place.allows_tls, self.now()
            )
        except OSError:
            sock.close()  # gone between accept and now
            return
        self.connections[connection] = host
        self.options.admission.enter(host)
        self.start_task(connection.run)

    def _refused(self, refusal: str, listener: Listener, address: Any) -> None:
        admission = self.options.admission
        if admission.refuse(self.now()):
            _log.warning(
                "too many connections, new ones are closed",
                limit=refusal,
                listener=listener.address,
                client=_address_text(address),
                refused=admission.refused,
            )

    async def _until_room(self) -> None:
        while len(self.connections) >= self.options.connections:
            if self._room is None:
                _log.warning("too many connections, new ones wait", limit=self.options.connections)
            self._room = trio.Event()
            await self._room.wait()
        self._room = None

    async def _until_empty(self) -> None:
        while self.connections:
            self._empty = trio.Event()
            await self._empty.wait()

    async def _tick(self) -> None:
        turn = 0
        while True:
            await trio.sleep(limits.TICK_SECONDS)
            now = self.now()
            turn = (turn + 1) % limits.TICKS_PER_ROUND
            with self.outbox:
                for call in self.options.on_tick:
                    try:
                        call(now)
                    except Exception:
                        _log.exception("a fault of ours in a timer")
                for place, connection in enumerate(list(self.connections)):
                    if connection.is_urgent or place % limits.TICKS_PER_ROUND == turn:
                        connection.tick(now)


async def serve(
    listeners: Sequence[Listener],
    mux: Mux,
    options: ServerOptions,
    *,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`nursery.start(serve, listeners, mux, options)` gives the running Server."""
    server = Server(listeners, mux, options)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        task_status.started(server)


def keep_alive(sock: socket.socket | trio.socket.SocketType) -> None:
    """Lets the kernel find out that a peer is gone without a word."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits.TCP_KEEPALIVE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits.TCP_KEEPALIVE_SECONDS)


def _address_text(address: Any) -> str:
    """`host:port`; a unix socket's client has no name."""
    if not isinstance(address, tuple):
        return "@"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
