"""Does: one connection of the TCP gateway: two tasks that carry bytes, one each way, until both ways have ended.

What was read is written before anything more is read, so one read is all that is held for a direction: a reader that is
slow holds back its sender and nobody else. The end of one half is passed on alone, since whoever shut it may still wait
for an answer (etcd's gateway closes both). Anything but two orderly ends is passed on as a reset: neither side may take
what it got for the whole.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

import trio
from trio.abc import HalfCloseableStream

from dualmode import limits
from dualmode.metrics import Counter

#: SO_LINGER switched on, with no time to linger: closing sends a reset.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Relay:
    """Client and remote, owned from here on. `run` is its task; cancelling it resets both ends."""

    def __init__(
        self, client: HalfCloseableStream, remote: HalfCloseableStream, to_remote: Counter, to_client: Counter
    ) -> None:
        """The counters are of bytes, and shared by all relays."""
        self._client = client
        self._remote = remote
        self._to_remote = to_remote
        self._to_client = to_client

    async def run(self) -> None:
        """Until both halves have ended, or one end is gone."""
        is_whole = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_carry, self._client, self._remote, self._to_remote)
                nursery.start_soon(_carry, self._remote, self._client, self._to_client)
            is_whole = True
        except* (trio.BrokenResourceError, OSError):
            pass  # one end is gone: the other one hears of it below
        finally:
            if not is_whole:
                _reset_on_close(self._client)
                _reset_on_close(self._remote)
            try:
                await trio.aclose_forcefully(self._client)
            finally:  # the first one raises when we are cancelled
                await trio.aclose_forcefully(self._remote)


async def _carry(source: HalfCloseableStream, target: HalfCloseableStream, counted: Counter) -> None:
    while data := await source.receive_some(limits.RECEIVE_BYTES):
        counted.value += len(data)
        await target.send_all(data)
    await target.send_eof()


def _reset_on_close(stream: HalfCloseableStream) -> None:
    if isinstance(stream, trio.SocketStream) and stream.socket.family != socket.AF_UNIX:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
