"""Decides: what both roles of the h2 engine share: h2's events become ours, bodies wait for windows, timers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from dualmode import limits
from dualmode.http.h2_engine.stream import Stream
from dualmode.http.interface import (
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Event,
    Fields,
    GoawayReceived,
    StreamDrained,
    StreamReset,
)
from dualmode.http.keepalive import Due, Keepalive
from dualmode.http.native.budgets import Budgets
from dualmode.http.native.faults import ConnectionFaultError
from dualmode.http.native.flow import SendQueue
from dualmode.http.native.frames import MAX_STREAM_ID, build_goaway
from dualmode.http.options import Http2Options
from dualmode.http.validation import MalformedError, trailer_fields

_DRAIN_PING: Final = b"draining"
_KEEPALIVE_PING: Final = b"keepaliv"
_DEFAULT_WINDOW_BYTES: Final = 65_535


class Connection:
    """Both roles' common part; the methods are those of `HttpConnection`."""

    _is_client = False

    def __init__(self, options: Http2Options) -> None:
        self._options = options
        config = h2.config.H2Configuration(
            client_side=self._is_client,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(client=self._is_client, initial_values=self._settings())
        self._streams: dict[int, Stream] = {}
        self._output: list[bytes] = []
        self._events: list[Event] = []
        self._budgets = Budgets()
        self._keepalive = Keepalive(options)
        self._settings_sent_at: float | None = None
        self._goaway_last: int | None = None
        self._drain_since: float | None = None
        self._highest = 0
        #: A window may have opened in this read.
        self._has_opened = False
        #: What the queues of streamed answers cost.
        self._streamed_bytes = 0
        self._is_ended = False
        self._now = 0.0

    def _settings(self) -> dict[h2.settings.SettingCodes, int]:
        codes = h2.settings.SettingCodes
        values = {
            codes.INITIAL_WINDOW_SIZE: self._options.stream_window_bytes,
            codes.MAX_FRAME_SIZE: self._options.frame_bytes,
            codes.MAX_HEADER_LIST_SIZE: self._options.header_list_bytes,
            codes.ENABLE_PUSH: 0,
        }
        if not self._is_client:
            values[codes.MAX_CONCURRENT_STREAMS] = self._options.concurrent_streams
        return values

    # --- HttpConnection ------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Queues preface (client), SETTINGS, and the rest of the connection's window."""
        self._now = self._settings_sent_at = now
        self._keepalive.last_heard_at = self._budgets.refilled_at = now
        self._h2.initiate_connection()
        extra_bytes = self._options.connection_window_bytes - _DEFAULT_WINDOW_BYTES
        if extra_bytes > 0:
            self._h2.increment_flow_control_window(extra_bytes)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes from the peer; b"" says that it has closed its half."""
        if self._is_ended:
            return self._take_events()
        self._now = now
        self._keepalive.last_heard_at = now
        if not data:
            self._end("", ErrorCode.NO_ERROR, ErrorCode.CANCEL)
            return self._take_events()
        try:
            # h2 has already read all frames when it gives the first event: what is to be sent is looked at after the
            # last one, or it would be sent on streams that a later frame has ended.
            for event in self._h2.receive_data(data):
                self._on_event(event)
            if self._has_opened:
                self._has_opened = False
                self._pump_all()
        except h2.exceptions.ProtocolError as error:
            if self._h2.state_machine.state is not h2.connection.ConnectionState.CLOSED:
                self._send_goaway(error.error_code, b"")  # a wrong preface is the one fault h2 leaves to us
            self._end(str(error) or type(error).__name__, error.error_code, error.error_code)
        except ConnectionFaultError as fault:
            self._fail(fault)
        return self._take_events()

    def tick(self, now: float) -> list[Event]:
        """Looks at the timers: unacknowledged SETTINGS, draining, keepalive."""
        if self._is_ended:
            return self._take_events()
        self._now = now
        self._budgets.refill(now)
        try:
            self._check_timeouts(now)
        except ConnectionFaultError as fault:
            self._fail(fault)
        return self._take_events()

    def take_output(self) -> bytes:
        """All bytes to send now."""
        self._output.append(self._h2.data_to_send())
        output = b"".join(self._output)
        self._output.clear()
        return output

    def close(self, error_code: int = 0, debug: bytes = b"") -> None:
        """GOAWAY, in two steps for the orderly end of a server, as `native` does it."""
        if self._is_ended or self._goaway_last is not None:
            return
        if error_code or self._is_client:
            self._send_goaway(error_code, debug)
        elif self._drain_since is None:
            self._drain_since = self._now
            self._write_raw(build_goaway(MAX_STREAM_ID, error_code, debug))
            self._h2.ping(_DRAIN_PING)

    @property
    def open_streams(self) -> int:
        """Streams that are open or half-closed."""
        return len(self._streams)

    @property
    def is_finished(self) -> bool:
        """Whether only the sending of the output is left to do."""
        return self._is_ended or (self._goaway_last is not None and not self._streams)

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes that wait for windows on a stream."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None or stream.queue is None else stream.queue.size_bytes

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """The driver has consumed so much of a streamed body."""
        stream = self._streams.get(stream_id)
        if stream is not None and flow_bytes > 0:
            stream.unacknowledged -= flow_bytes
            self._credit(stream_id, flow_bytes)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes, sent or queued."""
        stream = self._sendable(stream_id)
        if stream is None:
            return
        self._note_useful_output()
        if stream.queue is None:
            stream.queue = SendQueue(stream.is_whole)
        self._streamed_bytes -= stream.queue.streamed_bytes
        stream.queue.add(b"" if stream.is_head_method else data)
        self._streamed_bytes += stream.queue.streamed_bytes
        stream.queue.ends = end
        self._pump(stream)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """Ends our half, after what is queued."""
        stream = self._sendable(stream_id)
        if stream is None:
            return
        self._note_useful_output()
        if stream.queue is None:
            stream.queue = SendQueue()
        stream.queue.ends = True
        stream.queue.trailers = None if stream.is_head_method else trailers
        self._pump(stream)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """RST_STREAM; the stream is forgotten."""
        if self._forget(stream_id) is not None:
            self._send_reset(stream_id, error_code)

    def _forget(self, stream_id: int) -> Stream | None:
        """Takes a stream out, with what is queued for it."""
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return None
        self._credit(stream_id, stream.unacknowledged)
        if stream.queue is not None:
            self._streamed_bytes -= stream.queue.streamed_bytes
        return stream

    def _send_reset(self, stream_id: int, error_code: int) -> None:
        """RST_STREAM, unless a later frame of the same read has ended the stream in h2."""
        with suppress(h2.exceptions.NoSuchStreamError):
            self._h2.reset_stream(stream_id, error_code)

    # --- Sending -------------------------------------------------------------------------------------------------

    def _sendable(self, stream_id: int) -> Stream | None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.we_ended or (stream.queue is not None and stream.queue.ends):
            return None
        return stream

    def _pump(self, stream: Stream) -> None:
        """Sends what the windows allow; forgets the queue when it is empty."""
        queue = stream.queue
        if queue is None:
            return
        stream_id = stream.stream_id
        while queue.pieces:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                break
            self._streamed_bytes -= queue.streamed_bytes
            piece = queue.take(room)
            self._streamed_bytes += queue.streamed_bytes
            ends = queue.ends and not queue.pieces and queue.trailers is None
            self._h2.send_data(stream_id, bytes(piece), end_stream=ends)
            if ends:
                self._our_half_ended(stream)
                return
        if not queue.pieces:
            stream.queue = None
            if queue.ends:
                if queue.trailers is None:
                    self._h2.end_stream(stream_id)
                else:
                    self._h2.send_headers(stream_id, queue.trailers.pairs, end_stream=True)
                self._our_half_ended(stream)
                return

    def _pump_all(self) -> None:
        """Windows have opened; tells the driver where little is left."""
        for stream in [stream for stream in self._streams.values() if stream.queue is not None]:
            before = self.unsent_bytes(stream.stream_id)
            self._pump(stream)
            if stream.we_ended or self.unsent_bytes(stream.stream_id) < before:
                self._note_useful_output()
            if stream.we_ended:
                continue
            if before >= limits.HTTP2_LOW_WATER_BYTES > self.unsent_bytes(stream.stream_id):
                self._events.append(StreamDrained(stream.stream_id))

    def _our_half_ended(self, stream: Stream) -> None:
        stream.we_ended = True
        stream.queue = None
        if stream.peer_ended:
            self._finish(stream)
        elif not self._is_client:
            self._finish(stream)
            self._send_reset(stream.stream_id, ErrorCode.NO_ERROR)

    def _finish(self, stream: Stream) -> None:
        del self._streams[stream.stream_id]
        self._credit(stream.stream_id, stream.unacknowledged)
        self._budgets.resets_left = min(limits.HTTP2_RESET_BUDGET, self._budgets.resets_left + 1)

    def _note_useful_output(self) -> None:
        self._budgets.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET

    def _write_raw(self, frame: bytes) -> None:
        """A frame that h2 would not let us go on after."""
        self._output.append(self._h2.data_to_send())
        self._output.append(frame)

    # --- Events --------------------------------------------------------------------------------------------------

    def _on_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                self._on_head(event.stream_id, event.headers, event.stream_ended is not None)
            case h2.events.DataReceived():
                self._on_data(event)
            case h2.events.TrailersReceived():
                self._on_trailers(event.stream_id, event.headers)
            case h2.events.StreamEnded():
                self._on_end(event.stream_id)
            case h2.events.StreamReset():
                self._on_reset(event.stream_id, event.error_code, event.remote_reset)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._budgets.charge_idle_frame()
                self._has_opened = True
            case h2.events.SettingsAcknowledged():
                self._settings_sent_at = None
            case h2.events.PingReceived():
                self._budgets.charge_idle_frame()
                self._judge_ping()
            case h2.events.PingAckReceived():
                if event.ping_data == _DRAIN_PING and self._drain_since is not None:
                    self._finish_draining()
            case h2.events.ConnectionTerminated():
                self._on_goaway(event)
            case _:
                self._budgets.charge_idle_frame()

    def _on_head(self, stream_id: int, headers: Any, ends: bool) -> None:
        raise NotImplementedError

    def _on_body(self, stream: Stream, data: bytes, flow_bytes: int) -> None:
        raise NotImplementedError

    def _on_end(self, stream_id: int) -> None:
        raise NotImplementedError

    def _judge_ping(self) -> None:
        """Whether the peer pings too often. Only servers mind."""

    def _on_data(self, event: h2.events.DataReceived) -> None:
        flow_bytes = event.flow_controlled_length
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self._credit(event.stream_id, flow_bytes)
            return
        if event.data:
            self._budgets.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET
        else:
            self._budgets.charge_idle_frame()
        self._on_body(stream, event.data, flow_bytes)

    def _hand_over(self, stream: Stream, data: bytes, flow_bytes: int) -> None:
        if flow_bytes:
            stream.unacknowledged += flow_bytes
            self._events.append(DataReceived(stream.stream_id, data, flow_bytes))

    def _credit(self, stream_id: int, flow_bytes: int) -> None:
        """Gives the connection's window back. A stream that is forgotten has its rest credited at that moment: nobody
        acknowledges for it any more, and the window of the others would shrink for ever."""
        if flow_bytes > 0:
            self._h2.acknowledge_received_data(flow_bytes, stream_id)

    def _on_trailers(self, stream_id: int, headers: Any) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        try:
            stream.trailers = trailer_fields(tuple(map(tuple, headers)))
        except MalformedError:
            self._reset_malformed(stream_id)

    def _reset_malformed(self, stream_id: int) -> None:
        stream = self._forget(stream_id)
        if stream is not None and stream.is_told:
            self._events.append(StreamReset(stream_id, ErrorCode.PROTOCOL_ERROR, by_peer=False))
        self._send_reset(stream_id, ErrorCode.PROTOCOL_ERROR)
        self._budgets.charge_reset()

    def _on_reset(self, stream_id: int, error_code: int, by_peer: bool) -> None:
        stream = self._forget(stream_id)
        if stream is None:
            return
        if stream.is_told:
            self._events.append(StreamReset(stream_id, error_code, by_peer))
        if not self._is_client:
            self._budgets.charge_reset()

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        """h2 closes its side with it."""
        last, code = event.last_stream_id or 0, event.error_code or 0
        self._events.append(GoawayReceived(last, code, event.additional_data or b""))
        for stream_id in [stream_id for stream_id in self._streams if stream_id > last and self._is_client]:
            del self._streams[stream_id]
            self._events.append(StreamReset(stream_id, ErrorCode.REFUSED_STREAM, by_peer=True))
        self._end("", code, ErrorCode.CANCEL)

    # --- The end -------------------------------------------------------------------------------------------------

    def _send_goaway(self, error_code: int, debug: bytes) -> None:
        self._goaway_last = 0 if self._is_client else self._highest
        self._write_raw(build_goaway(self._goaway_last, error_code, debug[: limits.HTTP2_DEBUG_BYTES]))

    def _finish_draining(self) -> None:
        self._drain_since = None
        if self._goaway_last is None:
            self._send_goaway(ErrorCode.NO_ERROR, b"")

    def _fail(self, fault: ConnectionFaultError) -> None:
        self._send_goaway(fault.code, fault.text.encode())
        self._end(fault.text, fault.code, fault.code)

    def _end(self, error: str, error_code: int, lost_code: int) -> None:
        self._is_ended = True
        for stream in self._streams.values():
            if stream.is_told:
                self._events.append(StreamReset(stream.stream_id, lost_code, by_peer=not error))
        self._streams.clear()
        self._streamed_bytes = 0
        self._events.append(ConnectionEnded(error, error_code))

    def _take_events(self) -> list[Event]:
        events = self._events
        self._events = []
        return events

    def _check_timeouts(self, now: float) -> None:
        sent_at = self._settings_sent_at
        if sent_at is not None and now - sent_at >= self._options.settings_timeout_seconds:
            raise ConnectionFaultError(ErrorCode.SETTINGS_TIMEOUT, "SETTINGS were not acknowledged")
        if self._drain_since is not None and now - self._drain_since >= limits.HTTP2_GOAWAY_GRACE_SECONDS:
            self._finish_draining()
        may_ping = not self._is_client or bool(self._streams) or self._options.keepalive_without_streams
        due = self._keepalive.look(now, may_ping)
        if due is Due.PING:
            self._h2.ping(_KEEPALIVE_PING)
        elif due is Due.GIVE_UP:
            raise ConnectionFaultError(ErrorCode.NO_ERROR, "the peer did not answer a keepalive ping")
