"""Decides: when a node stands for election, whom it votes for, and when it has won."""

from __future__ import annotations

from dualmode.raft.core import Core
from dualmode.raft.quorum import VoteResult
from dualmode.raft.replication import become_leader, broadcast_append
from dualmode.raft.types import (
    CAMPAIGN_TRANSFER,
    NONE,
    EntryType,
    Message,
    MessageType,
    StateType,
)


def hup(core: Core, *, transfer: bool = False) -> None:
    """Stand for election, if that is allowed. A leadership transfer skips the pre-election."""
    if core.state == StateType.LEADER:
        core.logger.debug(f"{core.id:x} ignoring MsgHup because already leader")
        return
    if not core.promotable():
        core.logger.warning(f"{core.id:x} is unpromotable and can not campaign")
        return
    if _has_unapplied_changes(core):
        core.logger.warning(
            f"{core.id:x} cannot campaign at term {core.term} since there are still pending configuration changes "
            "to apply"
        )
        return
    core.logger.info(f"{core.id:x} is starting a new election at term {core.term}")
    campaign(core, pre_election=core.config.pre_vote and not transfer, transfer=transfer)


def _has_unapplied_changes(core: Core) -> bool:
    """Such a node may be about to learn that it is no voter, or that others are."""
    log = core.log
    return any(entry.type != EntryType.NORMAL for entry in log.scan(log.applied + 1, log.commit + 1))


def campaign(core: Core, *, pre_election: bool, transfer: bool = False) -> None:
    """Ask every voter for its vote, oneself included: the own vote counts once it is on disk and comes back."""
    if not core.promotable():
        core.logger.warning(f"{core.id:x} is unpromotable; campaign() should have been called")
    if pre_election:
        core.become_pre_candidate()
        request, response, term = MessageType.PRE_VOTE, MessageType.PRE_VOTE_RESPONSE, core.term + 1
    else:
        core.become_candidate()
        request, response, term = MessageType.VOTE, MessageType.VOTE_RESPONSE, core.term
    last_index, last_term = core.log.last_index(), core.log.last_term()
    for voter in core.tracker.configuration.voters():
        if voter == core.id:
            core.send(Message(response, to=voter, term=term))
            continue
        core.logger.info(
            f"{core.id:x} [logterm: {last_term}, index: {last_index}] sent {request.printed} request to {voter:x} "
            f"at term {core.term}"
        )
        context = CAMPAIGN_TRANSFER if transfer else b""
        core.send(Message(request, to=voter, term=term, index=last_index, log_term=last_term, context=context))


def handle_vote_request(core: Core, message: Message) -> None:
    """Grant or refuse a (pre-)vote. The message's term is the own one, or that of a pre-vote for a later one."""
    may_vote = (
        core.vote == message.sender
        or (core.vote == NONE and core.leader == NONE)
        or (message.type == MessageType.PRE_VOTE and message.term > core.term)
    )
    granted = may_vote and core.log.up_to_date(message.index, message.log_term)
    log_vote(core, message, "cast" if granted else "rejected", "for" if granted else "from")
    # A granted response carries the term that was asked for: for a pre-vote that is not the own one.
    term = message.term if granted else core.term
    core.send(Message(response_type(message), to=message.sender, term=term, reject=not granted))
    if granted and message.type == MessageType.VOTE:
        core.election_elapsed = 0
        core.vote = message.sender


def response_type(message: Message) -> MessageType:
    return MessageType.VOTE_RESPONSE if message.type == MessageType.VOTE else MessageType.PRE_VOTE_RESPONSE


def log_vote(core: Core, message: Message, did: str, preposition: str) -> None:
    core.logger.info(
        f"{core.describe_log_and_vote()} {did} {message.type.printed} {preposition} {message.sender:x} "
        f"[logterm: {message.log_term}, index: {message.index}] at term {core.term}"
    )


def handle_vote_response(core: Core, message: Message) -> None:
    """Count an answer to the (pre-)election that this node stands in."""
    wanted = MessageType.VOTE_RESPONSE if core.state == StateType.CANDIDATE else MessageType.PRE_VOTE_RESPONSE
    if message.type != wanted:
        return
    answer = f"{wanted.printed} rejection" if message.reject else wanted.printed
    core.logger.info(f"{core.id:x} received {answer} from {message.sender:x} at term {core.term}")
    core.tracker.record_vote(message.sender, not message.reject)
    granted, rejected, result = core.tracker.tally()
    core.logger.info(f"{core.id:x} has received {granted} {wanted.printed} votes and {rejected} vote rejections")
    if result == VoteResult.WON:
        if core.state == StateType.PRE_CANDIDATE:
            campaign(core, pre_election=False)
        else:
            become_leader(core)
            broadcast_append(core)
    elif result == VoteResult.LOST:
        core.become_follower(core.term, NONE)
