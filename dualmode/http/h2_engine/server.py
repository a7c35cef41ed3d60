"""Decides: the server's side of the h2 engine."""

from __future__ import annotations

from typing import Any

from dualmode import limits
from dualmode.http.h2_engine.connection import Connection
from dualmode.http.h2_engine.stream import DROPPED, Stream
from dualmode.http.interface import (
    BODY_START_BYTES,
    STREAMED,
    BodyTooLarge,
    Classifier,
    ErrorCode,
    Fields,
    RequestReceived,
    RequestStarted,
    StreamEnded,
    streamed_at_most,
)
from dualmode.http.keepalive import TOO_MANY_PINGS, PingEnforcement
from dualmode.http.native.faults import UNREAD, ConnectionFaultError
from dualmode.http.options import Http2Options
from dualmode.http.validation import MalformedError, request_head


class ServerConnection(Connection):
    """`HttpServerConnection` on h2."""

    def __init__(self, classify: Classifier, options: Http2Options | None = None) -> None:
        super().__init__(options or Http2Options())
        self._classify = classify
        self._enforcement = PingEnforcement(self._options)

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """A whole response."""
        stream = self._sendable(stream_id)
        if stream is None:
            return
        if sum(self.unsent_bytes(each) for each in self._streams) > limits.HTTP2_QUEUED_BYTES:
            self.reset_stream(stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            return
        ends = stream.is_head_method or (not body and trailers is None)
        self._start(stream, head, ends)
        if not ends:
            stream.is_whole = True
            super().send_data(stream_id, body, end=trailers is None)
            if trailers is not None:
                self.end_stream(stream_id, trailers)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """The head of a response whose body follows."""
        stream = self._sendable(stream_id)
        if stream is not None:
            self._start(stream, head, ends=False)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes, sent or queued. A client that lets too many gather loses the connection, as in `native`."""
        if self._streamed_bytes > limits.HTTP2_STREAMED_BYTES:
            self._fail(ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, UNREAD))
            return
        super().send_data(stream_id, data, end)

    def _start(self, stream: Stream, head: Fields, ends: bool) -> None:
        assert not stream.head_sent, "a response has one head"
        stream.head_sent = True
        self._note_useful_output()
        self._h2.send_headers(stream.stream_id, head.pairs, end_stream=ends)
        if ends:
            self._our_half_ended(stream)

    def _on_head(self, stream_id: int, headers: Any, ends: bool) -> None:
        self._highest = max(self._highest, stream_id)
        if self._goaway_last is not None:
            self._send_reset(stream_id, ErrorCode.REFUSED_STREAM)
            return
        try:
            head, _ = request_head(tuple(map(tuple, headers)))
        except MalformedError:
            self._reset_malformed(stream_id)
            return
        stream = self._streams[stream_id] = Stream(stream_id, head, streamed_at_most(self._classify(head)))
        stream.is_head_method = head.method == b"HEAD"
        if stream.body_limit == STREAMED:
            self._events.append(RequestStarted(stream_id, head))

    def _on_body(self, stream: Stream, data: bytes, flow_bytes: int) -> None:
        if stream.body_limit == STREAMED:
            self._hand_over(stream, data, flow_bytes)
            return
        self._credit(stream.stream_id, flow_bytes)
        if stream.body_limit >= 0:
            stream.body += data
            if len(stream.body) > stream.body_limit:
                start, stream.body = bytes(stream.body[:BODY_START_BYTES]), bytearray()
                stream.body_limit = DROPPED
                self._events.append(BodyTooLarge(stream.stream_id, stream.head, start))  # type: ignore[arg-type]
            elif sum(len(other.body) for other in self._streams.values()) > limits.HTTP2_GATHERED_BYTES:
                self.reset_stream(stream.stream_id, ErrorCode.ENHANCE_YOUR_CALM)
                self._budgets.charge_reset()

    def _on_end(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.peer_ended = True
        if stream.body_limit >= 0:
            body, stream.body = bytes(stream.body), bytearray()
            self._events.append(RequestReceived(stream_id, stream.head, body))  # type: ignore[arg-type]
        elif stream.body_limit == STREAMED:
            self._events.append(StreamEnded(stream_id, stream.trailers))

    def _judge_ping(self) -> None:
        if self._enforcement.is_too_many(self._now, bool(self._streams)):
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS.decode())

    def _note_useful_output(self) -> None:
        super()._note_useful_output()
        self._enforcement.forgiven = True
