"""Decides: what the passing of time does to a node. Time comes in ticks, whose length the owner chooses."""

from __future__ import annotations

from dualmode.raft.core import Core
from dualmode.raft.errors import RaftError
from dualmode.raft.step import step
from dualmode.raft.types import NONE, Message, MessageType, StateType


def tick(core: Core) -> None:
    if core.state == StateType.LEADER:
        _tick_leader(core)
    else:
        _tick_others(core)


def _tick_others(core: Core) -> None:
    core.election_elapsed += 1
    if core.promotable() and core.election_elapsed >= core.randomized_election_timeout:
        core.election_elapsed = 0
        try:
            step(core, Message(MessageType.HUP, sender=core.id))
        except RaftError as error:
            core.logger.debug(f"error occurred during election: {error}")


def _tick_leader(core: Core) -> None:
    core.heartbeat_elapsed += 1
    core.election_elapsed += 1
    if core.election_elapsed >= core.config.election_ticks:
        core.election_elapsed = 0
        if core.config.check_quorum:
            _step_own(core, MessageType.CHECK_QUORUM)
        if core.state == StateType.LEADER:
            # A transferee that has not taken over by now will not do so.
            core.transferee = NONE
    if core.state != StateType.LEADER:
        return
    if core.heartbeat_elapsed >= core.config.heartbeat_ticks:
        core.heartbeat_elapsed = 0
        _step_own(core, MessageType.BEAT)


def _step_own(core: Core, kind: MessageType) -> None:
    try:
        step(core, Message(kind, sender=core.id))
    except RaftError as error:
        core.logger.debug(f"error occurred during checking sending heartbeat: {error}")
