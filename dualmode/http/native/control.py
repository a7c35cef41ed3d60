"""Decides: the frames that steer a connection and its streams (RFC 9113 sections 6.3 to 6.9)."""

from __future__ import annotations

from dualmode import limits
from dualmode.http.interface import ErrorCode, GoawayReceived, StreamReset
from dualmode.http.native import settings
from dualmode.http.native.base import DRAIN_PING, ConnectionBase
from dualmode.http.native.faults import ConnectionFaultError, StreamFaultError, frame_size_error, protocol_error
from dualmode.http.native.flow import MAX_WINDOW
from dualmode.http.native.frames import (
    ACK,
    GOAWAY,
    MAX_STREAM_ID,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    build,
    check_shape,
    depends_on_itself,
    read_u32,
)
from dualmode.http.native.states import RESET_BY_PEER
from dualmode.http.native.stream import Stream

_GOAWAY_BYTES = 8
#: A SETTINGS frame that moves every stream's window costs one idle frame more for so many streams.
_STREAMS_PER_CHARGE = 64


class ControlFrames(ConnectionBase):
    """One method per frame type. Each such frame is charged to the budget of those that carry nothing."""

    def _on_control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        self._budgets.charge_idle_frame()
        check_shape(kind, stream_id, len(payload))
        if kind == WINDOW_UPDATE:
            self._on_window_update(stream_id, payload)
        elif kind == RST_STREAM:
            self._on_reset(stream_id, payload)
        elif kind == SETTINGS:
            self._on_settings(flags, payload)
        elif kind == PING:
            self._on_ping(flags, payload)
        elif kind == GOAWAY:
            self._on_goaway(payload)
        elif kind == PRIORITY:
            # Priorities are deprecated and ignored (section 5.3.2), but for one that makes no sense (RFC 7540 5.3.1).
            if depends_on_itself(stream_id, payload):
                raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
        elif kind == PUSH_PROMISE:
            raise protocol_error("PUSH_PROMISE, though push is off")
        # Unknown types are ignored (section 4.1).

    # --- Streams -------------------------------------------------------------------------------------------------

    def _on_reset(self, stream_id: int, payload: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._table.judge(RST_STREAM, stream_id)
            return
        if self._is_told(stream):
            self._events.append(StreamReset(stream_id, read_u32(payload, 0)[0], by_peer=True))
        self._remove(stream)
        self._table.note_reset(stream_id, RESET_BY_PEER)
        if not self._is_client:
            self._budgets.charge_reset()

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        increment: int = read_u32(payload, 0)[0] & MAX_WINDOW
        if stream_id:
            self._widen_stream(stream_id, increment)
            return
        if increment == 0:
            raise protocol_error("WINDOW_UPDATE of 0 on the connection")
        outgoing = self._outgoing
        outgoing.window += increment
        if outgoing.window > MAX_WINDOW:
            raise ConnectionFaultError(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window overflows")
        while (stream := outgoing.next_waiting()) is not None:
            self._pump(stream, frames=1)

    def _widen_stream(self, stream_id: int, increment: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._table.judge(WINDOW_UPDATE, stream_id)
            return
        if increment == 0:
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW:
            raise StreamFaultError(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window overflows")
        self._pump(stream)

    # --- The connection ------------------------------------------------------------------------------------------

    def _on_settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            self._on_settings_ack(payload)
            return
        values = settings.parse(payload, from_server=self._is_client)
        if settings.HEADER_TABLE_SIZE in values:
            self._outgoing.limit_table(values[settings.HEADER_TABLE_SIZE])
        if settings.MAX_FRAME_SIZE in values:
            self._outgoing.frame_bytes = min(values[settings.MAX_FRAME_SIZE], limits.HTTP2_SENT_FRAME_BYTES)
        if settings.MAX_CONCURRENT_STREAMS in values:
            self._peer_allows_streams(values[settings.MAX_CONCURRENT_STREAMS])
        if settings.INITIAL_WINDOW_SIZE in values:
            self._move_send_windows(values[settings.INITIAL_WINDOW_SIZE])
        self._outgoing.parts.append(build(SETTINGS, ACK, 0))

    def _on_settings_ack(self, payload: bytes) -> None:
        """Our settings are in force with the peer: an initial window below the default shrinks the streams now."""
        if payload:
            raise frame_size_error("SETTINGS acknowledgement with a payload")
        if self._settings_sent_at is None:
            return
        self._settings_sent_at = None
        change = self._options.stream_window_bytes - self._stream_window
        if change:
            self._stream_window += change
            for stream in self._streams.values():
                stream.window_left += change

    def _move_send_windows(self, initial_window: int) -> None:
        """A new initial window moves the windows of all streams by the difference, below zero if need be (6.9.2)."""
        change = initial_window - self._outgoing.initial_window
        if not change:
            return
        self._budgets.charge_idle_frame(len(self._streams) // _STREAMS_PER_CHARGE)
        self._outgoing.initial_window = initial_window
        for stream in self._streams.values():
            stream.send_window += change
            if stream.send_window > MAX_WINDOW:
                raise ConnectionFaultError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS make a stream's window overflow")
        if change > 0:
            self._pump_all()

    def _pump_all(self) -> None:
        waiting: list[Stream] = [stream for stream in self._streams.values() if stream.queue is not None]
        for stream in waiting:
            self._pump(stream)

    def _peer_allows_streams(self, count: int) -> None:
        """SETTINGS_MAX_CONCURRENT_STREAMS: of use to clients only."""

    def _on_ping(self, flags: int, payload: bytes) -> None:
        if not flags & ACK:
            self._judge_ping()
            self._outgoing.parts.append(build(PING, ACK, 0, payload))
        elif payload == DRAIN_PING and self._drain_since is not None:
            self._finish_draining()

    def _judge_ping(self) -> None:
        """Whether the peer pings too often. Only servers mind."""

    def _on_goaway(self, payload: bytes) -> None:
        if len(payload) < _GOAWAY_BYTES:
            raise frame_size_error(f"GOAWAY of {len(payload)} bytes")
        last: int = read_u32(payload, 0)[0] & MAX_STREAM_ID
        code: int = read_u32(payload, 4)[0]
        self._peer_is_leaving = True
        self._events.append(GoawayReceived(last, code, payload[_GOAWAY_BYTES:]))
        self._lose_streams_above(last)

    def _lose_streams_above(self, last: int) -> None:
        """Streams the peer will not take: of meaning to clients only."""
