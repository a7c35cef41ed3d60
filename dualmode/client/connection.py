"""Does: one HTTP/2 connection to a server, driven by one task; requests go out and answers come back as callbacks.

This is the raw level: heads, bytes and trailers, nothing of gRPC. The proxy forwards on it without a task per call; the
Channel puts calls and streams on top. Sending never waits and may be done from anywhere on the loop.

Whether a request may have reached the server decides whether it may be sent again. It provably has not when its bytes
were still here when the connection was lost, when the server refused the stream (RFC 9113 section 8.7), or when the
server's GOAWAY names a lower stream as the last it looked at (section 6.8).
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from dualmode import limits, log
from dualmode.edge.outbox import Outbox
from dualmode.edge.tls import ClientTls
from dualmode.edge.wire import Wire
from dualmode.errors import PeerError
from dualmode.http.interface import (
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Event,
    Fields,
    GoawayReceived,
    HttpClientConnection,
    Pairs,
    ResponseReceived,
    ResponseStarted,
    StreamDrained,
    StreamEnded,
    StreamReset,
)
from dualmode.urls import Url

_log = log.get("client")


class ResponseSink(Protocol):
    """Takes what arrives on one request of ours. Called by the connection's task; must not block or raise."""

    def on_head(self, status: int, fields: Pairs) -> None:
        """The head of the answer."""

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """Body bytes; call `acknowledge` when they are consumed."""

    def on_end(self, trailers: Pairs) -> None:
        """The server has said all. The last call if our half is ended too."""

    def on_response(self, status: int, fields: Pairs, data: bytes, trailers: Pairs) -> None:
        """All of an answer in one piece, in place of the three above. Its bytes are credited already."""

    def on_reset(self, error_code: int, may_have_left: bool, reason: str) -> None:
        """The stream is gone. The last call. `reason` is set when the whole connection went, else ""."""

    def on_drained(self) -> None:
        """Unsent bytes of this stream fell below the low-water mark."""


class UpstreamConnection:
    """One connected connection. Made by `connect`; of no use for new streams when `is_open` is false."""

    def __init__(self, wire: Wire, http: HttpClientConnection, target: Url, outbox: Outbox) -> None:
        self.target = target
        self.is_dirty = False
        #: Set when no new streams are possible: the server is going away, or the end.
        self.leaving = trio.Event()
        #: Set when the connection is over.
        self.ended = trio.Event()
        #: Set at the first bytes from the server: somebody is there who speaks.
        self.greeted = trio.Event()
        self._wire = wire
        self._http = http
        self._outbox = outbox
        self._sinks: dict[int, ResponseSink] = {}
        self._is_over = False
        self._cut_at = math.inf
        self._newest_stream = 0
        self._newest_sent_stream = 0
        self._reason = "transport is closing"
        self._when_room: list[Callable[[], None]] = []
        self._at_flush: list[Callable[[], None]] = []
        self._after_read: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """New streams are possible, as far as `can_open_stream` says."""
        return not self.leaving.is_set()

    @property
    def reason(self) -> str:
        """Why it ended."""
        return self._reason

    # --- Sending ---------------------------------------------------------------------------------------------

    @property
    def can_open_stream(self) -> bool:
        """False while the server's limit on concurrent streams is reached, or after the end."""
        return self.is_open and self._http.can_open_stream()

    @property
    def open_streams(self) -> int:
        return len(self._sinks)

    def open_stream(self, head: Fields, sink: ResponseSink, body: bytes = b"", end: bool = False) -> int:
        """Sends a request head (pseudo-headers first) and perhaps its body. Only while `can_open_stream`."""
        stream_id = self._http.open_stream(head, body, end)
        self._sinks[stream_id] = sink
        self._newest_stream = stream_id
        self._outbox.mark(self)
        return stream_id

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes; whoever sends much watches `unsent_bytes`."""
        self._http.send_data(stream_id, data, end)
        self._outbox.mark(self)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """Ends our half."""
        self._http.end_stream(stream_id, trailers)
        self._outbox.mark(self)

    def reset_stream(self, stream_id: int, error_code: int = ErrorCode.CANCEL) -> None:
        """Gives the call up; its sink hears nothing more."""
        if self._sinks.pop(stream_id, None) is not None:
            self._http.reset_stream(stream_id, error_code)
            self._outbox.mark(self)
            self._room()

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """These bytes are consumed."""
        self._http.acknowledge(stream_id, flow_bytes)
        self._outbox.mark(self)

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes queued for a stream, and those that wait in the socket's queue."""
        return self._http.unsent_bytes(stream_id) + self._wire.unsent_bytes

    def when_room(self, call: Callable[[], None]) -> None:
        """Calls once when a stream may be opened again, or the connection is over."""
        self._when_room.append(call)

    def at_flush(self, call: Callable[[], None]) -> None:
        """Calls once before the output leaves next. A request whose pieces come one by one within a turn goes out as a
        whole if it is opened there."""
        self._at_flush.append(call)
        self._outbox.mark(self)

    def after_read(self, call: Callable[[], None]) -> None:
        """Calls once when all that the read under way has brought is told. To be asked for by a sink that is called."""
        self._after_read.append(call)

    def close(self) -> None:
        """Orderly: open streams may finish."""
        if self.is_open:
            self.leaving.set()
            self._http.close()
            self._outbox.mark(self)

    def cut(self) -> None:
        """Now."""
        self.leaving.set()
        self._wire.abort()

    # --- The task --------------------------------------------------------------------------------------------

    async def run(self, first: bytes) -> None:
        """Drives the connection to its end; raises nothing but trio.Cancelled. `first` came with the TLS handshake."""
        try:
            self._http.start(trio.current_time())
            self._outbox.mark(self)
            await self._receive(first)
        except PeerError as error:
            self._reason = str(error)
        except (OSError, trio.ClosedResourceError) as error:
            self._reason = getattr(error, "strerror", None) or self._reason
        except Exception:
            _log.exception("connection to a server ended by a fault of ours", server=str(self.target))
        finally:
            self._forget()

    async def _receive(self, first: bytes) -> None:
        data: bytes | None = first
        while True:
            if data == b"":  # TLS has given nothing yet
                data = await self._wire.receive()
                continue
            with self._outbox:
                self._handle(self._http.receive(data or b"", trio.current_time()))
                self._outbox.mark(self)
            if data is None or self._wire.is_finishing:
                return
            self.greeted.set()
            if self._wire.unsent_bytes > limits.CONNECTION_UNSENT_BYTES:
                await self._wire.wait_for_room()
            data = await self._wire.receive()

    def _handle(self, events: Sequence[Event]) -> None:
        if events and isinstance(events[-1], ConnectionEnded):
            # Known first, so that the resets before it are seen for what they are.
            self._is_over = True
            self.leaving.set()
            self._reason = events[-1].error or self._reason
        for event in events:
            if type(event) is ResponseReceived:
                self._on_response(event)
                continue
            match event:
                case DataReceived(stream_id, data, flow_bytes):
                    sink = self._sinks.get(stream_id)
                    if sink is not None:
                        sink.on_data(data, flow_bytes)
                    else:
                        self._http.acknowledge(stream_id, flow_bytes)
                case ResponseStarted(stream_id, status, fields):
                    sink = self._sinks.get(stream_id)
                    if sink is not None:
                        sink.on_head(status, fields)
                case StreamEnded(stream_id, trailers):
                    sink = self._sinks.pop(stream_id, None)
                    if sink is not None:
                        sink.on_end(trailers)
                    # Nobody listens to what we still had to say, if we had; on a stream that is over it does nothing.
                    self._http.reset_stream(stream_id, ErrorCode.CANCEL)
                    self._room()
                case StreamReset(stream_id, error_code, by_peer):
                    self._on_reset(stream_id, error_code, by_peer)
                case StreamDrained(stream_id):
                    sink = self._sinks.get(stream_id)
                    if sink is not None:
                        sink.on_drained()
                case GoawayReceived(last_stream_id):
                    self._on_goaway(last_stream_id)
        if self._after_read:
            self._after_read = self._tell_all(self._after_read)

    def _on_response(self, event: ResponseReceived) -> None:
        stream_id, trailers = event.stream_id, event.trailers
        if trailers is None:
            sink = self._sinks.get(stream_id)
            if sink is not None:
                sink.on_head(event.status, event.fields)
                if event.flow_bytes:
                    sink.on_data(event.data, event.flow_bytes)
            elif event.flow_bytes:
                self._http.acknowledge(stream_id, event.flow_bytes)
            return
        sink = self._sinks.pop(stream_id, None)
        if sink is not None:
            sink.on_response(event.status, event.fields, event.data, trailers)
        self._http.reset_stream(stream_id, ErrorCode.CANCEL)  # as after StreamEnded
        if self._when_room:
            self._room()

    def _on_reset(self, stream_id: int, error_code: int, by_peer: bool) -> None:
        sink = self._sinks.pop(stream_id, None)
        if sink is not None:
            refused = by_peer and error_code == ErrorCode.REFUSED_STREAM
            reason = self._reason if self._is_over else ""
            sink.on_reset(error_code, not refused and stream_id <= self._newest_sent_stream, reason)
        self._room()

    def _on_goaway(self, last_stream_id: int) -> None:
        self.leaving.set()
        for stream_id in [number for number in self._sinks if number > last_stream_id]:
            sink = self._sinks.pop(stream_id)
            sink.on_reset(ErrorCode.REFUSED_STREAM, False, "the server is going away")
        self._room()

    def _room(self) -> None:
        if self._when_room and (not self.is_open or self._http.can_open_stream()):
            waiting, self._when_room = self._when_room, []
            for call in waiting:
                call()

    def flush(self) -> None:
        """Sends what the engine has; called by the outbox."""
        if self._at_flush:
            self._at_flush = self._tell_all(self._at_flush)
        self.is_dirty = False
        try:
            data = self._http.take_output()
            if data and not self._wire.is_broken:
                self._newest_sent_stream = self._newest_stream
                self._wire.send(data)
            if self._http.is_finished and not self._wire.is_finishing:
                self.leaving.set()
                self._cut_at = trio.current_time() + limits.LINGER_SECONDS
                self._wire.finish()
        except Exception:
            _log.exception("connection to a server ended by a fault of ours", server=str(self.target))
            self.cut()

    async def look_at_timers(self) -> None:
        """A task beside `run`: keepalive, settings, a server that does not close when all is said."""
        while not self.ended.is_set():
            with trio.move_on_after(limits.TICK_SECONDS):
                await self.ended.wait()
            now = trio.current_time()
            if now >= self._cut_at:
                self.cut()
                continue
            with self._outbox:
                try:
                    self._handle(self._http.tick(now))
                except Exception:
                    _log.exception("connection to a server ended by a fault of ours", server=str(self.target))
                    self.cut()
                self._outbox.mark(self)

    def sent_all(self) -> None:
        """The wire's queue is empty again."""
        with self._outbox:
            for sink in list(self._sinks.values()):
                self._tell(sink.on_drained)

    def _forget(self) -> None:
        self.leaving.set()
        self.is_dirty = True  # nothing is marked any more
        self._wire.abort()
        sinks, self._sinks = self._sinks, {}
        for stream_id, sink in sinks.items():
            self._tell(sink.on_reset, ErrorCode.CANCEL, stream_id <= self._newest_sent_stream, self._reason)
        self._tell(self._room)
        self._at_flush = self._tell_all(self._at_flush)
        self.ended.set()

    def _tell_all(self, calls: list[Callable[[], None]]) -> list[Callable[[], None]]:
        """Calls all, those too that join while it does; gives an empty list to take the place of this one."""
        for call in calls:
            self._tell(call)
        return []

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        """Calls a sink where the fault of one must not keep the others from hearing."""
        try:
            call(*args)
        except Exception:
            _log.exception("a call failed by a fault of ours", server=str(self.target))


async def connect(
    target: Url,
    tls: ClientTls | None,
    make_http: Callable[[], HttpClientConnection],
    outbox: Outbox,
    start_task: Callable[..., Any],
    timeout_seconds: float = limits.CONNECT_TIMEOUT_SECONDS,
) -> UpstreamConnection:
    """Connects, shakes hands and waits for the server's first bytes; its task runs in `start_task`'s nursery.

    Raises PeerError saying what failed.
    """
    try:
        with trio.fail_after(timeout_seconds):
            sock = await _connect_socket(target)
            holder: list[UpstreamConnection] = []
            wire = Wire(sock, start_task, lambda: holder[0].sent_all() if holder else None)
            try:
                first = await _shake_hands(wire, tls, target) if target.is_tls else b""
                connection = UpstreamConnection(wire, make_http(), target, outbox)
                holder.append(connection)
                start_task(connection.run, first)
                start_task(connection.look_at_timers)
                await _first_of(connection.greeted, connection.ended)
            except BaseException:
                wire.abort()
                raise
    except trio.TooSlowError:
        raise PeerError(f"{target}: no answer within {timeout_seconds:g} s") from None
    except OSError as error:
        raise PeerError(f"{target}: {error.strerror or error}") from error
    if not connection.is_open:
        raise PeerError(f"{target}: {connection.reason}")
    return connection


async def _connect_socket(target: Url) -> socket.socket:
    if target.is_unix:
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            await sock.connect(target.path)
            stack.pop_all()
    else:
        sock = (await trio.open_tcp_stream(target.host, target.port)).socket
    return socket.socket(fileno=sock.detach())


async def _shake_hands(wire: Wire, tls: ClientTls | None, target: Url) -> bytes:
    """Gives the plaintext that came along with the end of the handshake."""
    if tls is None:
        raise PeerError(f"{target}: https needs TLS settings")
    session = tls.session(trio.current_time(), "localhost" if target.is_unix else target.host)
    wire.start_tls(session, is_client=True)
    data: bytes | None = b""
    while not session.is_established:
        try:
            data = await wire.receive()
        except PeerError as error:
            raise PeerError(f"{target}: {error}") from error
        if data is None:
            raise PeerError(f"{target}: closed during the TLS handshake")
    if session.alpn != "h2":
        raise PeerError(f"{target}: the server did not choose HTTP/2 (ALPN h2)")
    return data or b""


async def _first_of(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
