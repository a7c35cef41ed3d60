"""Decides: what a candidate or pre-candidate does with each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dualmode.raft import elections, follower
from dualmode.raft.core import Core
from dualmode.raft.errors import ProposalDropped
from dualmode.raft.types import Message, MessageType


def handle_proposal(core: Core, message: Message) -> None:
    """Raises `ProposalDropped`."""
    core.logger.info(f"{core.id:x} no leader at term {core.term}; dropping proposal")
    raise ProposalDropped


def _submit(handler: Callable[[Core, Message], None]) -> Callable[[Core, Message], None]:
    """Somebody else leads this term already: follow, then do as followers do."""

    def handle(core: Core, message: Message) -> None:
        core.become_follower(core.term, message.sender)
        handler(core, message)

    return handle


def handle_timeout_now(core: Core, message: Message) -> None:
    core.logger.debug(
        f"{core.id:x} [term {core.term} state {core.state.printed}] ignored MsgTimeoutNow from {message.sender:x}"
    )


HANDLERS: Final[dict[MessageType, Callable[[Core, Message], None]]] = {
    MessageType.PROPOSAL: handle_proposal,
    MessageType.VOTE_RESPONSE: elections.handle_vote_response,
    MessageType.PRE_VOTE_RESPONSE: elections.handle_vote_response,
    MessageType.TIMEOUT_NOW: handle_timeout_now,
} | {kind: _submit(handler) for kind, handler in follower.FROM_LEADER.items()}
