"""Decides: flow control (RFC 9113 sections 5.2 and 6.9): windows, and what waits for them.

Two directions, two ideas. What the peer sends us is taken from a `ReceiveWindow` and given back in few large updates:
a WINDOW_UPDATE per frame would cost as much as the frame. What we send is limited by plain ints (a stream's and the
connection's), and what does not fit waits in the stream's `SendQueue`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from dualmode import limits
from dualmode.http.interface import Fields

MAX_WINDOW: Final = 2**31 - 1


class ReceiveWindow:
    """What the peer may still send (`left`), and what is consumed but not yet given back (`consumed`).

    Invariant: left + consumed + (delivered, not consumed) = size_bytes.
    """

    __slots__ = ("consumed", "left", "threshold")

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes
        self.consumed = 0
        #: Given back when half the window is consumed: the peer never stalls, and updates stay rare.
        self.threshold = size_bytes // 2

    def credit(self) -> int:
        """The increment to announce now; 0 while it is not worth a frame."""
        increment = self.consumed
        if increment <= self.threshold:
            return 0
        self.consumed = 0
        self.left += increment
        return increment


class SendQueue:
    """What waits on one stream: body pieces, then perhaps the end with its trailers. Views, so that a large piece is
    cut into frames without being copied again and again."""

    __slots__ = ("ends", "is_whole", "pieces", "size_bytes", "trailers")

    def __init__(self, is_whole: bool = False) -> None:
        #: Of an answer that was given at once; those are bounded when they are given.
        self.is_whole = is_whole
        self.pieces: deque[memoryview] = deque()
        self.size_bytes = 0
        self.ends = False
        self.trailers: Fields | None = None

    @property
    def streamed_bytes(self) -> int:
        """What it costs to keep this, if the answer is streamed."""
        return 0 if self.is_whole else self.size_bytes + len(self.pieces) * limits.HTTP2_QUEUED_PIECE_BYTES

    def add(self, data: bytes) -> None:
        """Queues body bytes."""
        if data:
            self.pieces.append(memoryview(data))
            self.size_bytes += len(data)

    def take(self, size_bytes: int) -> memoryview:
        """The next bytes, at most so many and never across two pieces. There must be some."""
        piece = self.pieces[0]
        if len(piece) <= size_bytes:
            self.pieces.popleft()
        else:
            self.pieces[0] = piece[size_bytes:]
            piece = piece[:size_bytes]
        self.size_bytes -= len(piece)
        return piece
