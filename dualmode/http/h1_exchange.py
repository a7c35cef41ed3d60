"""Decides: what an HTTP/1.1 connection knows of the one request that it reads or serves, and how its response ends."""

from __future__ import annotations

from typing import Final

import h11

from dualmode.http.interface import STREAMED, Fields, RequestHead

#: Statuses whose responses have no body.
BODILESS: Final = frozenset({204, 304})


def may_be_chunked(exchange: Exchange, head: Fields) -> bool:
    """Whether the body of this response has to and can say its own end (RFC 9112 section 7.1)."""
    return exchange.head.version == b"1.1" and head.get(b"content-length") is None


def with_length(head: Fields, size_bytes: int) -> Fields:
    """The head of a response whose body is known."""
    return head if head.get(b"content-length") is not None else head.plus((b"content-length", b"%d" % size_bytes))


class Exchange:
    """One request and its response. A record without methods: the connection is its only writer."""

    __slots__ = (
        "body",
        "body_limit",
        "head",
        "heard_at",
        "is_bodiless",
        "is_chunked",
        "is_told",
        "parser",
        "raw",
        "remaining_bytes",
        "request_done",
        "response_started",
        "stream_id",
        "unacknowledged",
    )

    def __init__(
        self, stream_id: int, parser: h11.Connection | None, head: RequestHead, remaining_bytes: int, now: float
    ) -> None:
        self.stream_id = stream_id
        #: None for a request with a head that was seen before; then `raw` has its bytes, for a parser that is needed
        #: all the same.
        self.parser = parser
        self.raw: tuple[bytes, bytes] = (b"", b"")
        self.head = head
        #: Body bytes still to come, or CHUNKED.
        self.remaining_bytes = remaining_bytes
        self.body_limit = STREAMED
        self.body = bytearray()
        self.heard_at = now
        self.unacknowledged = 0
        #: The driver knows of it.
        self.is_told = False
        self.request_done = False
        self.response_started = False
        #: What kind of response was started.
        self.is_bodiless = False
        self.is_chunked = False
