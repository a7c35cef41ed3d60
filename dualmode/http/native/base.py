"""Decides: the state of an HTTP/2 connection and everything its owner does to it; what arrives is read elsewhere.

`ConnectionBase` (sending, ending) <- `ControlFrames` (frames that steer) <- `Connection` (the frame loop, header
blocks, DATA) <- `ServerConnection`, `ClientConnection`. Each layer is one page of one subject.
"""

from __future__ import annotations

from typing import Any

from dualmode import limits
from dualmode.http.interface import ConnectionEnded, ErrorCode, Event, Fields, StreamDrained, StreamReset
from dualmode.http.keepalive import Due, Keepalive
from dualmode.http.native import settings
from dualmode.http.native.budgets import Budgets
from dualmode.http.native.faults import ConnectionFaultError, StreamFaultError
from dualmode.http.native.flow import ReceiveWindow
from dualmode.http.native.frame_reader import FrameReader
from dualmode.http.native.frames import (
    MAX_STREAM_ID,
    PING,
    PREFACE,
    SETTINGS,
    build,
    build_goaway,
    build_reset,
    build_window_update,
)
from dualmode.http.native.header_blocks import HeaderDecoder
from dualmode.http.native.outgoing import Outgoing
from dualmode.http.native.states import HALF_CLOSED_LOCAL, IDLE, OPEN, RESET_BY_US
from dualmode.http.native.stream import Stream
from dualmode.http.native.stream_table import StreamTable
from dualmode.http.options import Http2Options

#: Our pings carry what they are for.
KEEPALIVE_PING = b"keepaliv"
DRAIN_PING = b"draining"


class ConnectionBase:
    """One owner drives it through the methods of `HttpConnection`."""

    _is_client = False
    #: Each role remembers blocks in its own terms.
    _decoder: HeaderDecoder[Any]

    def __init__(self, options: Http2Options) -> None:
        self._options = options
        self._table = StreamTable()
        #: The table's live streams; the hot path goes straight to them.
        self._streams = self._table.live
        self._outgoing = Outgoing()
        self._budgets = Budgets()
        self._reader = FrameReader(options.frame_bytes, b"" if self._is_client else PREFACE)
        self._keepalive = Keepalive(options)
        self._events: list[Event] = []
        #: Counts what was read: events of the read under way have not been seen by anybody.
        self._reads = 0
        self._now = 0.0
        #: What the peer may send. Until it has acknowledged our SETTINGS it may go by the protocol's default.
        self._incoming = ReceiveWindow(max(options.connection_window_bytes, settings.DEFAULT_WINDOW_BYTES))
        self._stream_window = max(options.stream_window_bytes, settings.DEFAULT_WINDOW_BYTES)
        self._settings_sent_at: float | None = None
        #: The last stream we take, once said.
        self._goaway_last: int | None = None
        self._drain_since: float | None = None
        self._peer_is_leaving = False
        self._is_ended = False

    def start(self, now: float) -> None:
        """Queues preface (client), SETTINGS, and the rest of the connection's window."""
        self._now = now
        self._settings_sent_at = now
        self._reader.partial_since = now  # the peer's preface is due
        self._keepalive.last_heard_at = now
        self._budgets.refilled_at = now
        parts = self._outgoing.parts
        if self._is_client:
            parts.append(PREFACE)
        parts.append(build(SETTINGS, 0, 0, settings.announce(self._options, self._is_client)))
        extra_bytes = self._incoming.left - settings.DEFAULT_WINDOW_BYTES
        if extra_bytes:
            parts.append(build_window_update(0, extra_bytes))

    def take_output(self) -> bytes:
        """All bytes to send now."""
        return self._outgoing.take()

    @property
    def open_streams(self) -> int:
        """Streams that are open or half-closed."""
        return len(self._streams)

    @property
    def is_finished(self) -> bool:
        """Whether only the sending of the output is left to do."""
        return self._is_ended or (not self._streams and (self._goaway_last is not None or self._peer_is_leaving))

    # --- Sending -------------------------------------------------------------------------------------------------

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes that wait for windows on a stream."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.queued_bytes

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes, sent or queued."""
        stream = self._sendable(stream_id)
        if stream is None:
            return
        self._note_useful_output()
        if self._outgoing.send(stream, b"" if stream.is_head_method else data, end):
            self._our_half_ended(stream)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """Ends our half, after what is queued."""
        stream = self._sendable(stream_id)
        if stream is None:
            return
        self._note_useful_output()
        if self._outgoing.finish(stream, None if stream.is_head_method else trailers):
            self._our_half_ended(stream)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """RST_STREAM; the stream is forgotten with what is queued for it."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._remove(stream)
            self._send_reset(stream_id, error_code)

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """The driver has consumed so much of a streamed body."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # credited when the stream went
        flow_bytes = min(flow_bytes, stream.unacknowledged)
        stream.unacknowledged -= flow_bytes
        self._incoming.consumed += flow_bytes
        self._credit_connection()
        self._credit_stream(stream)

    def _sendable(self, stream_id: int) -> Stream | None:
        """The stream, if our half of it is open."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.state == HALF_CLOSED_LOCAL or (stream.queue is not None and stream.queue.ends):
            return None
        return stream

    def _pump(self, stream: Stream, frames: int = -1) -> None:
        """A window has opened for a stream: sends what waits, and tells the driver when little is left."""
        if stream.queue is None:
            return
        before = stream.queued_bytes
        has_ended = self._outgoing.pump(stream, frames)  # which takes the queue away when it is empty
        after = stream.queued_bytes
        if has_ended or after < before:
            self._note_useful_output()
        if has_ended:
            self._our_half_ended(stream)
            return
        if before >= limits.HTTP2_LOW_WATER_BYTES > after:
            self._events.append(StreamDrained(stream.stream_id))

    def _our_half_ended(self, stream: Stream) -> None:
        """END_STREAM has been sent. The roles differ."""
        raise NotImplementedError

    def _note_useful_output(self) -> None:
        """A frame that carries something leaves: the peer has a reason to answer it with credit and pings."""
        self._budgets.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET

    # --- Credit for the peer -------------------------------------------------------------------------------------

    def _credit_connection(self) -> None:
        """Gives back what is consumed of the connection's window, when it is half of it."""
        increment = self._incoming.credit()
        if increment:
            self._outgoing.parts.append(build_window_update(0, increment))

    def _credit_stream(self, stream: Stream) -> None:
        """The same for a stream, while the peer may still send on it."""
        spent = self._stream_window - stream.window_left - stream.unacknowledged
        if spent > self._stream_window // 2 and stream.state <= HALF_CLOSED_LOCAL:
            stream.window_left += spent
            self._outgoing.parts.append(build_window_update(stream.stream_id, spent))

    # --- Streams that go -----------------------------------------------------------------------------------------

    def _remove(self, stream: Stream) -> None:
        """Takes a stream out of the table; what it held is given back."""
        del self._streams[stream.stream_id]
        self._incoming.consumed += stream.unacknowledged
        if stream.queue is not None:
            self._outgoing.drop(stream)

    def _send_reset(self, stream_id: int, error_code: int) -> None:
        self._table.note_reset(stream_id, RESET_BY_US)
        self._outgoing.parts.append(build_reset(stream_id, error_code))

    def _reset_faulty(self, fault: StreamFaultError) -> None:
        """The peer broke a rule on one stream. On a stream that was never opened there is nothing to reset: then it is
        the connection's fault (allowed by RFC 9113 section 5.4.2)."""
        stream_id = fault.stream_id
        if self._table.state_of(stream_id) == IDLE:
            raise ConnectionFaultError(fault.code, fault.text)
        stream = self._streams.get(stream_id)
        if stream is not None:
            if self._is_told(stream):
                self._events.append(StreamReset(stream_id, fault.code, by_peer=False))
            self._remove(stream)
        self._send_reset(stream_id, fault.code)
        self._budgets.charge_reset()

    @staticmethod
    def _is_told(stream: Stream) -> bool:
        """Whether the driver has heard of a stream: not while its body is being gathered."""
        return stream.body_limit < 0 or stream.state > OPEN

    # --- The end -------------------------------------------------------------------------------------------------

    def close(self, error_code: int = 0, debug: bytes = b"") -> None:
        """GOAWAY. The orderly end of a server first only asks the client to open no more streams, and says which ones
        it takes after one round trip (RFC 9113 section 6.8): no call is refused that was on its way."""
        if self._is_ended or self._goaway_last is not None:
            return
        if error_code or self._is_client:
            self._send_goaway(error_code, debug)
        elif self._drain_since is None:
            self._drain_since = self._now
            self._outgoing.parts.append(build_goaway(MAX_STREAM_ID, error_code, debug))
            self._outgoing.parts.append(build(PING, 0, 0, DRAIN_PING))

    def _send_goaway(self, error_code: int, debug: bytes) -> None:
        """The last word. Streams above are ignored from now on, and safe for the client to try elsewhere."""
        last = 0 if self._is_client else max(self._table.highest, 0)
        self._goaway_last = last
        self._decoder.memory.clear()  # from now on every header block is looked at
        self._outgoing.parts.append(build_goaway(last, error_code, debug[: limits.HTTP2_DEBUG_BYTES]))

    def _fail(self, fault: ConnectionFaultError) -> None:
        """The peer broke the connection: GOAWAY, and everything on it is lost."""
        self._send_goaway(fault.code, fault.text.encode())
        self._end(fault.text, fault.code, fault.code)

    def _end(self, error: str, error_code: int, lost_code: int) -> None:
        """Nothing more is read. `lost_code` is what the open streams hear."""
        self._is_ended = True
        for stream in self._streams.values():
            if self._is_told(stream):
                self._events.append(StreamReset(stream.stream_id, lost_code, by_peer=not error))
            self._outgoing.drop(stream)
        self._streams.clear()
        self._events.append(ConnectionEnded(error, error_code))

    def _take_events(self) -> list[Event]:
        events = self._events
        self._events = []
        return events

    # --- Timers --------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Event]:
        """Looks at the timers: unacknowledged SETTINGS, slow trickle, draining, keepalive."""
        if self._is_ended:
            return self._take_events()
        self._now = now
        self._budgets.refill(now)
        try:
            self._check_timeouts(now)
        except ConnectionFaultError as fault:
            self._fail(fault)
        return self._take_events()

    def _check_timeouts(self, now: float) -> None:
        sent_at, partial_since = self._settings_sent_at, self._partial_since()
        if sent_at is not None and now - sent_at >= self._options.settings_timeout_seconds:
            raise ConnectionFaultError(ErrorCode.SETTINGS_TIMEOUT, "SETTINGS were not acknowledged")
        if partial_since is not None and now - partial_since >= limits.HTTP2_FRAME_TIMEOUT_SECONDS:
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, "a frame or header block stayed incomplete")
        if self._drain_since is not None and now - self._drain_since >= limits.HTTP2_GOAWAY_GRACE_SECONDS:
            self._finish_draining()
        may_ping = not self._is_client or bool(self._streams) or self._options.keepalive_without_streams
        due = self._keepalive.look(now, may_ping)
        if due is Due.PING:
            self._outgoing.parts.append(build(PING, 0, 0, KEEPALIVE_PING))
        elif due is Due.GIVE_UP:
            raise ConnectionFaultError(ErrorCode.NO_ERROR, "the peer did not answer a keepalive ping")

    def _partial_since(self) -> float | None:
        """Since when the peer owes us the rest of something."""
        return self._reader.partial_since

    def _finish_draining(self) -> None:
        self._drain_since = None
        if self._goaway_last is None:
            self._send_goaway(ErrorCode.NO_ERROR, b"")
