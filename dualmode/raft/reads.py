"""Decides: which reads may be served, once a quorum has confirmed that this leader still leads.

Requests are numbered in order of arrival. A heartbeat carries the number of the newest one, its response acknowledges
everything up to that number; so one round of heartbeats serves all reads that were waiting when it was sent.
"""

from __future__ import annotations

from collections import deque

from dualmode.raft.types import Message

_POSITION_BYTES = 8


class ReadQueue:
    """Reads that wait at a leader. A new one begins with every term and role."""

    __slots__ = ("_acknowledged", "_last_position", "_waiting", "postponed")

    def __init__(self) -> None:
        #: Requests that came before the leader's first commit; it cannot know the commit index yet.
        self.postponed: list[Message] = []
        self._waiting: deque[tuple[int, Message]] = deque()
        self._last_position = 0
        self._acknowledged: dict[int, int] = {}

    def add(self, index: int, request: Message) -> None:
        """Queue a request that may be answered with `index`."""
        self._waiting.append((index, request))
        self._last_position += 1

    def heartbeat_context(self) -> bytes:
        """What heartbeats carry: the newest position, or nothing if nobody waits."""
        return self._last_position.to_bytes(_POSITION_BYTES, "little") if self._waiting else b""

    def acknowledge(self, node: int, context: bytes) -> None:
        """`node` answered a heartbeat with this context. What is not a position of ours is ignored."""
        if len(context) != _POSITION_BYTES:
            return
        position = int.from_bytes(context, "little")
        if position <= self._last_position:
            self._acknowledged[node] = max(position, self._acknowledged.get(node, 0))

    def acknowledge_all(self, node: int) -> None:
        """The leader itself confirms what it queues."""
        self._acknowledged[node] = self._last_position

    @property
    def acknowledged(self) -> dict[int, int]:
        """Node -> the position up to which it has confirmed."""
        return self._acknowledged

    def release(self, position: int) -> list[tuple[int, Message]]:
        """Take out the requests up to `position`, oldest first."""
        first = self._last_position - len(self._waiting) + 1
        count = max(min(position, self._last_position) - first + 1, 0)
        return [self._waiting.popleft() for _ in range(count)]
