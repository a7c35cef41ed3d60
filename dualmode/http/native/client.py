"""Decides: the client's side of an HTTP/2 connection: requests become frames, header blocks become responses."""

from __future__ import annotations

from dualmode import limits
from dualmode.http.interface import (
    DataReceived,
    ErrorCode,
    Fields,
    Pairs,
    ResponseReceived,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from dualmode.http.native.connection import Connection
from dualmode.http.native.faults import StreamFaultError, protocol_error
from dualmode.http.native.frames import DATA, END_HEADERS, END_STREAM, HEADERS, MAX_STREAM_ID, pack_header
from dualmode.http.native.header_blocks import HeaderDecoder
from dualmode.http.native.states import (
    AFTER_OUR_END,
    AFTER_PEER_END,
    CLOSED,
    HALF_CLOSED_LOCAL,
    OPEN,
)
from dualmode.http.native.stream import STREAMED, Stream
from dualmode.http.options import Http2Options
from dualmode.http.validation import UNKNOWN_LENGTH, MalformedError, response_head, trailer_fields

#: Responses without a body, whatever their content-length says (RFC 9110 section 6.4.1).
_BODILESS = frozenset({204, 304})
#: A remembered block: status or _TRAILERS, fields, content-length.
Remembered = tuple[int, Pairs, int]
_TRAILERS = 0


def _meaning(pairs: Pairs) -> Remembered:
    """What a header list is by itself, wherever it came. Raises MalformedError."""
    if pairs and pairs[0][0] == b":status":
        return response_head(pairs)
    return _TRAILERS, trailer_fields(pairs), UNKNOWN_LENGTH


class ClientConnection(Connection):
    """`HttpClientConnection` for HTTP/2. Every response is streamed; the driver acknowledges what it has consumed."""

    _is_client = True

    def __init__(self, options: Http2Options | None = None) -> None:
        super().__init__(options or Http2Options())
        self._decoder: HeaderDecoder[Remembered] = HeaderDecoder(self._options.header_list_bytes)
        self._peer_streams = limits.HTTP2_STREAMS_BEFORE_SETTINGS
        self._peer_streams_known = False
        self._gathers = self._options.gathers_responses

    # --- Requests ------------------------------------------------------------------------------------------------

    def can_open_stream(self) -> bool:
        """Whether `open_stream` may be called now."""
        return (
            len(self._streams) < self._peer_streams
            and self._table.highest + 2 <= MAX_STREAM_ID
            and not self._peer_is_leaving
            and self._goaway_last is None
            and not self._is_ended
        )

    def open_stream(self, head: Fields, body: bytes = b"", end: bool = False) -> int:
        """Sends a request head and perhaps its body; gives the stream's number."""
        assert self.can_open_stream(), "ask can_open_stream first"
        stream_id = self._table.highest = self._table.highest + 2
        stream = Stream(
            stream_id, OPEN, None, STREAMED, UNKNOWN_LENGTH, self._outgoing.initial_window, self._stream_window
        )
        # Remembered for the answer: it has no body.
        stream.is_head_method = head.pairs[0] == (b":method", b"HEAD")
        self._streams[stream_id] = stream
        self._note_useful_output()
        if end and body and self._open_at_once(stream, head, body):
            return stream_id
        ends_with_head = end and not body
        self._outgoing.write_headers(stream_id, head, END_STREAM if ends_with_head else 0)
        if ends_with_head or self._outgoing.send(stream, body, end):
            self._our_half_ended(stream)
        return stream_id

    def _open_at_once(self, stream: Stream, head: Fields, body: bytes) -> bool:
        """The common case: a constant head and a body that no window holds up are one piece of output."""
        block, size_bytes = head.block, len(body)
        outgoing = self._outgoing
        if (
            block is None
            or size_bytes > outgoing.window
            or size_bytes > stream.send_window
            or size_bytes > outgoing.frame_bytes
            or len(block) > outgoing.frame_bytes
            or not outgoing.is_plain
        ):
            return False
        outgoing.window -= size_bytes
        stream_id = stream.stream_id
        outgoing.parts.append(
            b"".join(
                (
                    pack_header(len(block) << 8 | HEADERS, END_HEADERS, stream_id),
                    block,
                    pack_header(size_bytes << 8 | DATA, END_STREAM, stream_id),
                    body,
                )
            )
        )
        stream.state = HALF_CLOSED_LOCAL
        return True

    def _our_half_ended(self, stream: Stream) -> None:
        self._move(stream, AFTER_OUR_END[stream.state])

    def _move(self, stream: Stream, state: int) -> None:
        if state == CLOSED:
            self._remove(stream)
            if self._budgets.resets_left < limits.HTTP2_RESET_BUDGET:
                self._budgets.resets_left += 1
        stream.state = state

    def _peer_allows_streams(self, count: int) -> None:
        self._peer_streams = count
        self._peer_streams_known = True

    def _on_settings(self, flags: int, payload: bytes) -> None:
        super()._on_settings(flags, payload)
        if not self._peer_streams_known:
            self._peer_streams_known = True
            self._peer_streams = MAX_STREAM_ID  # its first SETTINGS set no limit

    def _lose_streams_above(self, last: int) -> None:
        """The server has not looked at these and never will: safe to try elsewhere (section 6.8)."""
        for stream in [stream for stream in self._streams.values() if stream.stream_id > last]:
            self._remove(stream)
            self._events.append(StreamReset(stream.stream_id, ErrorCode.REFUSED_STREAM, by_peer=True))

    # --- Responses -----------------------------------------------------------------------------------------------

    def _on_block(self, stream_id: int, end_stream: int, block: bytes, is_self_dependent: bool = False) -> None:
        known = self._decoder.memory.get(block)
        pairs, is_repeatable = ((), False) if known is not None else self._decoder.decode(block)
        stream = self._streams.get(stream_id)
        if stream is None or stream.state > HALF_CLOSED_LOCAL:
            if stream_id > self._table.highest or stream_id % 2 == 0:
                raise protocol_error(f"HEADERS on stream {stream_id}, which we did not open")
            self._budgets.charge_idle_frame()
            self._table.judge(HEADERS, stream_id)
            return
        try:
            if known is None:
                known = _meaning(pairs)
                if is_repeatable:
                    self._decoder.remember(block, known, known[1])
            status, fields, content_length = known
            if (status == _TRAILERS) != stream.response_head:
                raise MalformedError("a head where trailers belong, or trailers without a head")
            if status == _TRAILERS:
                self._on_trailers(stream, end_stream, fields)
            else:
                self._on_response(stream, end_stream, status, fields, content_length)
        except MalformedError as error:
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None

    def _on_response(
        self, stream: Stream, end_stream: int, status: int, fields: tuple[tuple[bytes, bytes], ...], content_length: int
    ) -> None:
        if status < 200:  # interim: the final head is still to come (section 8.1)
            if end_stream:
                raise MalformedError("an interim response that ends the stream")
            self._budgets.charge_idle_frame()
            return
        stream.response_head = True
        if content_length >= 0:
            stream.content_length = 0 if stream.is_head_method or status in _BODILESS else content_length
        if self._gathers:
            stream.fresh = ResponseReceived(stream.stream_id, status, fields)
            stream.fresh_in = self._reads
            self._events.append(stream.fresh)
        else:
            self._events.append(ResponseStarted(stream.stream_id, status, fields))
        if end_stream:
            self._peer_half_ended(stream, ())

    def _on_trailers(self, stream: Stream, end_stream: int, trailers: tuple[tuple[bytes, bytes], ...]) -> None:
        if not end_stream:
            raise MalformedError("trailers that do not end the stream")
        self._peer_half_ended(stream, trailers)

    def _on_body(self, stream: Stream, payload: bytes, flow_bytes: int, end_stream: int) -> None:
        if not stream.response_head:
            self._incoming.consumed += flow_bytes
            raise StreamFaultError(stream.stream_id, ErrorCode.PROTOCOL_ERROR, "DATA before the response head")
        if flow_bytes:
            stream.unacknowledged += flow_bytes
            if stream.fresh_in == self._reads:
                fresh = stream.fresh
                fresh.data = fresh.data + payload if fresh.data else payload
                fresh.flow_bytes += flow_bytes
            else:
                self._events.append(DataReceived(stream.stream_id, payload, flow_bytes))
        if end_stream:
            self._peer_half_ended(stream, ())

    def _peer_half_ended(self, stream: Stream, trailers: tuple[tuple[bytes, bytes], ...]) -> None:
        if stream.content_length > 0 and stream.received != stream.content_length:
            raise StreamFaultError(stream.stream_id, ErrorCode.PROTOCOL_ERROR, "DATA and content-length differ")
        if stream.fresh_in == self._reads:
            stream.fresh.trailers = trailers
        else:
            self._events.append(StreamEnded(stream.stream_id, trailers))
        self._move(stream, AFTER_PEER_END[stream.state])
