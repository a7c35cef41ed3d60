"""Does: a streaming call whatever carries it: a task for the handler, an inbox, sending with high and low water."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import trio

from dualmode import errors, limits
from dualmode.errors import Code, RpcError
from dualmode.http.interface import Pairs
from dualmode.http.routing import Link, PeerIdentity
from dualmode.rpc.calls import StreamHandler
from dualmode.rpc.framing import unframed
from dualmode.rpc.inbox import Inbox, Splitter
from dualmode.rpc.metadata import CallMetadata
from dualmode.rpc.table import Entry
from dualmode.rpc.tasks import run_call, scope_for


class StreamBase:
    """Common half of the streams over gRPC and JSON: `rpc.calls.ServerStream`.

    Ends once: by the handler (returned, raised, late), by `end`, or because the client is gone. Carriers add
    `_send_message` and `_send_end`.
    """

    __slots__ = (
        "_drained",
        "_drained_callbacks",
        "_gone_callbacks",
        "_scope",
        "entry",
        "inbox",
        "is_open",
        "link",
        "metadata",
        "stream_id",
    )

    def __init__(self, entry: Entry, link: Link, stream_id: int, metadata: CallMetadata, splitter: Splitter) -> None:
        self.entry = entry
        self.link = link
        self.stream_id = stream_id
        self.metadata = metadata
        self.inbox = Inbox(link, stream_id, splitter)
        self.is_open = True
        self._scope = scope_for(metadata.timeout_seconds)
        self._drained: trio.Event | None = None
        self._drained_callbacks: list[Callable[[], None]] = []
        self._gone_callbacks: list[Callable[[], None]] = []
        entry.counters.started += 1

    @property
    def peer(self) -> PeerIdentity:
        return self.link.peer

    # --- Carriers ---------------------------------------------------------------------------------------------

    def _send_message(self, message: bytes) -> None:
        raise NotImplementedError

    def _send_end(self, error: RpcError | None) -> None:
        raise NotImplementedError

    # --- The task ---------------------------------------------------------------------------------------------

    def start(self) -> StreamSink | None:
        """Asks the hook, then starts the handler's task. Gives who takes the rest of the request; None when the call is
        over already."""
        try:
            if self.metadata.refusal is not None:
                raise self.metadata.refusal
            self.entry.shared.before_call(self.metadata, self.entry.method)
        except RpcError as error:
            self._finish(error)
            return None
        self.link.spawn(self._run)
        return StreamSink(self)

    async def _run(self) -> None:
        method = self.entry.method
        handler = cast(StreamHandler, method.handler)
        try:
            self._finish(await run_call(self._scope, f"{method.service}/{method.name}", handler, self))
        finally:
            self._finish(errors.STOPPED)  # cancelled from further out: the connection or the server ends

    def _finish(self, error: RpcError | None) -> None:
        if error is not None:
            error.forget_raising()
        if not self.is_open:
            return
        self._close(Code.OK if error is None else error.code)
        self._send_end(error)

    def _close(self, code: Code) -> None:
        self.is_open = False
        self.inbox.fail(errors.REQUEST_CANCELED)
        self.entry.counters.ended(code)

    # --- ServerStream -----------------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """See calls.ServerStream."""
        message = await self.inbox.receive()
        if message is not None:
            self.entry.counters.received_one(len(message))
        return message

    def answer_at_once(self, answer: Callable[[list[bytes]], int]) -> None:
        """See calls.ServerStream."""
        received = self.entry.counters.received_many

        def offered(messages: list[bytes]) -> int:
            answered = answer(messages)
            received(answered, sum(map(len, messages[:answered])))
            return answered

        self.inbox.at_once = offered

    def send_now(self, message: bytes) -> None:
        """See calls.ServerStream."""
        if self.is_open:
            self.entry.counters.sent_one(len(message))
            self._send_message(message)

    def send_frames(self, data: bytes, count: int) -> None:
        """See calls.ServerStream."""
        for message in unframed(data):
            self.send_now(message)

    async def send(self, message: bytes) -> None:
        """See calls.ServerStream."""
        self.send_now(message)
        while self.is_open and self.unsent_bytes > limits.STREAM_UNSENT_BYTES:
            if self._drained is None:
                self._drained = trio.Event()
            await self._drained.wait()

    @property
    def unsent_bytes(self) -> int:
        return self.link.unsent_bytes(self.stream_id)

    def on_drained(self, callback: Callable[[], None]) -> None:
        """See calls.ServerStream."""
        self._drained_callbacks.append(callback)

    def on_gone(self, callback: Callable[[], None]) -> None:
        """See calls.ServerStream. At once if it is gone already."""
        if self.is_open:
            self._gone_callbacks.append(callback)
        else:
            callback()

    def end(self, error: RpcError | None = None) -> None:
        """See calls.ServerStream."""
        self._finish(error)
        self._scope.cancel()

    # --- From the sink ----------------------------------------------------------------------------------------

    def drained(self) -> None:
        """Unsent bytes fell below the low-water mark."""
        if self._drained is not None:
            self._drained.set()
            self._drained = None
        for callback in self._drained_callbacks:
            callback()

    def gone(self) -> None:
        """The client is gone, and the handler follows."""
        if not self.is_open:
            return
        self._close(Code.CANCELLED)
        for callback in self._gone_callbacks:
            callback()
        self._scope.cancel()


class StreamSink:
    """The Sink of a stream's request (a class of its own: both sides have an `on_drained`)."""

    __slots__ = ("_stream",)

    def __init__(self, stream: StreamBase) -> None:
        self._stream = stream

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        self._stream.inbox.feed(data, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink."""
        self._stream.inbox.end()

    def on_drained(self) -> None:
        """See routing.Sink."""
        self._stream.drained()

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        self._stream.gone()
