"""Decides: an HTTP/2 connection (RFC 9113) as far as both roles share it: the frame loop, header blocks, DATA.

A frame is judged in three steps, the cheap ones first: does its shape fit (frames.py), does the stream's state allow it
(states.py, a table), do windows and budgets allow it (flow.py, budgets.py). The role gives header blocks their meaning
and turns DATA into events.

Faults travel as exceptions to `receive`, the one place that turns them into frames: a `StreamFaultError` becomes
RST_STREAM and is charged to the reset budget, a `ConnectionFaultError` becomes GOAWAY and the end.

The hot path is written out flat: two frames per call, hundreds of calls per read. A stream's state is asked as
`state <= HALF_CLOSED_LOCAL`; only what is out of place goes through the table.
"""

from __future__ import annotations

from dualmode import limits
from dualmode.http.interface import ErrorCode, Event
from dualmode.http.native.control import ControlFrames
from dualmode.http.native.faults import ConnectionFaultError, StreamFaultError, protocol_error
from dualmode.http.native.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NAMES,
    PADDED,
    PRIORITY_FLAG,
    SETTINGS,
    check_shape,
    strip_padding,
    strip_priority,
)
from dualmode.http.native.states import HALF_CLOSED_LOCAL
from dualmode.http.native.stream import Stream
from dualmode.http.options import Http2Options

#: `_expected` when any frame may come.
_ANY = -1


class _OpenBlock:
    """A header block whose CONTINUATION frames are still to come."""

    __slots__ = ("end_stream", "frames", "is_self_dependent", "parts", "since", "size_bytes", "stream_id")

    def __init__(self, stream_id: int, end_stream: int, first: bytes, is_self_dependent: bool, now: float) -> None:
        self.stream_id = stream_id
        self.end_stream = end_stream
        self.parts = [first]
        self.size_bytes = len(first)
        self.frames = 0
        self.is_self_dependent = is_self_dependent
        self.since = now


class Connection(ControlFrames):
    """What the two roles have in common."""

    def __init__(self, options: Http2Options) -> None:
        super().__init__(options)
        #: The only frame type that may come now, or _ANY. The first one is SETTINGS (section 3.4).
        self._expected = SETTINGS
        self._block: _OpenBlock | None = None

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes from the peer in any cut; b"" says that it has closed its half."""
        if self._is_ended:
            return self._take_events()
        self._now = now
        self._reads += 1
        self._keepalive.last_heard_at = now
        if not data:
            self._end("", ErrorCode.NO_ERROR, ErrorCode.CANCEL)
            return self._take_events()
        try:
            self._read_frames(data)
            self._credit_connection()
        except ConnectionFaultError as fault:
            self._fail(fault)
        return self._take_events()

    def _read_frames(self, data: bytes) -> None:
        for kind, flags, stream_id, payload in self._reader.frames(data, self._now):
            if self._expected != _ANY:
                self._check_expected(kind, flags)
            try:
                if kind == DATA:
                    self._on_data(flags, stream_id, payload)
                elif kind == HEADERS:
                    self._on_headers(flags, stream_id, payload)
                elif kind == CONTINUATION:
                    self._on_continuation(flags, stream_id, payload)
                else:
                    self._on_control(kind, flags, stream_id, payload)
            except StreamFaultError as fault:
                self._reset_faulty(fault)

    def _check_expected(self, kind: int, flags: int) -> None:
        """The two places where only one type may come: at the start, and within a header block (section 6.10)."""
        if kind != self._expected or (kind == SETTINGS and flags & 1):
            name = NAMES[kind] if kind < len(NAMES) else f"frame of type {kind}"
            raise protocol_error(f"{name} where only {NAMES[self._expected]} may come")
        if kind == SETTINGS:
            self._expected = _ANY

    def _partial_since(self) -> float | None:
        return self._reader.partial_since if self._block is None else self._block.since

    # --- Header blocks -------------------------------------------------------------------------------------------

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id and flags & (PADDED | PRIORITY_FLAG | END_HEADERS) == END_HEADERS:
            self._on_block(stream_id, flags & END_STREAM, payload)  # the common case
            return
        check_shape(HEADERS, stream_id, len(payload))
        if flags & PADDED:
            payload = strip_padding(HEADERS, payload)
        is_self_dependent = False
        if flags & PRIORITY_FLAG:
            payload, is_self_dependent = strip_priority(stream_id, payload)
        block = _OpenBlock(stream_id, flags & END_STREAM, payload, is_self_dependent, self._now)
        if flags & END_HEADERS:
            self._finish_block(block)
        else:
            self._block = block
            self._expected = CONTINUATION

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        """More of the open header block. Bounded in frames and bytes: the block is decoded at its end only, so nothing
        else stops a flood (CVE-2024-27316)."""
        block = self._block
        if block is None or stream_id != block.stream_id:
            raise protocol_error("CONTINUATION without its HEADERS")
        block.frames += 1
        block.size_bytes += len(payload)
        if block.frames > limits.HTTP2_CONTINUATION_FRAMES or block.size_bytes > self._options.header_list_bytes:
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, "header block too long")
        block.parts.append(payload)
        if flags & END_HEADERS:
            self._block = None
            self._expected = _ANY
            self._finish_block(block)

    def _finish_block(self, block: _OpenBlock) -> None:
        self._on_block(block.stream_id, block.end_stream, b"".join(block.parts), block.is_self_dependent)

    def _on_block(self, stream_id: int, end_stream: int, block: bytes, is_self_dependent: bool = False) -> None:
        """A complete header block. The roles differ. Whatever is wrong with its stream, the block must be decoded."""
        raise NotImplementedError

    # --- DATA ----------------------------------------------------------------------------------------------------

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        flow_bytes = len(payload)
        incoming = self._incoming
        incoming.left -= flow_bytes
        if incoming.left < 0:
            raise ConnectionFaultError(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        stream = self._streams.get(stream_id)
        if stream is None or stream.state > HALF_CLOSED_LOCAL:
            incoming.consumed += flow_bytes
            check_shape(DATA, stream_id, flow_bytes)
            self._budgets.charge_idle_frame()
            self._table.judge(DATA, stream_id)
            return
        if flags & PADDED:
            payload = strip_padding(DATA, payload)
        if payload:
            self._budgets.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET
        elif not flags & END_STREAM:
            self._budgets.charge_idle_frame()
        size_bytes = stream.received = stream.received + len(payload)
        stream.window_left -= flow_bytes
        if stream.window_left < 0:
            incoming.consumed += flow_bytes
            raise StreamFaultError(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window")
        promised = stream.content_length
        if promised >= 0 and (size_bytes > promised or (flags & END_STREAM and size_bytes != promised)):
            incoming.consumed += flow_bytes
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, "DATA and content-length differ")
        self._on_body(stream, payload, flow_bytes, flags & END_STREAM)

    def _on_body(self, stream: Stream, payload: bytes, flow_bytes: int, end_stream: int) -> None:
        """DATA in its place. The roles differ. What is not handed to the driver must be credited here."""
        raise NotImplementedError
