"""Decides: what a configuration change makes of a configuration and its progress map.

Every operation works on copies and gives them back; the caller installs them. So a refused change changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from dualmode.raft.changes import ConfChangeSingle, ConfChangeType
from dualmode.raft.errors import ConfChangeRefused
from dualmode.raft.progress import Progress
from dualmode.raft.tracker import Configuration, ProgressMap, Tracker
from dualmode.raft.types import ConfState

Outcome = tuple[Configuration, ProgressMap]


class Changer:
    """Changes to what `tracker` has installed now. `last_index` is where the log of a new node is expected to end."""

    def __init__(self, tracker: Tracker, last_index: int) -> None:
        self._tracker = tracker
        self._last_index = last_index
        check_invariants(tracker.configuration, tracker.progress)
        self._configuration = tracker.configuration.clone()
        self._progress = {peer: record.clone() for peer, record in tracker.progress.items()}

    def simple(self, changes: Iterable[ConfChangeSingle]) -> Outcome:
        """At most one voter comes or goes: any two majorities, before and after, still share a node."""
        if self._configuration.joint:
            raise ConfChangeRefused("can't apply simple config change in joint config")
        before = set(self._configuration.incoming)
        self._apply(changes)
        if len(before ^ self._configuration.incoming) > 1:
            raise ConfChangeRefused("more than one voter changed without entering joint config")
        return self._outcome()

    def enter_joint(self, auto_leave: bool, changes: Iterable[ConfChangeSingle]) -> Outcome:
        """From here on both the old and the new voters must agree, until the joint configuration is left."""
        if self._configuration.joint:
            raise ConfChangeRefused("config is already joint")
        if not self._configuration.incoming:
            raise ConfChangeRefused("can't make a zero-voter config joint")
        self._configuration.outgoing = set(self._configuration.incoming)
        self._apply(changes)
        self._configuration.auto_leave = auto_leave
        return self._outcome()

    def leave_joint(self) -> Outcome:
        """Only the new voters count from here on; voters that were to be learners become so now."""
        configuration = self._configuration
        if not configuration.joint:
            raise ConfChangeRefused("can't leave a non-joint config")
        for learner in configuration.learners_next:
            configuration.learners.add(learner)
            self._progress[learner].is_learner = True
        for voter in configuration.outgoing - configuration.incoming - configuration.learners:
            del self._progress[voter]
        configuration.learners_next = set()
        configuration.outgoing = set()
        configuration.auto_leave = False
        return self._outcome()

    def _outcome(self) -> Outcome:
        check_invariants(self._configuration, self._progress)
        return self._configuration, self._progress

    def _apply(self, changes: Iterable[ConfChangeSingle]) -> None:
        for change in changes:
            if change.node_id == 0:
                continue
            if change.type == ConfChangeType.ADD_NODE:
                self._make_voter(change.node_id)
            elif change.type == ConfChangeType.ADD_LEARNER_NODE:
                self._make_learner(change.node_id)
            elif change.type == ConfChangeType.REMOVE_NODE:
                self._remove(change.node_id)
        if not self._configuration.incoming:
            raise ConfChangeRefused("removed all voters")

    def _new_progress(self, node: int, learner: bool) -> None:
        """A new node counts as active at first, so that check-quorum gives it time to answer."""
        next_index = max(self._last_index, 1)
        self._progress[node] = Progress(next_index, self._tracker.new_inflights(), learner=learner, active=True)

    def _make_voter(self, node: int) -> None:
        if node in self._progress:
            self._progress[node].is_learner = False
            self._configuration.learners.discard(node)
            self._configuration.learners_next.discard(node)
        else:
            self._new_progress(node, learner=False)
        self._configuration.incoming.add(node)

    def _make_learner(self, node: int) -> None:
        """A voter of the outgoing half stays one until the joint configuration is left, and is noted for then."""
        record = self._progress.get(node)
        if record is None:
            self._new_progress(node, learner=True)
            self._configuration.learners.add(node)
            return
        if record.is_learner:
            return
        self._remove(node)
        self._progress[node] = record
        if node in self._configuration.outgoing:
            self._configuration.learners_next.add(node)
        else:
            record.is_learner = True
            self._configuration.learners.add(node)

    def _remove(self, node: int) -> None:
        if node not in self._progress:
            return
        self._configuration.incoming.discard(node)
        self._configuration.learners.discard(node)
        self._configuration.learners_next.discard(node)
        if node not in self._configuration.outgoing:
            del self._progress[node]


def check_invariants(configuration: Configuration, progress: ProgressMap) -> None:
    """Raises `ConfChangeRefused` for a configuration that must not be."""
    incoming, outgoing = configuration.incoming, configuration.outgoing
    for node in sorted(incoming | outgoing | configuration.learners | configuration.learners_next):
        if node not in progress:
            raise ConfChangeRefused(f"no progress for {node}")
    for node in sorted(configuration.learners_next):
        if node not in outgoing:
            raise ConfChangeRefused(f"{node} is in LearnersNext, but not Voters[1]")
        if progress[node].is_learner:
            raise ConfChangeRefused(f"{node} is in LearnersNext, but is already marked as learner")
    for node in sorted(configuration.learners):
        if node in outgoing:
            raise ConfChangeRefused(f"{node} is in Learners and Voters[1]")
        if node in incoming:
            raise ConfChangeRefused(f"{node} is in Learners and Voters[0]")
        if not progress[node].is_learner:
            raise ConfChangeRefused(f"{node} is in Learners, but is not marked as learner")
    if not configuration.joint:
        # An absent outgoing half is an empty set here, so that part of the rule holds by itself.
        if configuration.learners_next:
            raise ConfChangeRefused("cfg.LearnersNext must be nil when not joint")
        if configuration.auto_leave:
            raise ConfChangeRefused("AutoLeave must be false when not joint")


def restore(tracker: Tracker, last_index: int, state: ConfState) -> None:
    """Build the configuration that a snapshot describes in a `tracker` that is still empty.

    The way there is a sequence of ordinary changes, so that nothing can arise from a snapshot that could not arise from
    changes. Raises `ConfChangeRefused`.
    """

    def single(kind: ConfChangeType, nodes: Iterable[int]) -> list[ConfChangeSingle]:
        return [ConfChangeSingle(kind, node) for node in nodes]

    incoming = single(ConfChangeType.ADD_NODE, state.voters)
    learners = single(ConfChangeType.ADD_LEARNER_NODE, (*state.learners, *state.learners_next))
    if not state.voters_outgoing:
        for change in incoming + learners:
            tracker.install(*Changer(tracker, last_index).simple([change]))
        return
    for change in single(ConfChangeType.ADD_NODE, state.voters_outgoing):
        tracker.install(*Changer(tracker, last_index).simple([change]))
    removals = single(ConfChangeType.REMOVE_NODE, state.voters_outgoing)
    changer = Changer(tracker, last_index)
    tracker.install(*changer.enter_joint(state.auto_leave, removals + incoming + learners))
