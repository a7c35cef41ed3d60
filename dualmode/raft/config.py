"""Decides: the settings of one core, and which combinations make sense."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dualmode.raft.types import NO_LIMIT, NONE


class ReadOnlyOption(IntEnum):
    """How a leader makes sure that it still leads before it answers a read.

    Safe asks a quorum. Lease-based trusts that no other leader can arise within an election timeout of hearing from a
    quorum, which needs check-quorum and clocks that run at about the same speed.
    """

    SAFE = 0
    LEASE_BASED = 1


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one core. Times are in ticks, sizes in bytes of encoded entries unless said otherwise."""

    id: int
    election_ticks: int = 10
    heartbeat_ticks: int = 1
    #: Index up to which the application had applied the log before this start.
    applied: int = 0
    #: Entries in one append message. 0 means one entry at a time.
    max_message_bytes: int = NO_LIMIT
    #: Committed entries that are handed out and not yet acknowledged.
    max_committed_bytes: int = NO_LIMIT
    #: Payload that the leader may have appended and not yet applied; above it proposals are dropped.
    max_uncommitted_bytes: int = NO_LIMIT
    #: Append messages on their way to one follower, and payload in them.
    max_inflight_messages: int = 256
    max_inflight_bytes: int = NO_LIMIT
    check_quorum: bool = False
    pre_vote: bool = False
    async_storage_writes: bool = False
    step_down_on_removal: bool = False
    disable_conf_change_validation: bool = False
    disable_proposal_forwarding: bool = False
    read_only: ReadOnlyOption = ReadOnlyOption.SAFE

    def check(self) -> None:
        """Raises `ValueError` for settings that cannot work."""
        if self.id == NONE:
            raise ValueError("cannot use none as id")
        if self.heartbeat_ticks <= 0:
            raise ValueError("heartbeat tick must be greater than 0")
        if self.election_ticks <= self.heartbeat_ticks:
            raise ValueError("election tick must be greater than heartbeat tick")
        if self.max_inflight_messages <= 0:
            raise ValueError("max inflight messages must be greater than 0")
        if self.max_committed_bytes <= 0 or self.max_uncommitted_bytes <= 0 or self.max_inflight_bytes <= 0:
            raise ValueError("size limits must be greater than 0")
        if self.read_only == ReadOnlyOption.LEASE_BASED and not self.check_quorum:
            raise ValueError("lease-based reads need check-quorum")
