"""Does: the bytes of one connected socket, in and out, with TLS or without.

Sending never waits: what the kernel does not take is kept, and a task is started that waits until it does. It ends when
all is sent, so a connection whose peer reads has no such task. Receiving belongs to one task, the connection's own.

The end has two ways. `finish` is the polite one: after the last byte our half is shut, and the reader goes on until
the peer has shut its own; closing at once with unread input would make the kernel send a reset that can overtake our
answer. `abort` closes now; a reader that waits gets `trio.ClosedResourceError`.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import trio

from dualmode import limits
from dualmode.edge.tls_session import TlsSession
from dualmode.errors import PeerError


class Wire:
    """One socket, owned from here on.

    `start_task` starts a task that outlives no server: a nursery's `start_soon`. `on_sent` is called when a queue that
    had built up is sent.
    """

    __slots__ = (
        "_on_sent",
        "_room",
        "_start_task",
        "_unsent",
        "is_broken",
        "is_closed",
        "is_finishing",
        "sock",
        "tls",
        "unsent_bytes",
    )

    def __init__(
        self,
        sock: socket.socket,
        start_task: Callable[[Callable[[], Awaitable[Any]]], object],
        on_sent: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.tls: TlsSession | None = None
        self._start_task = start_task
        self._on_sent = on_sent
        #: What the kernel has not taken, in the pieces it came in: a long answer is not copied again while it waits.
        #: None while the kernel takes everything.
        self._unsent: deque[memoryview] | None = None
        #: Bytes in there.
        self.unsent_bytes = 0
        self._room: trio.Event | None = None
        #: Sending has failed: the peer is gone. The reader hears of it by itself.
        self.is_broken = False
        self.is_finishing = False
        self.is_closed = False

    # --- Receiving -------------------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """Waits for bytes; None at the end of the peer's half. With TLS it may give b"": nothing complete yet.

        Raises PeerError (TLS), OSError (reset), trio.ClosedResourceError (aborted).
        """
        data = await self.receive_raw()
        if self.tls is None:
            return data or None
        return self.decrypt(data)

    async def receive_raw(self) -> bytes:
        """The same without TLS: what came over the socket; b"" at its end."""
        while True:
            if self.is_closed:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(self.sock)
            try:
                return self.sock.recv(limits.RECEIVE_BYTES)
            except BlockingIOError:
                continue  # woken for nothing

    def start_tls(self, session: TlsSession, is_client: bool = False) -> None:
        """From here on all bytes go through the session. A client opens the handshake at once."""
        self.tls = session
        if is_client:
            session.start()
            self._send_raw(session.take_output())

    def decrypt(self, data: bytes) -> bytes | None:
        """Feeds ciphertext to the TLS session and sends what it answers (handshake, alerts)."""
        tls = self.tls
        assert tls is not None
        try:
            plaintext = tls.receive(data)
        finally:
            self._send_raw(tls.take_output())
        return None if tls.is_closed_by_peer and not plaintext else plaintext

    # --- Sending ---------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Sends now what the kernel takes, and the rest as soon as it can. After an end it does nothing."""
        if self.is_finishing or self.is_broken:
            return
        if self.tls is not None:
            try:
                self.tls.send(data)
            except PeerError:
                self._break()
                return
            data = self.tls.take_output()
        self._send_raw(data)

    async def wait_for_room(self) -> None:
        """Waits until less than half of CONNECTION_UNSENT_BYTES is unsent, or there is no use in waiting."""
        await self._wait_until_unsent(limits.CONNECTION_UNSENT_BYTES // 2)

    async def wait_until_sent(self) -> None:
        """Waits until nothing is unsent, or there is no use in waiting."""
        await self._wait_until_unsent(0)

    async def _wait_until_unsent(self, at_most_bytes: int) -> None:
        while self.unsent_bytes > at_most_bytes and not self.is_broken:
            self._room = trio.Event()
            await self._room.wait()

    def _send_raw(self, data: bytes) -> None:
        if not data or self.is_broken:
            return
        if self._unsent is not None:
            self._queue(self._unsent, memoryview(data))
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._break()
            return
        if sent < len(data):
            self._unsent = deque()
            self._queue(self._unsent, memoryview(data)[sent:])
            self._start_task(self._write)

    def _queue(self, unsent: deque[memoryview], piece: memoryview) -> None:
        self.unsent_bytes += len(piece)
        if unsent and len(unsent[-1]) + len(piece) <= limits.SMALL_PIECE_BYTES:
            # Thousands of small answers to a peer that does not read must not cost an object each.
            unsent[-1] = memoryview(b"".join((unsent[-1], piece)))
        else:
            unsent.append(piece)

    async def _write(self) -> None:
        """Sends the rest as the peer makes room."""
        unsent = self._unsent
        try:
            while unsent and not self.is_closed:
                await trio.lowlevel.wait_writable(self.sock)
                with contextlib.suppress(BlockingIOError):
                    self._send_some(unsent)
                self._wake_reader()
        except (OSError, trio.ClosedResourceError):
            self._break()
        self._unsent = None
        self.unsent_bytes = 0
        if self.is_finishing:
            self._shut()
        elif not self.is_broken:
            self._on_sent()

    def _send_some(self, unsent: deque[memoryview]) -> None:
        """Many small pieces leave in one call. Raises BlockingIOError when the kernel takes nothing."""
        sent = self.sock.sendmsg(list(islice(unsent, limits.PIECES_PER_SEND)))
        self.unsent_bytes -= sent
        while sent:
            piece = unsent.popleft()
            if sent < len(piece):
                unsent.appendleft(piece[sent:])
                return
            sent -= len(piece)

    # --- Ending ----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Sends what is queued, then shuts our half. The reader should go on to the peer's end, within a deadline."""
        if self.is_finishing:
            return
        if self.tls is not None:
            self.tls.close()
            self._send_raw(self.tls.take_output())
        self.is_finishing = True
        if self._unsent is None:
            self._shut()

    def abort(self) -> None:
        """Closes the socket now."""
        if self.is_closed:
            return
        self._break()
        self.is_closed = True
        trio.lowlevel.notify_closing(self.sock)
        self.sock.close()

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # the peer may be gone already
            self.sock.shutdown(socket.SHUT_WR)

    def _break(self) -> None:
        self.is_broken = True
        if self._unsent is not None:
            self._unsent.clear()
        self.unsent_bytes = 0
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None
