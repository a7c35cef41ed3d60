"""Does: a client's end of a streaming call to a member of the simulation."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from dualmode.errors import RpcError
from dualmode.rpc.framing import unframed
from dualmode.rpc.local import LOCAL
from dualmode.rpc.metadata import CallMetadata
from tests.sim.node import Life

#: What one message counts as while its client does not read, so that few of them fill a stream.
_STALLED_BYTES = 50_000


class ClientStream:
    """A `calls.ServerStream`. `on_message` hears each answer; `gone` is set when the stream is over, for any reason."""

    def __init__(self, life: Life, on_message: Callable[[bytes], None]) -> None:
        self.metadata: Any = CallMetadata(())
        self.peer = LOCAL
        self.unsent_bytes = 0
        self.is_open = True
        self.gone = trio.Event()
        self._life = life
        self._on_message = on_message
        self._unread: list[bytes] | None = None
        self._to_member, self._inbox = trio.open_memory_channel[bytes](math.inf)
        self._on_drained: list[Callable[[], None]] = []
        self._on_gone: list[Callable[[], None]] = []

    async def serve(self, handler: Callable[[Any], Awaitable[None]]) -> None:
        """The member's side of the call, until its end."""
        self._life.streams[self] = None
        try:
            if self._life.is_alive:
                await handler(self)
        except RpcError:
            pass  # the client goes to another member
        finally:
            self._life.streams.pop(self, None)
            self.go()

    # --- The client ---------------------------------------------------------------------------------------------

    def request(self, message: Any) -> None:
        """Sends."""
        if self.is_open:
            self._to_member.send_nowait(message.SerializeToString())

    def stall(self) -> None:
        """Reads no more."""
        if self._unread is None:
            self._unread = []

    def read_on(self) -> None:
        """Reads what has gathered, and goes on."""
        unread, self._unread, self.unsent_bytes = self._unread or [], None, 0
        for message in unread:
            if self.is_open:
                self._on_message(message)
        for callback in self._on_drained:
            callback()

    def go(self) -> None:
        """The connection ends: what was under way is lost."""
        if self.is_open:
            self.is_open = False
            self._to_member.close()
            for callback in self._on_gone:
                callback()
            self.gone.set()

    # --- calls.ServerStream -------------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        try:
            return await self._inbox.receive()
        except trio.EndOfChannel:
            return None

    def answer_at_once(self, answer: Callable[[list[bytes]], int]) -> None:
        """Nobody has to: what is not offered is received."""

    def send_frames(self, data: bytes, count: int) -> None:
        messages = list(unframed(data))
        assert len(messages) == count
        for message in messages:
            self.send_now(message)

    def send_now(self, message: bytes) -> None:
        if not self.is_open:
            return
        if self._unread is None:
            self._on_message(bytes(message))
        else:
            self._unread.append(bytes(message))
            self.unsent_bytes += _STALLED_BYTES

    async def send(self, message: bytes) -> None:
        self.send_now(message)

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._on_drained.append(callback)

    def on_gone(self, callback: Callable[[], None]) -> None:
        self._on_gone.append(callback)

    def end(self, error: RpcError | None = None) -> None:
        self.go()
