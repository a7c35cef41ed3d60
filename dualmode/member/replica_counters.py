"""Decides: the replica's counters, plain integers that the metrics read."""

from __future__ import annotations


class ReplicaCounters:
    """Names follow etcd's metrics `etcd_server_*`."""

    __slots__ = ("applied_index", "late_heartbeats", "leader_changes", "proposals_failed", "slow_applies")

    def __init__(self) -> None:
        self.applied_index = 0
        self.leader_changes = 0
        self.late_heartbeats = 0
        self.proposals_failed = 0
        self.slow_applies = 0
