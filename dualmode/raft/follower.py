"""Decides: what a follower does with each message: most come from the leader or are passed on to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dualmode.raft import elections, restoring
from dualmode.raft.config import ReadOnlyOption
from dualmode.raft.core import Core
from dualmode.raft.errors import ProposalDropped
from dualmode.raft.types import NONE, Message, MessageType, ReadState


def _forward(core: Core, message: Message) -> None:
    """To the leader, in the name of whoever asked. A copy, without its term: the message may be
    shared with its sender."""
    core.send(
        Message(
            message.type,
            to=core.leader,
            sender=message.sender,
            log_term=message.log_term,
            index=message.index,
            entries=message.entries,
            commit=message.commit,
            vote=message.vote,
            snapshot=message.snapshot,
            reject=message.reject,
            reject_hint=message.reject_hint,
            context=message.context,
        )
    )


def handle_proposal(core: Core, message: Message) -> None:
    """Raises `ProposalDropped`."""
    if core.leader == NONE:
        core.logger.info(f"{core.id:x} no leader at term {core.term}; dropping proposal")
        raise ProposalDropped
    if core.config.disable_proposal_forwarding:
        core.logger.info(f"{core.id:x} not forwarding to leader {core.leader:x} at term {core.term}; dropping proposal")
        raise ProposalDropped
    _forward(core, message)


def _from_leader(handler: Callable[[Core, Message], None]) -> Callable[[Core, Message], None]:
    """What a leader of the own term sends keeps its follower quiet."""

    def handle(core: Core, message: Message) -> None:
        core.election_elapsed = 0
        core.leader = message.sender
        handler(core, message)

    return handle


def handle_append(core: Core, message: Message) -> None:
    """Every append is answered, also when it brings nothing new: the answer tells the leader where the log matches."""
    log = core.log
    if message.index < log.commit:
        core.send(Message(MessageType.APPEND_RESPONSE, to=message.sender, index=log.commit))
        return
    last = log.append_after(message.index, message.log_term, message.entries, message.commit)
    if last is not None:
        core.send(Message(MessageType.APPEND_RESPONSE, to=message.sender, index=last))
        return
    core.logger.debug(
        f"{core.id:x} [logterm: {log.term_or_zero(message.index)}, index: {message.index}] rejected MsgApp "
        f"[logterm: {message.log_term}, index: {message.index}] from {message.sender:x}"
    )
    hint, hint_term = log.find_not_above_term(min(message.index, log.last_index()), message.log_term)
    core.send(
        Message(
            MessageType.APPEND_RESPONSE,
            to=message.sender,
            index=message.index,
            reject=True,
            reject_hint=hint,
            log_term=hint_term,
        )
    )


def handle_heartbeat(core: Core, message: Message) -> None:
    core.log.commit_to(message.commit)
    core.send(Message(MessageType.HEARTBEAT_RESPONSE, to=message.sender, context=message.context))


def handle_transfer_leader(core: Core, message: Message) -> None:
    if core.leader == NONE:
        core.logger.info(f"{core.id:x} no leader at term {core.term}; dropping leader transfer msg")
        return
    _forward(core, message)


def handle_forget_leader(core: Core, message: Message) -> None:
    """The owner knows that the leader is gone: vote for another one without waiting for the timeout."""
    if core.config.read_only == ReadOnlyOption.LEASE_BASED:
        # Leases of the leader rest on followers that keep to it.
        core.logger.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased")
    elif core.leader != NONE:
        core.logger.info(f"{core.id:x} forgetting leader {core.leader:x} at term {core.term}")
        core.leader = NONE


def handle_timeout_now(core: Core, message: Message) -> None:
    core.logger.info(
        f"{core.id:x} [term {core.term}] received MsgTimeoutNow from {message.sender:x} and starts an election to "
        "get leadership."
    )
    elections.hup(core, transfer=True)


def handle_read_index(core: Core, message: Message) -> None:
    if core.leader == NONE:
        core.logger.info(f"{core.id:x} no leader at term {core.term}; dropping index reading msg")
        return
    _forward(core, message)


def handle_read_index_response(core: Core, message: Message) -> None:
    if len(message.entries) != 1:
        core.logger.error(
            f"{core.id:x} invalid format of MsgReadIndexResp from {message.sender:x}, "
            f"entries count: {len(message.entries)}"
        )
        return
    core.read_states.append(ReadState(message.index, message.entries[0].data))


#: Messages that only a leader sends, and what to do with them.
FROM_LEADER: Final = {
    MessageType.APPEND: handle_append,
    MessageType.HEARTBEAT: handle_heartbeat,
    MessageType.SNAPSHOT: restoring.handle_snapshot,
}

HANDLERS: Final[dict[MessageType, Callable[[Core, Message], None]]] = {
    MessageType.PROPOSAL: handle_proposal,
    MessageType.TRANSFER_LEADER: handle_transfer_leader,
    MessageType.FORGET_LEADER: handle_forget_leader,
    MessageType.TIMEOUT_NOW: handle_timeout_now,
    MessageType.READ_INDEX: handle_read_index,
    MessageType.READ_INDEX_RESPONSE: handle_read_index_response,
} | {kind: _from_leader(handler) for kind, handler in FROM_LEADER.items()}
