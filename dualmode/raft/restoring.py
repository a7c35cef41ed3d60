"""Decides: whether a follower takes a snapshot from the leader, and what it then becomes."""

from __future__ import annotations

from dualmode.raft import membership, printing
from dualmode.raft.core import Core
from dualmode.raft.tracker import Tracker
from dualmode.raft.types import NONE, Message, MessageType, Snapshot, StateType


def handle_snapshot(core: Core, message: Message) -> None:
    snapshot = message.snapshot or Snapshot()
    restored = _restore(core, snapshot)
    verb = "restored" if restored else "ignored"
    core.logger.info(
        f"{core.id:x} [commit: {core.log.commit}] {verb} snapshot "
        f"[index: {snapshot.metadata.index}, term: {snapshot.metadata.term}]"
    )
    index = core.log.last_index() if restored else core.log.commit
    core.send(Message(MessageType.APPEND_RESPONSE, to=message.sender, index=index))


def _restore(core: Core, snapshot: Snapshot) -> bool:
    """Replace log and configuration by the snapshot. False if there is no need, or it must not be."""
    index, term = snapshot.metadata.index, snapshot.metadata.term
    if index <= core.log.commit:
        return False
    if core.state != StateType.FOLLOWER:
        core.logger.warning(f"{core.id:x} attempted to restore snapshot as leader; should never happen")
        core.become_follower(core.term + 1, NONE)
        return False
    state = snapshot.metadata.conf_state
    members = (*state.voters, *state.learners, *state.voters_outgoing)
    if core.id not in members:
        core.logger.warning(
            f"{core.id:x} attempted to restore snapshot but it is not in the ConfState "
            f"{printing.conf_state(state)}; should never happen"
        )
        return False
    if core.log.matches(index, term):
        _log(core, "fast-forwarded commit to", snapshot)
        core.log.commit_to(index)
        return False
    core.log.restore(snapshot)
    core.restored_index = index
    core.tracker = Tracker(core.config.max_inflight_messages, core.config.max_inflight_bytes)
    membership.restore_configuration(core, state, core.log.last_index())
    _log(core, "restored", snapshot)
    return True


def _log(core: Core, did: str, snapshot: Snapshot) -> None:
    core.logger.info(
        f"{core.id:x} [commit: {core.log.commit}, lastindex: {core.log.last_index()}, "
        f"lastterm: {core.log.last_term()}] {did} snapshot "
        f"[index: {snapshot.metadata.index}, term: {snapshot.metadata.term}]"
    )
