"""Decides: what leaves a connection and in which order: header blocks, DATA within the windows, and what has to wait.

`Outgoing` is the only writer of the output. DATA that does not fit waits in its stream's queue; such a stream is in one
of two places, and that keeps the peer from making us search:

* its own window is used up: it waits for a WINDOW_UPDATE on its stream, and is in no list at all;
* only the connection's window is used up: it is in `waiting`, in turn, one frame per turn.
"""

from __future__ import annotations

from collections import OrderedDict

from dualmode.http.interface import Fields
from dualmode.http.native import settings
from dualmode.http.native.flow import SendQueue
from dualmode.http.native.frames import DATA, END_STREAM, build_header_block, pack_header
from dualmode.http.native.header_blocks import TABLE_SIZE_ZERO, block_of
from dualmode.http.native.stream import Stream


class Outgoing:
    """The sending half of a connection. Driven by the connection; knows neither roles nor states."""

    __slots__ = (
        "_size_update",
        "_table_bytes",
        "frame_bytes",
        "initial_window",
        "parts",
        "queued_bytes",
        "streamed_bytes",
        "waiting",
        "window",
    )

    def __init__(self) -> None:
        #: The output, in order.
        self.parts: list[bytes | memoryview] = []
        #: What the peer lets us send on the connection, on a new stream, and in one frame.
        self.window = settings.DEFAULT_WINDOW_BYTES
        self.initial_window = settings.DEFAULT_WINDOW_BYTES
        self.frame_bytes = settings.DEFAULT_FRAME_BYTES
        self.waiting: OrderedDict[int, Stream] = OrderedDict()
        #: Body bytes in all streams' queues.
        self.queued_bytes = 0
        #: What the queues of streamed answers cost.
        self.streamed_bytes = 0
        self._size_update = b""
        self._table_bytes = settings.DEFAULT_HEADER_TABLE_BYTES

    @property
    def is_plain(self) -> bool:
        """Whether header blocks may be written without anything in front."""
        return not self._size_update

    def take(self) -> bytes:
        """All bytes to send now."""
        parts = self.parts
        if not parts:
            return b""
        output = b"".join(parts)
        parts.clear()
        return output

    def limit_table(self, size_bytes: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE. We use no table, but a lower limit has to be acknowledged in the next
        header block (RFC 7541 section 4.2); we take the table down to 0 once and for all."""
        if size_bytes < self._table_bytes:
            self._table_bytes = 0
            self._size_update = TABLE_SIZE_ZERO

    def write_headers(self, stream_id: int, fields: Fields, flags: int) -> None:
        """HEADERS, and CONTINUATION if need be. Header blocks are not flow-controlled."""
        block = block_of(fields)
        if self._size_update:
            block = self._size_update + block
            self._size_update = b""
        self.parts.append(build_header_block(stream_id, flags, block, self.frame_bytes))

    def send(self, stream: Stream, data: bytes, end: bool, is_whole: bool = False) -> bool:
        """Sends or queues body bytes; True when our half has ended with them. `is_whole`: they are all there are."""
        queue = stream.queue
        if queue is None:
            # No bytes need no window, so an end can be said even when the window is below zero.
            if not data or len(data) <= min(self.window, stream.send_window, self.frame_bytes):
                if data or end:
                    self._write_data(stream, data, end)
                return end
            queue = stream.queue = SendQueue(is_whole)
        self.streamed_bytes -= queue.streamed_bytes
        queue.add(data)
        self.streamed_bytes += queue.streamed_bytes
        self.queued_bytes += len(data)
        queue.ends = queue.ends or end
        return self.pump(stream)

    def finish(self, stream: Stream, trailers: Fields | None) -> bool:
        """Ends our half after what is queued; True when that is now."""
        if stream.queue is not None:
            stream.queue.ends = True
            stream.queue.trailers = trailers
            return False
        self._write_end(stream, trailers)
        return True

    def pump(self, stream: Stream, frames: int = -1) -> bool:
        """Sends what the windows allow, so many frames at most (-1: no bound); True when our half has ended."""
        queue = stream.queue
        assert queue is not None, "only streams with a queue are pumped"
        self.streamed_bytes -= queue.streamed_bytes
        while queue.pieces and frames:
            size_bytes = min(self.window, stream.send_window, self.frame_bytes)
            if size_bytes <= 0:
                break
            piece = queue.take(size_bytes)
            self.queued_bytes -= len(piece)
            self._write_data(stream, piece, end=queue.ends and not queue.pieces and queue.trailers is None)
            frames -= 1
        self.streamed_bytes += queue.streamed_bytes
        if queue.pieces:
            if stream.send_window > 0:
                self.waiting[stream.stream_id] = stream
            return False
        self.drop(stream)
        if queue.ends and queue.trailers is not None:
            self._write_end(stream, queue.trailers)
        return queue.ends

    def next_waiting(self) -> Stream | None:
        """The stream whose turn it is, while the connection's window is open."""
        if self.window <= 0 or not self.waiting:
            return None
        return self.waiting.popitem(last=False)[1]

    def drop(self, stream: Stream) -> None:
        """Forgets what is queued for a stream."""
        if stream.queue is not None:
            self.queued_bytes -= stream.queue.size_bytes
            self.streamed_bytes -= stream.queue.streamed_bytes
            stream.queue = None
        self.waiting.pop(stream.stream_id, None)

    def _write_data(self, stream: Stream, data: bytes | memoryview, end: bool) -> None:
        size_bytes = len(data)
        self.window -= size_bytes
        stream.send_window -= size_bytes
        self.parts.append(pack_header(size_bytes << 8 | DATA, END_STREAM if end else 0, stream.stream_id))
        self.parts.append(data)

    def _write_end(self, stream: Stream, trailers: Fields | None) -> None:
        if trailers is None:
            self._write_data(stream, b"", end=True)
        else:
            self.write_headers(stream.stream_id, trailers, END_STREAM)
