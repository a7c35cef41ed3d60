"""Decides: the client's side of the h2 engine."""

from __future__ import annotations

from typing import Any

from dualmode.http.h2_engine.connection import Connection
from dualmode.http.h2_engine.stream import Stream
from dualmode.http.interface import (
    STREAMED,
    Fields,
    ResponseStarted,
    StreamEnded,
)
from dualmode.http.native.frames import MAX_STREAM_ID
from dualmode.http.options import Http2Options
from dualmode.http.validation import MalformedError, response_head


class ClientConnection(Connection):
    """`HttpClientConnection` on h2."""

    _is_client = True

    def __init__(self, options: Http2Options | None = None) -> None:
        super().__init__(options or Http2Options())
        self._next_id = 1

    def can_open_stream(self) -> bool:
        """Whether `open_stream` may be called now."""
        return (
            not self._is_ended
            and self._goaway_last is None
            and self._next_id <= MAX_STREAM_ID
            and len(self._streams) < self._h2.remote_settings.max_concurrent_streams
        )

    def open_stream(self, head: Fields, body: bytes = b"", end: bool = False) -> int:
        """Sends a request head and perhaps its body; gives the stream's number."""
        assert self.can_open_stream(), "ask can_open_stream first"
        stream_id, self._next_id = self._next_id, self._next_id + 2
        stream = self._streams[stream_id] = Stream(stream_id, None, STREAMED)
        self._note_useful_output()
        ends_with_head = end and not body
        self._h2.send_headers(stream_id, head.pairs, end_stream=ends_with_head)
        if ends_with_head:
            self._our_half_ended(stream)
        elif body:
            self.send_data(stream_id, body, end)
        return stream_id

    def _on_head(self, stream_id: int, headers: Any, ends: bool) -> None:
        if stream_id not in self._streams:
            return
        try:
            status, fields, _ = response_head(tuple(map(tuple, headers)))
        except MalformedError:
            self._reset_malformed(stream_id)
            return
        self._events.append(ResponseStarted(stream_id, status, fields))

    def _on_body(self, stream: Stream, data: bytes, flow_bytes: int) -> None:
        self._hand_over(stream, data, flow_bytes)

    def _on_end(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.peer_ended = True
        self._events.append(StreamEnded(stream_id, stream.trailers))
        if stream.we_ended:
            self._finish(stream)
