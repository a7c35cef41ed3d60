"""Decides: the server's side of an HTTP/2 connection: header blocks become requests, answers become frames.

The hot path of a unary call is here from end to end: `_on_block` finds the head in the decoder's memory and opens the
stream, `_on_body` takes the one DATA frame as the body, `respond` writes three frames in one piece.
"""

from __future__ import annotations

from dualmode import limits
from dualmode.http.interface import (
    BODY_START_BYTES,
    BodyTooLarge,
    Classifier,
    DataReceived,
    ErrorCode,
    Fields,
    RequestHead,
    RequestReceived,
    RequestStarted,
    StreamEnded,
)
from dualmode.http.keepalive import TOO_MANY_PINGS, PingEnforcement
from dualmode.http.native.connection import Connection
from dualmode.http.native.faults import UNREAD, ConnectionFaultError, StreamFaultError
from dualmode.http.native.frames import DATA, END_HEADERS, END_STREAM, HEADERS, pack_header
from dualmode.http.native.header_blocks import HeaderDecoder, block_of
from dualmode.http.native.states import HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, OPEN, RESET_BY_US
from dualmode.http.native.stream import DROPPED, STREAMED, WHOLE_OR_STREAMED, Stream
from dualmode.http.options import Http2Options
from dualmode.http.validation import MalformedError, request_head, trailer_fields

_NO_FIELDS = ()
#: A remembered request: head, what the classifier said, content-length.
Remembered = tuple[RequestHead, int, int]


class ServerConnection(Connection):
    """`HttpServerConnection` for HTTP/2. `classify` is called once per distinct head, since equal blocks share one."""

    def __init__(self, classify: Classifier, options: Http2Options | None = None) -> None:
        super().__init__(options or Http2Options())
        self._classify = classify
        self._decoder: HeaderDecoder[Remembered] = HeaderDecoder(self._options.header_list_bytes)
        self._enforcement = PingEnforcement(self._options)
        #: Bytes of bodies being gathered, all streams together.
        self._gathered_bytes = 0

    # --- Requests ------------------------------------------------------------------------------------------------

    def _on_block(self, stream_id: int, end_stream: int, block: bytes, is_self_dependent: bool = False) -> None:
        if stream_id <= self._table.highest:
            self._on_trailers(stream_id, end_stream, block)
            return
        table = self._table
        if stream_id == table.highest + 2:
            table.highest = stream_id
        else:
            table.use_number(stream_id)
        known = self._decoder.memory.get(block) or self._decode_request(stream_id, block)
        if known is None:
            return
        if is_self_dependent:
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
        if len(self._streams) >= self._options.concurrent_streams:
            raise StreamFaultError(stream_id, ErrorCode.REFUSED_STREAM, "too many streams")
        head, body_limit, content_length = known
        stream = Stream(
            stream_id, OPEN, head, body_limit, content_length, self._outgoing.initial_window, self._stream_window
        )
        stream.is_head_method = head.method == b"HEAD"
        self._streams[stream_id] = stream
        self._budgets.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET
        if body_limit == WHOLE_OR_STREAMED:
            stream.fresh = RequestReceived(stream_id, head, b"")
            stream.fresh_in = self._reads
            self._events.append(stream.fresh)
        elif body_limit < 0:
            self._events.append(RequestStarted(stream_id, head))
        if end_stream:
            self._peer_half_ended(stream, _NO_FIELDS)

    def _decode_request(self, stream_id: int, block: bytes) -> Remembered | None:
        """What a block that is not remembered means; None if its stream comes after our GOAWAY and is to be ignored."""
        pairs, is_repeatable = self._decoder.decode(block)
        if self._goaway_last is not None:
            self._table.note_reset(stream_id, RESET_BY_US)
            return None
        try:
            head, content_length = request_head(pairs)
        except MalformedError as error:
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        known = (head, self._classify(head), content_length)
        if is_repeatable:
            self._decoder.remember(block, known, head.fields)
        return known

    def _on_trailers(self, stream_id: int, end_stream: int, block: bytes) -> None:
        """A second header block on a stream ends it (section 8.1)."""
        pairs, _ = self._decoder.decode(block)
        stream = self._streams.get(stream_id)
        if stream is None or stream.state > HALF_CLOSED_LOCAL:
            self._budgets.charge_idle_frame()
            self._table.judge(HEADERS, stream_id)
            return
        if not end_stream:
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers that do not end the stream")
        try:
            trailers = trailer_fields(pairs)
        except MalformedError as error:
            raise StreamFaultError(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        self._peer_half_ended(stream, trailers)

    def _on_body(self, stream: Stream, payload: bytes, flow_bytes: int, end_stream: int) -> None:
        body_limit = stream.body_limit
        if body_limit >= 0:
            self._incoming.consumed += flow_bytes
            if end_stream and stream.body is None and len(payload) <= body_limit:
                # The common case: the body came in one frame.
                stream.state = HALF_CLOSED_REMOTE
                self._events.append(RequestReceived(stream.stream_id, stream.head, payload))  # type: ignore[arg-type]
                return
            self._gather(stream, payload)
        elif body_limit != DROPPED:
            if end_stream and stream.fresh_in == self._reads and stream.received == len(payload) and payload:
                # All of it in one frame, in the read that brought the head: nobody has seen the event yet.
                self._incoming.consumed += flow_bytes
                stream.state = HALF_CLOSED_REMOTE
                stream.fresh.body = payload
                return
            if flow_bytes:
                stream.unacknowledged += flow_bytes
                self._add_data(stream.stream_id, payload, flow_bytes)
        else:
            self._incoming.consumed += flow_bytes
        if end_stream:
            self._peer_half_ended(stream, _NO_FIELDS)
        elif body_limit >= DROPPED and body_limit != STREAMED:
            self._credit_stream(stream)

    def _add_data(self, stream_id: int, payload: bytes, flow_bytes: int) -> None:
        """Small frames of one stream that come behind each other (messages sent one by one) are one event. Bounded,
        since each is copied again with the next."""
        events = self._events
        last = events[-1] if events else None
        if type(last) is DataReceived and last.stream_id == stream_id and len(last.data) <= limits.JOINED_DATA_BYTES:
            last.data += payload
            last.flow_bytes += flow_bytes
        else:
            events.append(DataReceived(stream_id, payload, flow_bytes))

    def _gather(self, stream: Stream, payload: bytes) -> None:
        """Adds to a body that comes in several frames. A growing buffer, not a list: a body cut into single bytes must
        not cost forty times its size."""
        if stream.received > stream.body_limit:
            start = (self._stop_gathering(stream, BODY_START_BYTES) + payload)[:BODY_START_BYTES]
            stream.body_limit = DROPPED
            self._events.append(BodyTooLarge(stream.stream_id, stream.head, start))  # type: ignore[arg-type]
            return
        if self._gathered_bytes + len(payload) > limits.HTTP2_GATHERED_BYTES:
            raise StreamFaultError(stream.stream_id, ErrorCode.ENHANCE_YOUR_CALM, "too many unfinished bodies")
        self._gathered_bytes += len(payload)
        if stream.body is None:
            stream.body = bytearray(payload)
        else:
            stream.body += payload

    def _stop_gathering(self, stream: Stream, at_most_bytes: int | None = None) -> bytes:
        """Takes the body, or its first bytes, out of the stream."""
        body = stream.body
        if body is None:
            return b""
        self._gathered_bytes -= len(body)
        stream.body = None
        return bytes(body[:at_most_bytes])

    def _peer_half_ended(self, stream: Stream, trailers: tuple[tuple[bytes, bytes], ...]) -> None:
        """END_STREAM has come, with HEADERS, DATA or trailers."""
        if stream.content_length > 0 and stream.received != stream.content_length:
            raise StreamFaultError(stream.stream_id, ErrorCode.PROTOCOL_ERROR, "DATA and content-length differ")
        stream.state = HALF_CLOSED_REMOTE
        if stream.body_limit >= 0:
            body = self._stop_gathering(stream)
            self._events.append(RequestReceived(stream.stream_id, stream.head, body))  # type: ignore[arg-type]
        elif stream.body_limit != DROPPED:
            self._events.append(StreamEnded(stream.stream_id, trailers))

    def _remove(self, stream: Stream) -> None:
        super()._remove(stream)
        if stream.body is not None:
            self._stop_gathering(stream)

    # --- Answers -------------------------------------------------------------------------------------------------

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """A whole response. When nothing is in its way it is one piece of output and the stream is gone."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        outgoing = self._outgoing
        size_bytes = len(body)
        head_block = head.block
        if (
            trailers is None
            or trailers.block is None
            or head_block is None
            or stream.state != HALF_CLOSED_REMOTE
            or stream.head_sent
            or stream.is_head_method
            or not size_bytes  # no DATA then
            or size_bytes > outgoing.window
            or size_bytes > stream.send_window
            or size_bytes > outgoing.frame_bytes
            or len(head_block) > outgoing.frame_bytes
            or len(trailers.block) > outgoing.frame_bytes
            or not outgoing.is_plain
        ):
            self._respond_in_steps(stream, head, body, trailers)
            return
        outgoing.window -= size_bytes
        outgoing.parts.append(
            b"".join(
                (
                    pack_header(len(head_block) << 8 | HEADERS, END_HEADERS, stream_id),
                    head_block,
                    pack_header(size_bytes << 8 | DATA, 0, stream_id),
                    body,
                    pack_header(len(trailers.block) << 8 | HEADERS, END_HEADERS | END_STREAM, stream_id),
                    trailers.block,
                )
            )
        )
        del self._streams[stream_id]
        self._incoming.consumed += stream.unacknowledged
        self._enforcement.forgiven = True
        budgets = self._budgets
        budgets.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET
        if budgets.resets_left < limits.HTTP2_RESET_BUDGET:
            budgets.resets_left += 1

    def _respond_in_steps(self, stream: Stream, head: Fields, body: bytes, trailers: Fields | None) -> None:
        """The same without hurry; it also makes the constant blocks."""
        if self._sendable(stream.stream_id) is None:
            return
        assert not stream.head_sent, "a response has one head"
        outgoing = self._outgoing
        if outgoing.queued_bytes > limits.HTTP2_QUEUED_BYTES and len(body) > min(outgoing.window, stream.send_window):
            self.reset_stream(stream.stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            return
        self._note_useful_output()
        block_of(head)
        if trailers is not None:
            block_of(trailers)
        if stream.is_head_method or (not body and trailers is None):
            self._outgoing.write_headers(stream.stream_id, head, END_STREAM)
            self._our_half_ended(stream)
            return
        stream.head_sent = True
        self._outgoing.write_headers(stream.stream_id, head, 0)
        ended = self._outgoing.send(stream, body, end=trailers is None, is_whole=True)
        if trailers is not None:
            ended = self._outgoing.finish(stream, trailers)
        if ended:
            self._our_half_ended(stream)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """The head of a response whose body follows."""
        stream = self._sendable(stream_id)
        if stream is None:
            return
        assert not stream.head_sent, "a response has one head"
        stream.head_sent = True
        self._note_useful_output()
        self._outgoing.write_headers(stream_id, head, 0)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes, sent or queued. A client that lets too many gather loses the connection: the next call that looks
        for events says so. Looked at beforehand, so that one message may have any size."""
        if self._outgoing.streamed_bytes > limits.HTTP2_STREAMED_BYTES:
            self._fail(ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, UNREAD))
            return
        super().send_data(stream_id, data, end)

    def _our_half_ended(self, stream: Stream) -> None:
        """The response is complete. A client that is still sending is asked to stop (section 8.1)."""
        self._remove(stream)
        if stream.state != HALF_CLOSED_REMOTE:
            self._send_reset(stream.stream_id, ErrorCode.NO_ERROR)
        budgets = self._budgets
        if budgets.resets_left < limits.HTTP2_RESET_BUDGET:
            budgets.resets_left += 1

    def _note_useful_output(self) -> None:
        super()._note_useful_output()
        self._enforcement.forgiven = True

    # --- Keepalive -----------------------------------------------------------------------------------------------

    def _judge_ping(self) -> None:
        if self._enforcement.is_too_many(self._now, bool(self._streams)):
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS.decode())
