"""Decides: when a configuration becomes active, and what follows from that at once."""

from __future__ import annotations

from dualmode.raft import confchange, printing
from dualmode.raft.changes import ConfChangeTransition, ConfChangeV2
from dualmode.raft.core import Core
from dualmode.raft.errors import ConfChangeRefused, ProposalDropped
from dualmode.raft.proposals import propose
from dualmode.raft.replication import broadcast_append, maybe_commit, send_append
from dualmode.raft.types import NONE, ConfState, Entry, EntryType, StateType


def apply_change(core: Core, change: ConfChangeV2) -> ConfState:
    """A committed change takes effect. Returns the new configuration. A change that is refused here was committed by
    mistake: that is fatal."""
    auto = change.transition == ConfChangeTransition.AUTO
    try:
        changer = confchange.Changer(core.tracker, core.log.last_index())
        if auto and not change.changes:
            outcome = changer.leave_joint()
        elif not auto or len(change.changes) > 1:
            auto_leave = change.transition != ConfChangeTransition.JOINT_EXPLICIT
            outcome = changer.enter_joint(auto_leave, change.changes)
        else:
            outcome = changer.simple(change.changes)
    except ConfChangeRefused as error:
        core.fatal(str(error))
    core.tracker.install(*outcome)
    return activate(core)


def restore_configuration(core: Core, state: ConfState, last_index: int) -> None:
    """Take the configuration of a snapshot; the tracker is empty. Fatal if that does not give back what it says."""
    try:
        confchange.restore(core.tracker, last_index, state)
    except ConfChangeRefused as error:
        core.fatal(f"unable to restore config {printing.conf_state(state)}: {error}")
    restored = activate(core)
    wanted = ConfState(
        tuple(sorted(state.voters)),
        tuple(sorted(state.learners)),
        tuple(sorted(state.voters_outgoing)),
        tuple(sorted(state.learners_next)),
        state.auto_leave,
    )
    if restored != wanted:
        core.fatal(
            f"restored config {printing.conf_state(restored)} differs from the stored {printing.conf_state(wanted)}"
        )


def activate(core: Core) -> ConfState:
    """The installed configuration holds from now on: another quorum may commit more, new peers get a first append."""
    tracker = core.tracker
    core.logger.info(f"{core.id:x} switched to configuration {printing.configuration(tracker.configuration)}")
    state = tracker.configuration.conf_state()
    own = tracker.progress.get(core.id)
    core.is_learner = own is not None and own.is_learner
    if core.state != StateType.LEADER:
        return state
    if own is None or own.is_learner:
        if core.config.step_down_on_removal:
            core.become_follower(core.term, NONE)
        # Otherwise it leads on until its entries are committed and somebody else takes over.
        return state
    if not tracker.configuration.incoming:
        return state
    if maybe_commit(core):
        broadcast_append(core)
    else:
        for peer in tracker.others(core.id):
            send_append(core, peer, empty_wanted=False)
    if core.transferee != NONE and core.transferee not in tracker.configuration.voters():
        core.transferee = NONE
    return state


def leave_automatically(core: Core) -> None:
    """Once the change that made the configuration joint has been applied, the leader proposes to leave it."""
    configuration = core.tracker.configuration
    if not configuration.auto_leave or core.state != StateType.LEADER or core.log.applied < core.pending_conf_index:
        return
    text = f"initiating automatic transition out of joint configuration {printing.configuration(configuration)}"
    try:
        propose(core, [Entry(EntryType.CONF_CHANGE_V2)])
    except ProposalDropped as error:
        core.logger.debug(f"not {text}: {error}")
    else:
        core.logger.info(text)
