"""Decides: what to do with a message: first the rules of terms, then the table of the role.

This is the one place where a message meets the state; everything else is called from here or from a tick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dualmode.raft import acknowledging, candidate, elections, follower, leader
from dualmode.raft.core import Core
from dualmode.raft.types import CAMPAIGN_TRANSFER, NONE, Message, MessageType, StateType

Handler = Callable[[Core, Message], None]


def _handle_hup(core: Core, message: Message) -> None:
    elections.hup(core)


#: Handled alike in every role.
_ANY_ROLE: Final[dict[MessageType, Handler]] = {
    MessageType.HUP: _handle_hup,
    MessageType.VOTE: elections.handle_vote_request,
    MessageType.PRE_VOTE: elections.handle_vote_request,
    MessageType.STORAGE_APPEND_RESPONSE: acknowledging.handle_storage_append_response,
    MessageType.STORAGE_APPLY_RESPONSE: acknowledging.handle_storage_apply_response,
}

#: Role -> message type -> what to do. What is not in the table is ignored.
_HANDLERS: Final[Mapping[StateType, Mapping[MessageType, Handler]]] = {
    StateType.FOLLOWER: {**follower.HANDLERS, **_ANY_ROLE},
    StateType.CANDIDATE: {**candidate.HANDLERS, **_ANY_ROLE},
    StateType.PRE_CANDIDATE: {**candidate.HANDLERS, **_ANY_ROLE},
    StateType.LEADER: {**leader.HANDLERS, **_ANY_ROLE},
}

_VOTE_REQUESTS: Final = frozenset({MessageType.VOTE, MessageType.PRE_VOTE})


def step(core: Core, message: Message) -> None:
    """Feed one message to the core. Raises `ProposalDropped`. Term 0 means that the message is the node's own."""
    if message.term > core.term:
        if not _follow_higher_term(core, message):
            return
    elif 0 < message.term < core.term:
        _answer_lower_term(core, message)
        return
    handler = _HANDLERS[core.state].get(message.type)
    if handler is not None:
        handler(core, message)


def _follow_higher_term(core: Core, message: Message) -> bool:
    """Take over a later term. False if the message is to be ignored.

    Where check-quorum is on, a node that hears from its leader does not let a candidate disturb it: such a candidate
    may have been cut off or removed, and would otherwise depose a leader that works. Pre-votes do not change terms.
    """
    if message.type in _VOTE_REQUESTS and message.context != CAMPAIGN_TRANSFER and _in_lease(core):
        remaining = core.config.election_ticks - core.election_elapsed
        core.logger.info(
            f"{core.describe_log_and_vote()} ignored {message.type.printed} from {message.sender:x} "
            f"[logterm: {message.log_term}, index: {message.index}] at term {core.term}: "
            f"lease is not expired (remaining ticks: {remaining})"
        )
        return False
    if message.type == MessageType.PRE_VOTE or (message.type == MessageType.PRE_VOTE_RESPONSE and not message.reject):
        return True
    core.logger.info(
        f"{core.id:x} [term: {core.term}] received a {message.type.printed} message with higher term "
        f"from {message.sender:x} [term: {message.term}]"
    )
    core.become_follower(message.term, message.sender if message.type in follower.FROM_LEADER else NONE)
    return True


def _in_lease(core: Core) -> bool:
    return core.config.check_quorum and core.leader != NONE and core.election_elapsed < core.config.election_ticks


def _answer_lower_term(core: Core, message: Message) -> None:
    """Stale messages are dropped; but where their sender could get stuck, it is told the term."""
    kind = message.type
    if kind in (MessageType.HEARTBEAT, MessageType.APPEND) and (core.config.check_quorum or core.config.pre_vote):
        # Our votes are ignored by those who follow the old leader, and pre-votes raise no term: only this ends its
        # rule.
        core.send(Message(MessageType.APPEND_RESPONSE, to=message.sender))
    elif kind == MessageType.PRE_VOTE:
        # A pre-candidate behind in term would otherwise wait for us in vain.
        elections.log_vote(core, message, "rejected", "from")
        core.send(Message(MessageType.PRE_VOTE_RESPONSE, to=message.sender, term=core.term, reject=True))
    elif kind == MessageType.STORAGE_APPEND_RESPONSE:
        # Entries written in an older term may have been overwritten since: a later acknowledgement covers them. A
        # snapshot cannot be overwritten.
        if message.index:
            core.logger.info(
                f"{core.id:x} [term: {core.term}] ignored entry appends from a {kind.printed} message "
                f"with lower term [term: {message.term}]"
            )
        if message.snapshot is not None:
            acknowledging.snapshot_applied(core, message.snapshot)
    else:
        core.logger.info(
            f"{core.id:x} [term: {core.term}] ignored a {kind.printed} message with lower term "
            f"from {message.sender:x} [term: {message.term}]"
        )
