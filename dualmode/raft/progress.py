"""Decides: how far one peer's log has come in the leader's eyes, and how much may be sent to it.

A peer is *probed* (one append at a time, until it says where its log matches), then *replicated* to (appends are sent
ahead of acknowledgements, as many as the window holds), or it gets a *snapshot* (and nothing else) when the entries it
needs are gone.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from dualmode.raft.types import NO_LIMIT


class ProgressState(IntEnum):
    """`printed` is the name in logs and transcripts."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2

    @property
    def printed(self) -> str:
        return ("StateProbe", "StateReplicate", "StateSnapshot")[self]


class Inflights:
    """The window of append messages that were sent and not acknowledged: (last index, payload bytes) of each."""

    __slots__ = ("_window", "bytes", "max_bytes", "max_count")

    def __init__(self, max_count: int, max_bytes: int = NO_LIMIT) -> None:
        self.max_count = max_count
        self.max_bytes = max_bytes
        self.bytes = 0
        self._window: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        return len(self._window)

    @property
    def full(self) -> bool:
        """One message may overshoot the byte limit: it is checked before sending, not against what is to be sent."""
        return len(self._window) >= self.max_count or self.bytes >= self.max_bytes

    def add(self, index: int, size: int) -> None:
        assert not self.full, "a message was sent into a full window"
        self._window.append((index, size))
        self.bytes += size

    def free_to(self, index: int) -> None:
        """An acknowledgement up to `index` frees every message that ends there or before."""
        window = self._window
        while window and window[0][0] <= index:
            self.bytes -= window.popleft()[1]

    def clear(self) -> None:
        self._window.clear()
        self.bytes = 0


class Progress:
    """The leader's record of one node, itself included. Times and identity live outside; this is arithmetic."""

    __slots__ = (
        "flow_paused",
        "inflights",
        "is_learner",
        "match",
        "next",
        "pending_snapshot",
        "recently_active",
        "sent_commit",
        "state",
    )

    def __init__(
        self, next_index: int, inflights: Inflights, *, match: int = 0, learner: bool = False, active: bool = False
    ) -> None:
        self.match = match
        self.next = next_index
        self.state = ProgressState.PROBE
        self.pending_snapshot = 0
        self.recently_active = active
        self.flow_paused = False
        self.inflights = inflights
        self.sent_commit = 0
        self.is_learner = learner

    def clone(self) -> Progress:
        """A copy for a configuration change that may yet fail; the window of messages is shared."""
        copy = Progress(self.next, self.inflights, match=self.match, learner=self.is_learner)
        copy.state = self.state
        copy.pending_snapshot = self.pending_snapshot
        copy.recently_active = self.recently_active
        copy.flow_paused = self.flow_paused
        copy.sent_commit = self.sent_commit
        return copy

    @property
    def paused(self) -> bool:
        """No append may be sent now."""
        return self.flow_paused or self.state == ProgressState.SNAPSHOT

    def _enter(self, state: ProgressState) -> None:
        self.flow_paused = False
        self.pending_snapshot = 0
        self.state = state
        self.inflights.clear()

    def become_probe(self) -> None:
        """After a snapshot the peer may be taken to have it; if not, the probe finds out."""
        snapshot = self.pending_snapshot if self.state == ProgressState.SNAPSHOT else 0
        self._enter(ProgressState.PROBE)
        self.next = max(self.match, snapshot) + 1
        self.sent_commit = min(self.sent_commit, self.next - 1)

    def become_replicate(self) -> None:
        self._enter(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1
        self.sent_commit = index

    def sent_entries(self, count: int, size: int) -> None:
        """An append with `count` entries and `size` bytes of payload has been sent."""
        if self.state == ProgressState.REPLICATE:
            if count > 0:
                self.next += count
                self.inflights.add(self.next - 1, size)
            self.flow_paused = self.inflights.full
        elif count > 0:
            self.flow_paused = True

    def acknowledged(self, index: int) -> bool:
        """The peer has everything up to `index`. False if that was known already."""
        if index <= self.match:
            return False
        self.match = index
        self.next = max(self.next, index + 1)
        self.flow_paused = False
        return True

    def rejected(self, index: int, hint: int) -> bool:
        """The peer refused the append after `index`; its log can match at `hint` at best. False if that is stale."""
        if self.state == ProgressState.REPLICATE:
            if index <= self.match:
                return False
            self.next = self.match + 1
        else:
            if self.next - 1 != index:
                return False
            self.next = max(min(index, hint + 1), self.match + 1)
            self.flow_paused = False
        self.sent_commit = min(self.sent_commit, self.next - 1)
        return True

    def commit_may_help(self, commit: int) -> bool:
        """Whether an append carrying this commit index would let the peer commit more than it already can."""
        return commit > self.sent_commit and self.sent_commit < self.next - 1
