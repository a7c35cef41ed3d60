"""One node among several that leads them, as tests make it: elected by hand, with everybody up to date."""

from __future__ import annotations

from typing import Any

from dualmode.raft import Message, MessageType, StateType
from tests.raft.recording import Harness

M = MessageType


def leader(voters: tuple[int, ...] = (1, 2, 3), **settings: Any) -> Harness:
    """Node 1 leads; everybody has its empty entry 11."""
    harness = Harness(voters, **settings)
    harness.node.campaign()
    for kind in ([M.PRE_VOTE_RESPONSE] if settings.get("pre_vote") else []) + [M.VOTE_RESPONSE]:
        harness.settle()
        term = harness.node.term + (kind == M.PRE_VOTE_RESPONSE)
        for peer in voters[1:]:
            harness.node.step(Message(kind, to=1, sender=peer, term=term))
    harness.settle()
    for peer in harness.node.core.tracker.others(1):
        acknowledge(harness, peer, 11)
    harness.settle()
    assert (harness.node.state, harness.node.committed) == (StateType.LEADER, 11)
    harness.logger.take()
    return harness


def acknowledge(harness: Harness, peer: int, index: int) -> None:
    harness.node.step(Message(M.APPEND_RESPONSE, to=1, sender=peer, term=harness.node.term, index=index))


def heartbeat_response(harness: Harness, peer: int, context: bytes = b"") -> None:
    harness.node.step(Message(M.HEARTBEAT_RESPONSE, to=1, sender=peer, term=harness.node.term, context=context))
