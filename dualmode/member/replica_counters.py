"""Decides: the replica's counters, plain integers that the metrics collector reads."""

from __future__ import annotations


class ReplicaCounters:
    """Names follow etcd's metrics `etcd_server_*`."""

    __slots__ = ("applied_index", "leader_changes", "proposals_applied", "proposals_failed", "proposals_pending")

    def __init__(self) -> None:
        self.applied_index = 0
        self.leader_changes = 0
        self.proposals_applied = 0
        self.proposals_failed = 0
        self.proposals_pending = 0

    def applied(self, count: int, index: int) -> None:
        """A pass has applied `count` entries up to `index`."""
        self.proposals_applied += count
        self.applied_index = index
        self.proposals_pending = max(0, self.proposals_pending - count)
