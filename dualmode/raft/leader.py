"""Decides: what a leader does with each message.

Messages about a peer need its progress; those about a node that is not in the configuration are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dualmode.raft import printing, reading
from dualmode.raft.core import Core
from dualmode.raft.progress import Progress, ProgressState
from dualmode.raft.proposals import propose
from dualmode.raft.replication import broadcast_append, maybe_commit, send_append
from dualmode.raft.types import NONE, Message, MessageType

PeerHandler = Callable[[Core, Message, Progress], None]


def step_peer(handler: PeerHandler) -> Callable[[Core, Message], None]:
    """Make a handler of messages about a peer out of one that gets the peer's progress as well."""

    def handle(core: Core, message: Message) -> None:
        progress = core.tracker.progress.get(message.sender)
        if progress is None:
            core.logger.debug(f"{core.id:x} no progress available for {message.sender:x}")
        else:
            handler(core, message, progress)

    return handle


def handle_proposal(core: Core, message: Message) -> None:
    propose(core, message.entries)


def check_quorum(core: Core) -> None:
    """A leader that has not heard from a quorum for an election timeout may have been replaced long ago."""
    if not core.tracker.quorum_active():
        core.logger.warning(f"{core.id:x} stepped down to follower since quorum is not active")
        core.become_follower(core.term, NONE)
    for peer, progress in core.tracker.progress.items():
        if peer != core.id:
            progress.recently_active = False


# --- what comes back from appends, heartbeats and snapshots ---------------------------------------------------------


def handle_append_response(core: Core, message: Message, progress: Progress) -> None:
    progress.recently_active = True
    if message.reject:
        _handle_rejection(core, message, progress)
    elif progress.acknowledged(message.index) or (
        progress.match == message.index and progress.state == ProgressState.PROBE
    ):
        _handle_acknowledgement(core, message, progress)


def _handle_rejection(core: Core, message: Message, progress: Progress) -> None:
    """The peer's log does not contain what the append built upon. Both ends skip what cannot match, term by term."""
    core.logger.debug(
        f"{core.id:x} received MsgAppResp(rejected, hint: (index {message.reject_hint}, term {message.log_term})) "
        f"from {message.sender:x} for index {message.index}"
    )
    hint = message.reject_hint
    if message.log_term > 0:
        hint, _ = core.log.find_not_above_term(hint, message.log_term)
    if not progress.rejected(message.index, hint):
        return
    core.logger.debug(f"{core.id:x} decreased progress of {message.sender:x} to [{printing.progress(progress)}]")
    if progress.state == ProgressState.REPLICATE:
        progress.become_probe()
    send_append(core, message.sender)


def _handle_acknowledgement(core: Core, message: Message, progress: Progress) -> None:
    peer = message.sender
    _adapt_state(core, message, progress)
    if maybe_commit(core):
        reading.release_postponed(core)
        broadcast_append(core)
    elif peer != core.id and progress.commit_may_help(core.log.commit):
        send_append(core, peer)
    if peer == core.id:
        return
    # Each append may be limited in size: send until the window is full or nothing is left.
    while send_append(core, peer, empty_wanted=False):
        pass
    if peer == core.transferee and progress.match == core.log.last_index():
        core.logger.info(f"{core.id:x} sent MsgTimeoutNow to {peer:x} after received MsgAppResp")
        core.send(Message(MessageType.TIMEOUT_NOW, to=peer))


def _adapt_state(core: Core, message: Message, progress: Progress) -> None:
    if progress.state == ProgressState.PROBE:
        progress.become_replicate()
    elif progress.state == ProgressState.REPLICATE:
        progress.inflights.free_to(message.index)
    elif progress.match + 1 >= core.log.first_index():
        # The log can take over from here, whichever snapshot brought the peer to this point.
        core.logger.debug(
            f"{core.id:x} recovered from needing snapshot, resumed sending replication messages to "
            f"{message.sender:x} [{printing.progress(progress)}]"
        )
        progress.become_probe()
        progress.become_replicate()


def handle_heartbeat_response(core: Core, message: Message, progress: Progress) -> None:
    progress.recently_active = True
    progress.flow_paused = False
    if progress.match < core.log.last_index() or progress.state == ProgressState.PROBE:
        send_append(core, message.sender)
    reading.confirm(core, message)


def handle_snapshot_status(core: Core, message: Message, progress: Progress) -> None:
    """The transport tells how sending a snapshot went. Either way the next append waits for an answer or heartbeat."""
    if progress.state != ProgressState.SNAPSHOT:
        return
    if message.reject:
        progress.pending_snapshot = 0
    progress.become_probe()
    outcome = "failed" if message.reject else "succeeded"
    core.logger.debug(
        f"{core.id:x} snapshot {outcome}, resumed sending replication messages to {message.sender:x} "
        f"[{printing.progress(progress)}]"
    )
    progress.flow_paused = True


def handle_unreachable(core: Core, message: Message, progress: Progress) -> None:
    """What was sent ahead is probably lost."""
    if progress.state == ProgressState.REPLICATE:
        progress.become_probe()
    core.logger.debug(
        f"{core.id:x} failed to send message to {message.sender:x} because it is unreachable "
        f"[{printing.progress(progress)}]"
    )


# --- leadership transfer --------------------------------------------------------------------------------------------


def handle_transfer_leader(core: Core, message: Message, progress: Progress) -> None:
    """Hand over to the sender of the message, as soon as its log is complete."""
    to = message.sender
    if not _may_transfer(core, to, progress):
        return
    core.logger.info(f"{core.id:x} [term {core.term}] starts to transfer leadership to {to:x}")
    core.election_elapsed = 0
    core.transferee = to
    if progress.match == core.log.last_index():
        core.send(Message(MessageType.TIMEOUT_NOW, to=to))
        core.logger.info(f"{core.id:x} sends MsgTimeoutNow to {to:x} immediately as {to:x} already has up-to-date log")
    else:
        send_append(core, to)


def _may_transfer(core: Core, to: int, progress: Progress) -> bool:
    if progress.is_learner:
        core.logger.debug(f"{core.id:x} is learner. Ignored transferring leadership")
        return False
    previous = core.transferee
    if previous == to:
        core.logger.info(
            f"{core.id:x} [term {core.term}] transfer leadership to {to:x} is in progress, "
            f"ignores request to same node {to:x}"
        )
        return False
    if previous != NONE:
        core.transferee = NONE
        core.logger.info(f"{core.id:x} [term {core.term}] abort previous transferring leadership to {previous:x}")
    if to == core.id:
        core.logger.debug(f"{core.id:x} is already leader. Ignored transferring leadership to self")
        return False
    return True


HANDLERS: Final[dict[MessageType, Callable[[Core, Message], None]]] = {
    MessageType.PROPOSAL: handle_proposal,
    MessageType.READ_INDEX: reading.handle_read_index,
    MessageType.APPEND_RESPONSE: step_peer(handle_append_response),
    MessageType.HEARTBEAT_RESPONSE: step_peer(handle_heartbeat_response),
    MessageType.SNAPSHOT_STATUS: step_peer(handle_snapshot_status),
    MessageType.UNREACHABLE: step_peer(handle_unreachable),
    MessageType.TRANSFER_LEADER: step_peer(handle_transfer_leader),
}
