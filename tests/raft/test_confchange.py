"""Changes of configurations: random walks keep the invariants, and a snapshot leads to the same place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.raft import ConfChangeRefused, ConfChangeSingle, ConfChangeType, ConfState
from dualmode.raft.confchange import Changer, check_invariants, restore
from dualmode.raft.progress import Inflights, Progress
from dualmode.raft.tracker import Configuration, Tracker

_CHANGES = st.lists(st.builds(ConfChangeSingle, st.sampled_from(ConfChangeType), st.integers(0, 5)), max_size=4)
_STEPS = st.lists(st.tuples(st.sampled_from(["simple", "enter", "leave"]), _CHANGES, st.booleans()), max_size=12)


def _walk(steps: list[tuple[str, list[ConfChangeSingle], bool]]) -> Tracker:
    tracker = Tracker(10)
    tracker.install(*Changer(tracker, 0).simple([ConfChangeSingle(ConfChangeType.ADD_NODE, 1)]))
    for last, (kind, changes, auto_leave) in enumerate(steps):
        before = tracker.configuration.clone()
        changer = Changer(tracker, last)
        try:
            if kind == "simple":
                outcome = changer.simple(changes)
            elif kind == "enter":
                outcome = changer.enter_joint(auto_leave, changes)
            else:
                outcome = changer.leave_joint()
        except ConfChangeRefused:
            assert tracker.configuration == before
            continue
        _check_step(kind, before, outcome[0])
        tracker.install(*outcome)
    return tracker


def _check_step(kind: str, before: Configuration, after: Configuration) -> None:
    """The safety of a step: old and new decisions always share a voter."""
    if kind == "simple":
        assert len(before.incoming ^ after.incoming) <= 1
        assert not after.joint
    elif kind == "enter":
        assert after.outgoing == before.incoming
    else:
        assert after.incoming == before.incoming
        assert not after.joint


@given(_STEPS)
def test_every_reachable_configuration_is_sound(steps: list[tuple[str, list[ConfChangeSingle], bool]]) -> None:
    tracker = _walk(steps)
    configuration = tracker.configuration
    check_invariants(configuration, tracker.progress)
    assert configuration.incoming
    assert set(tracker.progress) == configuration.incoming | configuration.outgoing | configuration.learners
    assert tracker.ids == tuple(sorted(tracker.progress))


@given(_STEPS)
def test_a_snapshot_restores_the_configuration(steps: list[tuple[str, list[ConfChangeSingle], bool]]) -> None:
    walked = _walk(steps)
    restored = Tracker(10)
    restore(restored, 7, walked.configuration.conf_state())
    assert restored.configuration == walked.configuration
    assert {peer: record.is_learner for peer, record in restored.progress.items()} == {
        peer: record.is_learner for peer, record in walked.progress.items()
    }
    assert all(record.next == 7 for record in restored.progress.values())


def test_nothing_restores_to_nothing() -> None:
    tracker = Tracker(10)
    restore(tracker, 7, ConfState())
    assert tracker.configuration == Configuration()
    assert tracker.ids == ()


def _progress(*learners: int, known: tuple[int, ...] = (1, 2, 3)) -> dict[int, Progress]:
    return {node: Progress(1, Inflights(1), learner=node in learners) for node in known}


@pytest.mark.parametrize(
    ("configuration", "progress", "complaint"),
    [
        (Configuration({1}), {}, "no progress for 1"),
        (Configuration({1}, {2}, learners_next={3}), _progress(), "3 is in LearnersNext, but not Voters[1]"),
        (
            Configuration({1}, {2}, learners_next={2}),
            _progress(2),
            "2 is in LearnersNext, but is already marked as learner",
        ),
        (Configuration({1}, {2}, {2}), _progress(2), "2 is in Learners and Voters[1]"),
        (Configuration({1}, set(), {1}), _progress(1), "1 is in Learners and Voters[0]"),
        (Configuration({1}, set(), {2}), _progress(), "2 is in Learners, but is not marked as learner"),
        (Configuration({1}, auto_leave=True), _progress(), "AutoLeave must be false when not joint"),
    ],
)
def test_invariants(configuration: Configuration, progress: dict[int, Progress], complaint: str) -> None:
    with pytest.raises(ConfChangeRefused) as refused:
        check_invariants(configuration, progress)
    assert str(refused.value) == complaint


def test_an_empty_configuration_cannot_become_joint() -> None:
    with pytest.raises(ConfChangeRefused, match="can't make a zero-voter config joint"):
        Changer(Tracker(1), 1).enter_joint(False, [])


def test_a_promoted_learner_keeps_its_progress() -> None:
    tracker = Tracker(10)
    tracker.install(*Changer(tracker, 0).simple([ConfChangeSingle(ConfChangeType.ADD_NODE, 1)]))
    tracker.install(*Changer(tracker, 5).simple([ConfChangeSingle(ConfChangeType.ADD_LEARNER_NODE, 2)]))
    tracker.progress[2].acknowledged(5)
    tracker.install(*Changer(tracker, 9).simple([ConfChangeSingle(ConfChangeType.ADD_NODE, 2)]))
    assert (tracker.progress[2].match, tracker.progress[2].is_learner) == (5, False)
