"""Decides: what a connection knows of one open stream. A record without methods: `Connection` is its only writer."""

from __future__ import annotations

from typing import Any, Final

from dualmode.http.interface import RequestHead
from dualmode.http.native.flow import SendQueue

#: `Stream.body_limit` when it is not a number of bytes.
STREAMED: Final = -1
DROPPED: Final = -2
WHOLE_OR_STREAMED: Final = -3


class Stream:
    """One open or half-closed stream."""

    __slots__ = (
        "body",
        "body_limit",
        "content_length",
        "fresh",
        "fresh_in",
        "head",
        "head_sent",
        "is_head_method",
        "queue",
        "received",
        "response_head",
        "send_window",
        "state",
        "stream_id",
        "unacknowledged",
        "window_left",
    )

    def __init__(
        self,
        stream_id: int,
        state: int,
        head: RequestHead | None,
        body_limit: int,
        content_length: int,
        send_window: int,
        window_left: int,
    ) -> None:
        self.stream_id = stream_id
        self.state = state
        #: Server role: the request. None in the client role.
        self.head = head
        #: Greatest body to gather, or STREAMED, or DROPPED once it went over.
        self.body_limit = body_limit
        #: What the peer promised to send, or UNKNOWN_LENGTH.
        self.content_length = content_length
        #: What we may send; negative after the peer lowered its initial window (section 6.9.2).
        self.send_window = send_window
        #: What the peer may send.
        self.window_left = window_left
        #: Body bytes received.
        self.received = 0
        #: Flow-controlled bytes handed to the driver and not yet acknowledged (streamed), or not yet credited.
        self.unacknowledged = 0
        #: Gathered body: None, the one DATA frame it came in, or a growing buffer.
        self.body: bytes | bytearray | None = None
        #: The event that has told of it, which may still be added to as long as `fresh_in` is the read under way.
        self.fresh: Any = None
        self.fresh_in = 0
        #: What waits for windows.
        self.queue: SendQueue | None = None
        self.head_sent = False
        #: The answer has no body whatever its fields say (HEAD).
        self.is_head_method = False
        #: Client role: the final response head has come.
        self.response_head = False

    @property
    def queued_bytes(self) -> int:
        """Body bytes that wait for windows."""
        return 0 if self.queue is None else self.queue.size_bytes
