"""Decides: how a leader answers a request for a read index."""

from __future__ import annotations

from dualmode.raft import quorum
from dualmode.raft.config import ReadOnlyOption
from dualmode.raft.core import Core
from dualmode.raft.replication import broadcast_heartbeat, committed_in_own_term
from dualmode.raft.types import NONE, Message, MessageType, ReadState


def handle_read_index(core: Core, request: Message) -> None:
    """Answer at once where that is safe, otherwise once a quorum has confirmed the leader.

    Before its first commit a leader may not know what its predecessors committed: requests wait for it. That holds for
    a single voter as well, whose stored commit index may lag behind what it had acknowledged before a restart.
    """
    if not request.entries:
        return
    if not committed_in_own_term(core):
        core.reads.postponed.append(request)
        return
    _serve(core, request)


def _serve(core: Core, request: Message) -> None:
    if core.tracker.singleton or core.config.read_only == ReadOnlyOption.LEASE_BASED:
        _answer(core, core.log.commit, request)
        return
    core.reads.add(core.log.commit, request)
    core.reads.acknowledge_all(core.id)
    broadcast_heartbeat(core)


def release_postponed(core: Core) -> None:
    """Called when the leader has committed something."""
    if not core.reads.postponed:
        return
    if not committed_in_own_term(core):
        core.logger.error("pending MsgReadIndex should be released only after first commit in current term")
        return
    waiting, core.reads.postponed = core.reads.postponed, []
    for request in waiting:
        _serve(core, request)


def confirm(core: Core, response: Message) -> None:
    """A heartbeat response may confirm the leader for the requests up to its context."""
    if core.config.read_only != ReadOnlyOption.SAFE or not response.context:
        return
    core.reads.acknowledge(response.sender, response.context)
    configuration = core.tracker.configuration
    position = quorum.joint_committed(configuration.incoming, configuration.outgoing, core.reads.acknowledged)
    for index, request in core.reads.release(position):
        _answer(core, index, request)


def _answer(core: Core, index: int, request: Message) -> None:
    if request.sender in (NONE, core.id):
        core.read_states.append(ReadState(index, request.entries[0].data))
    else:
        core.send(Message(MessageType.READ_INDEX_RESPONSE, to=request.sender, index=index, entries=request.entries))
