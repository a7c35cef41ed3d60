"""Does: lets code of this process call what answers through a `Reply`, and await the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from dualmode.errors import Code, RpcError
from dualmode.http.routing import PeerIdentity
from dualmode.rpc.calls import Metadata, UnaryHandler
from dualmode.rpc.metadata import CallMetadata
from dualmode.rpc.tasks import run_call, scope_for

LOCAL: Final = PeerIdentity("local", is_tls=False)


class AwaitableReply:
    """A `Reply` whose outcome a task awaits."""

    __slots__ = ("_done", "_outcome")

    def __init__(self) -> None:
        self._done = trio.Event()
        self._outcome: bytes | RpcError = b""

    @property
    def is_over(self) -> bool:
        return self._done.is_set()

    def reply(self, message: bytes) -> None:
        """See calls.Reply."""
        self._outcome = message
        self._done.set()

    def fail(self, error: RpcError) -> None:
        """See calls.Reply."""
        self._outcome = error.forget_raising()
        self._done.set()

    async def result(self) -> bytes:
        """The answer, once it is there; raises the `RpcError` the call failed with."""
        await self._done.wait()
        if isinstance(self._outcome, RpcError):
            raise self._outcome
        return self._outcome


class LocalCall(AwaitableReply):
    """A unary call that comes from this process: a whole `calls.UnaryCall`, whose client never goes."""

    __slots__ = ("metadata", "peer")

    def __init__(self, metadata: Metadata | None = None, peer: PeerIdentity = LOCAL) -> None:
        super().__init__()
        self.metadata: Metadata = metadata or CallMetadata(())
        self.peer = peer

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Whoever awaits the result does not tell when it stops to."""

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See calls.UnaryCall."""

        async def run() -> None:
            error = await run_call(scope_for(self.metadata.timeout_seconds), "local call", function, *args)
            if not self.is_over:
                self.fail(error or RpcError(Code.INTERNAL, "the handler gave no answer"))

        trio.lowlevel.spawn_system_task(run)


async def call_unary(handler: UnaryHandler, message: bytes, metadata: Metadata | None = None) -> bytes:
    """Calls a unary handler and awaits its answer. Raises the `RpcError` that the call ends with."""
    call = LocalCall(metadata)
    handler(call, message)
    return await call.result()
