"""Progress of one peer, and the window of messages on their way to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dualmode.raft.progress import Inflights, Progress, ProgressState


class WindowMachine(RuleBasedStateMachine):
    """The window against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Inflights(max_count=4, max_bytes=100)
        self.model: list[tuple[int, int]] = []
        self.index = 0

    @precondition(lambda self: not self.window.full)
    @rule(step=st.integers(1, 3), size=st.integers(0, 60))
    def add(self, step: int, size: int) -> None:
        self.index += step
        self.window.add(self.index, size)
        self.model.append((self.index, size))

    @rule(back=st.integers(-1, 12))
    def free(self, back: int) -> None:
        self.window.free_to(self.index - back)
        self.model = [(index, size) for index, size in self.model if index > self.index - back]

    @rule()
    def clear(self) -> None:
        self.window.clear()
        self.model = []

    @invariant()
    def same(self) -> None:
        assert len(self.window) == len(self.model)
        assert self.window.bytes == sum(size for _, size in self.model)
        assert self.window.full == (len(self.model) >= 4 or self.window.bytes >= 100)


TestWindow = WindowMachine.TestCase
TestWindow.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class ProgressMachine(RuleBasedStateMachine):
    """Whatever happens to a progress, what it says stays possible."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress(1, Inflights(max_count=3))
        self.matched = 0

    @precondition(lambda self: not self.progress.paused)
    @rule(count=st.integers(0, 3), size=st.integers(0, 9))
    def send(self, count: int, size: int) -> None:
        if self.progress.state == ProgressState.REPLICATE and self.progress.inflights.full:
            count = 0
        before = self.progress.next
        self.progress.sent_entries(count, size)
        expected = before + count if self.progress.state == ProgressState.REPLICATE else before
        assert self.progress.next == expected

    @rule(ahead=st.integers(-3, 3))
    def acknowledge(self, ahead: int) -> None:
        index = max(self.progress.match + ahead, 0)
        assert self.progress.acknowledged(index) == (index > self.matched)
        self.matched = max(self.matched, index)
        self.progress.inflights.free_to(index)

    @rule(back=st.integers(0, 4), hint=st.integers(0, 12))
    def reject(self, back: int, hint: int) -> None:
        index = max(self.progress.next - 1 - back, 0)
        if self.progress.rejected(index, hint):
            assert self.progress.next <= max(index, self.progress.match + 1)

    @rule()
    def probe(self) -> None:
        self.progress.become_probe()

    @rule()
    def replicate(self) -> None:
        self.progress.become_replicate()

    @rule(ahead=st.integers(1, 5))
    def snapshot(self, ahead: int) -> None:
        self.progress.become_snapshot(self.progress.match + ahead)
        assert self.progress.paused

    @invariant()
    def possible(self) -> None:
        progress = self.progress
        assert progress.match == self.matched
        assert progress.next > progress.match
        assert (progress.pending_snapshot != 0) == (progress.state == ProgressState.SNAPSHOT)
        assert len(progress.inflights) == 0 or progress.state == ProgressState.REPLICATE


TestProgress = ProgressMachine.TestCase
TestProgress.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_one_message_may_overshoot_the_bytes() -> None:
    window = Inflights(max_count=10, max_bytes=10)
    window.add(1, 9)
    assert not window.full
    window.add(2, 500)
    assert window.full
    window.free_to(1)
    assert window.full
    window.free_to(2)
    assert not window.full


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 20))
def test_a_commit_index_helps_only_if_the_peer_could_use_it(match: int, ahead: int, commit: int) -> None:
    progress = Progress(match + 1 + ahead, Inflights(9), match=match)
    progress.sent_commit = match
    assert progress.commit_may_help(commit) == (commit > match and ahead > 0)


def test_a_failed_snapshot_is_not_counted_on() -> None:
    progress = Progress(3, Inflights(9), match=2)
    progress.become_snapshot(10)
    assert progress.next == 11
    progress.pending_snapshot = 0
    progress.become_probe()
    assert (progress.next, progress.sent_commit) == (3, 2)


@pytest.mark.plain
def test_a_clone_is_a_progress_of_its_own() -> None:
    progress = Progress(3, Inflights(9), match=2, learner=True, active=True)
    progress.become_snapshot(10)
    clone = progress.clone()
    assert all(getattr(clone, name) == getattr(progress, name) for name in Progress.__slots__)
    clone.become_probe()
    assert progress.state == ProgressState.SNAPSHOT
