"""Decides: which request heads of an HTTP/1.1 connection are remembered, so that they need not be parsed again."""

from __future__ import annotations

from typing import NamedTuple

from dualmode import limits
from dualmode.http.h1_messages import is_plain
from dualmode.http.interface import RequestHead


class KnownHead(NamedTuple):
    """What the bytes of a head came to when they were parsed."""

    head: RequestHead
    body_limit: int
    body_bytes: int

    def fits(self, received_bytes: int) -> bool:
        """Whether the request is one to gather, and here as a whole."""
        return self.body_bytes <= self.body_limit and self.body_bytes <= received_bytes


class KnownHeads:
    """Of one connection: few, and short."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}

    def get(self, raw_head: bytes) -> KnownHead | None:
        """What these bytes mean, byte for byte."""
        return self._known.get(raw_head)

    def remember(self, raw_head: bytes, known: KnownHead) -> None:
        """If nothing in it is about the connection, and its body is to be gathered, with a length that it says."""
        if known.body_bytes < 0 or known.body_limit < 0 or not is_plain(raw_head):
            return
        if len(self._known) >= limits.HTTP1_KNOWN_HEADS:
            self._known.clear()
        self._known[raw_head] = known
