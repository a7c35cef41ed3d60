"""Decides: what the passing of time does to a node. Time comes in ticks, whose length the owner chooses."""

from __future__ import annotations

from dualmode.raft.core import Core
from dualmode.raft.elections import hup
from dualmode.raft.leader import check_quorum
from dualmode.raft.replication import broadcast_heartbeat
from dualmode.raft.types import NONE, StateType


def tick(core: Core) -> None:
    """One tick has passed."""
    if core.state == StateType.LEADER:
        _tick_leader(core)
    else:
        _tick_others(core)


def _tick_others(core: Core) -> None:
    core.election_elapsed += 1
    if core.promotable() and core.election_elapsed >= core.randomized_election_timeout:
        core.election_elapsed = 0
        hup(core)


def _tick_leader(core: Core) -> None:
    core.heartbeat_elapsed += 1
    core.election_elapsed += 1
    if core.election_elapsed >= core.config.election_ticks:
        core.election_elapsed = 0
        if core.config.check_quorum:
            check_quorum(core)
        if core.state != StateType.LEADER:
            return
        # A transferee that has not taken over by now will not do so.
        core.transferee = NONE
    if core.heartbeat_elapsed >= core.config.heartbeat_ticks:
        core.heartbeat_elapsed = 0
        broadcast_heartbeat(core)
