"""Does: one gRPC call of ours on an UpstreamConnection: unary, or a stream in both directions."""

from __future__ import annotations

from collections import deque

import trio

from dualmode import limits
from dualmode.client import status
from dualmode.client.connection import UpstreamConnection
from dualmode.client.status import CallError
from dualmode.errors import Code, RpcError
from dualmode.http.interface import ErrorCode, Fields, Pairs
from dualmode.rpc.framing import Unframer, frame
from dualmode.rpc.signal import Signal


class _Call:
    """What both kinds have in common: the answer's head, its messages, how it ended. A ResponseSink."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self.connection = connection
        self.stream_id = 0
        self.http_status = 0
        #: Fields of the answer's head (initial metadata).
        self.fields: Pairs = ()
        self.trailers: Pairs = ()
        self.is_ended = False
        self.error: CallError | None = None
        self._unframer = Unframer(None, limits.CLIENT_MESSAGE_BYTES)
        self._changed = Signal()

    def on_head(self, http_status: int, fields: Pairs) -> None:
        """See ResponseSink."""
        self.http_status, self.fields = http_status, fields
        self._changed.set()

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See ResponseSink."""
        if self.http_status != 200:
            self.connection.acknowledge(self.stream_id, flow_bytes)  # the text of some proxy on the way
            return
        try:
            messages = self._unframe(data)
        except RpcError as error:
            self.connection.reset_stream(self.stream_id)
            self._end(CallError(error.code, error.message))
            return
        self._take(messages, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See ResponseSink."""
        self.trailers = trailers
        error = status.from_trailers(self.http_status, self.fields, trailers)
        if error is None and self._unframer.buffered_bytes:
            error = CallError(Code.INTERNAL, "the server ended the stream within a message")
        self._end(error)

    def on_response(self, http_status: int, fields: Pairs, data: bytes, trailers: Pairs) -> None:
        """See ResponseSink."""
        self.on_head(http_status, fields)
        if data:
            self.on_data(data, 0)
        self.on_end(trailers)

    def on_reset(self, error_code: int, may_have_left: bool, reason: str) -> None:
        """See ResponseSink."""
        if reason:
            self._end(status.lost(reason, may_have_left))
        else:
            self._end(status.from_reset(error_code, may_have_left))

    def on_drained(self) -> None:
        """See ResponseSink."""
        self._changed.set()

    def cancel(self) -> None:
        """Gives the call up: the server hears CANCEL."""
        if not self.is_ended:
            self.connection.reset_stream(self.stream_id, ErrorCode.CANCEL)
            self._end(CallError(Code.CANCELLED, "the call was cancelled"))

    def _unframe(self, data: bytes) -> list[bytes]:
        self._unframer.feed(data)
        messages = []
        while (message := self._unframer.take()) is not None:
            messages.append(message)
        return messages

    def _take(self, messages: list[bytes], flow_bytes: int) -> None:
        raise NotImplementedError

    def _end(self, error: CallError | None) -> None:
        if not self.is_ended:
            self.is_ended = True
            self.error = error
        self._changed.set()


class UnaryCall(_Call):
    """One message there, one back."""

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__(connection)
        self._messages: list[bytes] = []

    def start(self, head: Fields, message: bytes) -> None:
        """Sends the whole request."""
        self.stream_id = self.connection.open_stream(head, self, frame(message), end=True)

    async def result(self) -> bytes:
        """The answer. Raises CallError; if cancelled, the server hears of it."""
        try:
            while not self.is_ended:
                await self._changed.wait()
        finally:
            self.cancel()
        if self.error is not None:
            raise self.error
        if len(self._messages) != 1:
            raise CallError(Code.INTERNAL, f"a unary call was answered with {len(self._messages)} messages")
        return self._messages[0]

    def _take(self, messages: list[bytes], flow_bytes: int) -> None:
        self._messages += messages
        self.connection.acknowledge(self.stream_id, flow_bytes)


class ClientStream(_Call):
    """A streaming call. One task receives, one task sends; they may be different ones.

    Used as a context manager it is cancelled at the end of the block, unless it has ended by then.
    """

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__(connection)
        self._messages: deque[bytes] = deque()
        self._unacknowledged_bytes = 0
        self._is_half_closed = False

    def start(self, head: Fields) -> None:
        """Sends the head."""
        self.stream_id = self.connection.open_stream(head, self)

    async def send(self, message: bytes) -> None:
        """Sends a message; waits while too much is unsent. Raises CallError once the call has ended."""
        while not self.is_ended and self.connection.unsent_bytes(self.stream_id) > limits.CLIENT_UNSENT_BYTES:
            await self._changed.wait()
        self._raise_if_ended()
        self.connection.send_data(self.stream_id, frame(message))
        await trio.lowlevel.checkpoint()

    async def close_send(self) -> None:
        """No more messages from us."""
        if not self._is_half_closed and not self.is_ended:
            self._is_half_closed = True
            self.connection.end_stream(self.stream_id)
        await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes | None:
        """The next message, None at the end with status OK. Raises CallError at any other end."""
        while not self._messages and not self.is_ended:
            await self._changed.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._messages:
            message = self._messages.popleft()
            if not self._messages:
                self._acknowledge()
            return message
        if self.error is not None:
            raise self.error
        return None

    def __aiter__(self) -> ClientStream:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    def __enter__(self) -> ClientStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def _take(self, messages: list[bytes], flow_bytes: int) -> None:
        self._unacknowledged_bytes += flow_bytes
        if messages:
            self._messages += messages
            self._changed.set()
        elif not self._messages:
            self._acknowledge()  # part of a long message: nothing to consume before it is whole

    def _acknowledge(self) -> None:
        self.connection.acknowledge(self.stream_id, self._unacknowledged_bytes)
        self._unacknowledged_bytes = 0

    def _raise_if_ended(self) -> None:
        if self.is_ended:
            raise self.error or CallError(Code.INTERNAL, "the server has ended the call")
