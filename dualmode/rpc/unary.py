"""Does: what a unary call can do whatever carried it: hear that its client has gone, be late, have a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dualmode.errors import Code, RpcError
from dualmode.http.interface import Pairs
from dualmode.http.routing import Link, PeerIdentity
from dualmode.rpc.metadata import CallMetadata
from dualmode.rpc.table import Entry
from dualmode.rpc.tasks import run_call, scope_for

_NO_ANSWER = RpcError(Code.INTERNAL, "the handler gave no answer")


class UnaryBase:
    """Common half of the calls over gRPC and JSON: `rpc.calls.UnaryCall`, and the Sink that hears of a reset.

    Carriers add `reply` and `_send_error`; whoever answers asks `_finish` first, so that a call is answered once.
    """

    __slots__ = ("_gone", "_has_deadline", "deadline_seconds", "entry", "is_over", "link", "metadata", "stream_id")

    #: Set by `Deadlines`.
    deadline_seconds: float

    def __init__(self, entry: Entry, link: Link, stream_id: int, metadata: CallMetadata) -> None:
        self.entry = entry
        self.link = link
        self.stream_id = stream_id
        self.metadata = metadata
        #: Answered, or its client has gone.
        self.is_over = False
        self._gone: Callable[[], None] | None = None
        self._has_deadline = False

    @property
    def peer(self) -> PeerIdentity:
        return self.link.peer

    def reply(self, message: bytes) -> None:
        """See calls.Reply."""
        raise NotImplementedError

    def fail(self, error: RpcError) -> None:
        """See calls.Reply."""
        error.forget_raising()
        if not self.is_over:
            self.end()
            self.entry.counters.ended(error.code)
            self._send_error(error)

    def _send_error(self, error: RpcError) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """The call is over; nothing that is said later has an effect."""
        self.is_over = True
        if self._has_deadline:
            self.entry.shared.deadlines.forget(self)

    def park(self) -> UnaryBase | None:
        """The handler has returned without an answer. Gives the Sink, if somebody wants to hear of resets."""
        if self.is_over:
            return None
        if self.metadata.timeout_seconds is not None:
            self._has_deadline = True
            self.entry.shared.deadlines.park(self, self.metadata.timeout_seconds)
        return self if self._gone is not None else None

    def on_gone(self, callback: Callable[[], None]) -> None:
        """See calls.UnaryCall."""
        self._gone = callback

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See calls.UnaryCall."""
        scope = scope_for(self.metadata.timeout_seconds)
        self.on_gone(scope.cancel)
        method = self.entry.method

        async def run() -> None:
            error = await run_call(scope, f"{method.service}/{method.name}", function, *args)
            self.fail(_NO_ANSWER if error is None else error)

        self.link.spawn(run)

    # --- Sink: the request is here as a whole, so only its end is of interest ---------------------------------

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """Never called."""

    def on_end(self, trailers: Pairs) -> None:
        """Never called."""

    def on_drained(self) -> None:
        """Nothing waits for it."""

    def on_reset(self, error_code: int) -> None:
        """The client has gone."""
        if self.is_over:
            return
        self.end()
        self.entry.counters.ended(Code.CANCELLED)
        if self._gone is not None:
            self._gone()
