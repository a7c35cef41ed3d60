"""Does: the loop of one client connection: read, hand all that is complete to its routes, write once.

A connection is one task and one `Link`. In a turn it handles everything that one read brought: the HTTP engine parses
it, every complete call is given to its route, and what was answered leaves in one write (`edge/outbox.py`). A unary
call has no task; routes that need one get it with `spawn`, in the server's nursery, so that an idle connection owns
nothing but its one sleeping task.

Time is looked after from outside: `tick`, every second or two. There is no timer per connection or per read.

The life of a connection: opening (`edge/opening.py`), open, ending (our half is shut, the peer's last bytes are thrown
away), over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import trio

from dualmode import limits, log
from dualmode.edge.opening import Opening
from dualmode.edge.sniff import Speech
from dualmode.edge.wire import Wire
from dualmode.errors import PeerError
from dualmode.http.interface import (
    BodyTooLarge,
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Event,
    Fields,
    HttpServerConnection,
    RequestHead,
    RequestReceived,
    RequestStarted,
    StreamDrained,
    StreamEnded,
    StreamReset,
)
from dualmode.http.routing import PeerIdentity, Sink

if TYPE_CHECKING:
    import socket

    from dualmode.edge.server import Server
    from dualmode.http.h1 import Http1ServerConnection

_log = log.get("edge")


class Connection:
    """One accepted connection. `run` is its task; everything else is called on the same loop and never waits."""

    __slots__ = (
        "_deadline",
        "_http",
        "_http1",
        "_is_over",
        "_left_at_deadline",
        "_opening",
        "_outbox",
        "_scopes",
        "_server",
        "_serving",
        "_sinks",
        "_wanted",
        "_wire",
        "is_dirty",
        "is_ending",
        "peer",
    )

    def __init__(
        self, server: Server, sock: socket.socket, address: str, allows_plain: bool, allows_tls: bool, now: float
    ) -> None:
        self._server = server
        self._outbox = server.outbox
        self._wire = Wire(sock, server.start_task, self._sent_all)
        self._opening = Opening(self._wire, address, server.tls, server.now, allows_plain, allows_tls)
        self._http: HttpServerConnection | None = None
        #: The same engine when it is HTTP/1.1, which has two wishes more: see `_until_wanted` and `flush`.
        self._http1: Http1ServerConnection | None = None
        self._wanted: trio.Event | None = None
        self._sinks: dict[int, Sink] = {}
        self._scopes: set[trio.CancelScope] | None = None
        #: When the connection is cut unless it has got on by then; None while it may live for ever.
        self._deadline: float | None = now + limits.HANDSHAKE_TIMEOUT_SECONDS
        self._left_at_deadline = 0
        self._serving = 0
        #: The engine wants no more bytes.
        self._is_over = False
        self.peer = PeerIdentity(address, is_tls=False)
        self.is_dirty = False
        self.is_ending = False

    # --- The task --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serves the connection to its end. Raises nothing but trio.Cancelled."""
        try:
            first = await self._open()
            if first is not None:
                await self._serve(first)
            await self._linger()
        except PeerError as error:
            _log.debug("connection ended by a fault of the peer", peer=self.peer.address, error=str(error))
            self._wire.finish()
        except (OSError, trio.ClosedResourceError):
            pass  # the peer has reset it, or we have cut it
        except Exception:
            _log.exception("connection ended by a fault of ours", peer=self.peer.address)
        finally:
            self._forget()

    async def _open(self) -> bytes | None:
        """Sets the engine up for what the peer speaks; gives the bytes it has to begin with."""
        opening, options = self._opening, self._server.options
        first = await opening.run()
        if first is None:
            return None
        self.peer = opening.peer
        if opening.speech is Speech.HTTP2:
            self._http = options.http2(self._classify)
        else:
            scheme = b"https" if self.peer.is_tls else b"http"
            self._http = self._http1 = options.http1(self._classify, scheme)
        self._deadline = None  # from here on the engine's own timers hold
        self._http.start(self._server.now())
        return first

    async def _serve(self, data: bytes | None) -> None:
        """The loop. There is no await between a read and the write that answers it."""
        http, wire, outbox, now = self._http, self._wire, self._outbox, self._server.now
        assert http is not None
        while not self.is_ending:
            outbox.reader = self
            with outbox:
                if data != b"":  # TLS may have given nothing yet
                    self._handle(http.receive(data or b"", now()))
                outbox.mark(self)
            if data is None:
                self._end()
                return
            if wire.unsent_bytes > limits.CONNECTION_UNSENT_BYTES:
                await wire.wait_for_room()
            if self._http1 is not None:
                await self._until_wanted(self._http1)
            data = await wire.receive()

    async def _until_wanted(self, http1: Http1ServerConnection) -> None:
        """HTTP/1.1 has no flow control but not reading: waits while a body or pipelined requests pile up."""
        while not http1.wants_input and not self.is_ending:
            self._wanted = trio.Event()
            await self._wanted.wait()

    async def _linger(self) -> None:
        """Throws away what the peer still sends until it ends its half; `tick` cuts it when that takes too long."""
        self._end()
        while await self._wire.receive_raw():
            pass
        await self._wire.wait_until_sent()

    # --- Events ----------------------------------------------------------------------------------------------

    def _classify(self, head: RequestHead) -> int:
        """The engine's Classifier: resolves the route, once per head."""
        route = head.route
        if route is None:
            route = head.route = self._server.mux.resolve(head, self.peer)
        limit: int = route.body_limit
        return limit

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                if type(event) is RequestReceived:  # the hot path: a whole call
                    self._serving = stream_id = event.stream_id
                    head = event.head
                    sink = head.route.serve(self, stream_id, head, event.body)
                    if sink is not None:
                        self._sinks[stream_id] = sink
                elif type(event) is DataReceived and (sink := self._sinks.get(event.stream_id)) is not None:
                    self._serving = event.stream_id
                    sink.on_data(event.data, event.flow_bytes)
                else:
                    self._serving = getattr(event, "stream_id", 0)
                    self._handle_rarer(event)
            except Exception:
                self._fail_stream(self._serving)

    def _handle_rarer(self, event: Event) -> None:
        match event:
            case DataReceived(stream_id, _, flow_bytes):
                self.acknowledge(stream_id, flow_bytes)  # nobody wants it, but it counts against the window
            case RequestStarted(stream_id, head):
                sink = head.route.serve(self, stream_id, head, b"")
                if sink is not None:
                    self._sinks[stream_id] = sink
            case StreamEnded(stream_id, trailers):
                sink = self._sinks.get(stream_id)
                if sink is not None:
                    sink.on_end(trailers)
            case StreamDrained(stream_id):
                sink = self._sinks.get(stream_id)
                if sink is not None:
                    sink.on_drained()
            case StreamReset(stream_id, error_code):
                sink = self._sinks.pop(stream_id, None)
                if sink is not None:
                    sink.on_reset(error_code)
            case BodyTooLarge(stream_id, head, start):
                head.route.refuse_body(self, stream_id, head, start)
            case ConnectionEnded(error):
                if error:
                    _log.debug("connection ended", peer=self.peer.address, error=error)
                self._is_over = True

    def _fail_stream(self, stream_id: int) -> None:
        """A route or a task has raised: our bug. That stream dies, nothing else."""
        _log.exception("a call failed by a fault of ours", peer=self.peer.address, stream_id=stream_id)
        self._reset_sink(stream_id, ErrorCode.INTERNAL_ERROR)
        self.reset_stream(stream_id, ErrorCode.INTERNAL_ERROR)

    def _reset_sink(self, stream_id: int, error_code: int) -> None:
        """The last call a sink hears, whatever it makes of it."""
        sink = self._sinks.pop(stream_id, None)
        if sink is None:
            return
        try:
            sink.on_reset(error_code)
        except Exception:
            _log.exception("a call failed while it was reset", peer=self.peer.address, stream_id=stream_id)

    # --- Link ------------------------------------------------------------------------------------------------
    # Every call but `acknowledge` ends or may end a stream's answer; a sink that has answered hears no more.

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._http.respond(stream_id, head, body, trailers)  # type: ignore[union-attr]
        if self._sinks:
            self._sinks.pop(stream_id, None)
        if len(body) >= limits.LONG_ANSWER_BYTES:
            self.flush()  # gathering is for short answers: a hundred of these would be copied together in vain
        elif not self.is_dirty:
            self._outbox.mark(self)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See routing.Link."""
        self._http.start_response(stream_id, head)  # type: ignore[union-attr]
        if not self.is_dirty:
            self._outbox.mark(self)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """See routing.Link."""
        self._http.send_data(stream_id, data, end)  # type: ignore[union-attr]
        if end:
            self._sinks.pop(stream_id, None)
        if not self.is_dirty:
            self._outbox.mark(self)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._http.end_stream(stream_id, trailers)  # type: ignore[union-attr]
        self._sinks.pop(stream_id, None)
        if not self.is_dirty:
            self._outbox.mark(self)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """See routing.Link."""
        self._http.reset_stream(stream_id, error_code)  # type: ignore[union-attr]
        self._sinks.pop(stream_id, None)
        if not self.is_dirty:
            self._outbox.mark(self)

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """See routing.Link."""
        self._http.acknowledge(stream_id, flow_bytes)  # type: ignore[union-attr]
        if not self.is_dirty:
            self._outbox.mark(self)

    def unsent_bytes(self, stream_id: int) -> int:
        """See routing.Link. Counts what waits in the socket's queue too, when anything does."""
        return self._http.unsent_bytes(stream_id) + self._wire.unsent_bytes  # type: ignore[union-attr]

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See routing.Link. The stream that dies with the task is the one being served now."""
        if self._scopes is None:
            self._scopes = set()
        scope = trio.CancelScope()
        self._scopes.add(scope)
        self._server.start_task(self._run_task, scope, self._serving, function, args)

    async def _run_task(
        self, scope: trio.CancelScope, stream_id: int, function: Callable[..., Awaitable[Any]], args: Any
    ) -> None:
        try:
            with scope:
                await function(*args)
        except Exception:
            self._fail_stream(stream_id)
        finally:
            if self._scopes is not None:
                self._scopes.discard(scope)

    # --- Output, time and the end ----------------------------------------------------------------------------

    def flush(self) -> None:
        """Sends what the engine has; called by the outbox."""
        self.is_dirty = False
        http = self._http
        assert http is not None
        try:
            if self._http1 is not None:
                self._advance(self._http1)
            data = http.take_output()
            if data:
                self._wire.send(data)
            if self._is_over or http.is_finished:
                if self._sinks:  # the engine has given the peer up while something was sent
                    self._handle(http.tick(self._server.now()))
                self._end()
        except Exception:
            _log.exception("connection ended by a fault of ours", peer=self.peer.address)
            self.cut()

    def _advance(self, http1: Http1ServerConnection) -> None:
        """An answer may have made room for a request that is here already, or for more input."""
        while http1.has_more and (events := http1.tick(self._server.now())):
            self._handle(events)
        if self._wanted is not None:
            self._wanted.set()
            self._wanted = None

    @property
    def is_urgent(self) -> bool:
        """It has a deadline, so it is looked at in every tick."""
        return self._deadline is not None

    def tick(self, now: float) -> None:
        """Looks at the timers; the server calls it, and flushes afterwards."""
        if self._deadline is not None:
            if now >= self._deadline and not self._is_still_sending(now):
                self.cut()
        elif self._http is not None:
            try:
                self._handle(self._http.tick(now))
            except Exception:
                _log.exception("connection ended by a fault of ours", peer=self.peer.address)
                self.cut()
            self._outbox.mark(self)

    def close(self) -> None:
        """Orderly: calls in flight may finish, new ones are refused, then the connection ends."""
        if self._http is None:
            self.cut()
        elif not self.is_ending:
            self._http.close()
            self._outbox.mark(self)

    def cut(self) -> None:
        """Ends it now."""
        self.is_ending = True
        if self._wanted is not None:
            self._wanted.set()
        self._wire.abort()

    def _end(self) -> None:
        """The polite end: what is queued leaves, then our half is shut."""
        if self.is_ending:
            return
        self.is_ending = True
        self._left_at_deadline = self._wire.unsent_bytes
        self._deadline = self._server.now() + limits.LINGER_SECONDS
        self._wire.finish()

    def _is_still_sending(self, now: float) -> bool:
        """A last answer may be long and its reader slow: while it gets shorter, the deadline moves."""
        left = self._wire.unsent_bytes
        if left >= self._left_at_deadline:
            return False
        self._left_at_deadline = left
        self._deadline = now + limits.LINGER_SECONDS
        return True

    def _sent_all(self) -> None:
        """The peer reads again: those who held back because of `unsent_bytes` may go on."""
        with self._outbox:
            for stream_id, sink in list(self._sinks.items()):
                try:
                    sink.on_drained()
                except Exception:
                    self._fail_stream(stream_id)

    def _forget(self) -> None:
        """The task's last act: nobody may wait for this connection any longer."""
        self.is_ending = self.is_dirty = True  # dirty for ever: nothing is marked any more
        self._wire.abort()
        if self._http is not None and not self._is_over:
            try:
                self._handle(self._http.receive(b"", self._server.now()))
            except Exception:
                _log.exception("a fault of ours at the end of a connection", peer=self.peer.address)
        for stream_id in list(self._sinks):
            self._reset_sink(stream_id, ErrorCode.CANCEL)
        for scope in self._scopes or ():
            scope.cancel()
        self._scopes = None
        self._server.forget(self)
