"""Decides: what the h2 engine knows of one stream. A record: `Connection` is its only writer."""

from __future__ import annotations

from typing import Final

from dualmode.http.interface import STREAMED, Pairs, RequestHead
from dualmode.http.native.flow import SendQueue

#: `Stream.body_limit` once a body went over it.
DROPPED: Final = STREAMED - 1


class Stream:
    """What this adapter keeps beside h2's own stream."""

    __slots__ = (
        "body",
        "body_limit",
        "head",
        "head_sent",
        "is_head_method",
        "is_whole",
        "peer_ended",
        "queue",
        "stream_id",
        "trailers",
        "unacknowledged",
        "we_ended",
    )

    def __init__(self, stream_id: int, head: RequestHead | None, body_limit: int) -> None:
        self.stream_id = stream_id
        self.head = head
        self.body_limit = body_limit
        self.body = bytearray()
        self.trailers: Pairs = ()
        #: Of what the driver was given, the flow-controlled bytes it has not acknowledged.
        self.unacknowledged = 0
        self.queue: SendQueue | None = None
        self.head_sent = False
        self.is_head_method = False
        #: The answer was given at once.
        self.is_whole = False
        self.peer_ended = False
        self.we_ended = False

    @property
    def is_told(self) -> bool:
        """Whether the driver has heard of it."""
        return self.body_limit < 0 or self.peer_ended
