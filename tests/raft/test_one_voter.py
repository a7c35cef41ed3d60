"""The group most members are: one voter, driven as its owner drives it."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode.raft import (
    BrokenInvariant,
    ConfChange,
    ConfChangeType,
    Config,
    ConfState,
    EntryType,
    HardState,
    MemoryStorage,
    ProposalDropped,
    RawNode,
    ReadState,
    SoftState,
    StateType,
    decode_change,
)
from tests.raft.recording import Harness, RecordingLogger, entry, snapshot_of


def _leader(**settings: Any) -> Harness:
    harness = Harness((1,), **settings)
    harness.node.campaign()
    harness.settle()
    assert harness.node.state == StateType.LEADER
    harness.logger.take()
    return harness


def test_it_elects_itself_after_the_timeout() -> None:
    harness = Harness((1,))
    for _ in range(4):
        harness.node.tick()
        assert not harness.node.has_ready()
    harness.node.tick()
    first, second, third = harness.settle()
    assert (first.hard_state, first.must_sync, first.entries) == (HardState(1, 1, 10), True, [])
    assert second.soft_state == SoftState(1, StateType.LEADER)
    assert [item.index for item in second.entries] == [11]
    assert [item.index for item in third.committed_entries] == [11]
    node = harness.node
    assert (node.id, node.term, node.vote, node.leader, node.committed, node.applied) == (1, 1, 1, 1, 11, 11)


def test_a_batch_is_one_write_and_then_one_apply() -> None:
    harness = _leader()
    assert harness.node.propose_many([b"a", b"b", b"c"]) == 12
    assert harness.node.propose_many([b"d"]) == 15
    written = harness.turn()
    assert [item.data for item in written.entries] == [b"a", b"b", b"c", b"d"]
    assert {item.term for item in written.entries} == {1}
    assert (written.must_sync, written.committed_entries) == (True, [])
    applied = harness.turn()
    assert (applied.must_sync, applied.committed_entries) == (False, written.entries)
    assert applied.hard_state == HardState(1, 1, 15)
    assert not harness.node.has_ready()
    assert harness.logger.lines == [], "the hot path writes no log line"


def test_proposals_between_ready_and_advance_wait_for_the_next_ready() -> None:
    harness = _leader()
    harness.node.propose(b"first")
    ready = harness.node.ready()
    harness.persist(ready)
    harness.node.propose_many([b"second"])
    harness.node.advance(ready)
    both = harness.turn()
    assert [item.data for item in both.committed_entries] == [b"first"]
    assert [item.data for item in both.entries] == [b"second"]
    assert [item.data for item in harness.turn().committed_entries] == [b"second"]


def test_nothing_is_committed_before_it_is_written() -> None:
    harness = _leader()
    harness.node.propose(b"x")
    ready = harness.node.ready()
    assert harness.node.committed == 11
    harness.persist(ready)
    harness.node.advance(ready)
    assert harness.node.committed == 12


def test_only_a_leader_takes_a_batch() -> None:
    with pytest.raises(ProposalDropped):
        Harness((1,)).node.propose_many([b"x"])
    with pytest.raises(ProposalDropped):
        Harness((1,)).node.propose(b"x")
    with pytest.raises(ProposalDropped):
        _leader().node.propose_many([])


def test_uncommitted_payload_is_limited() -> None:
    harness = _leader(max_uncommitted_bytes=10)
    assert harness.node.propose_many([b"x" * 50]) == 12, "the first is always taken"
    with pytest.raises(ProposalDropped):
        harness.node.propose(b"y")
    assert harness.logger.take() == [
        "WARN 1 appending new entries to log would exceed uncommitted entry size limit; dropping proposal"
    ]
    harness.node.propose(b"")
    harness.settle()
    harness.node.propose_many([b"12345", b"12345"])
    with pytest.raises(ProposalDropped):
        harness.node.propose(b"1")
    harness.settle()
    harness.node.propose(b"1")


def test_reads_are_answered_at_once_after_the_first_commit() -> None:
    harness = Harness((1,), hard_state=HardState(1, 1, 10))
    harness.node.read_index(b"too early")
    assert "INFO 1 no leader at term 1; dropping index reading msg" in harness.logger.take()
    harness.node.campaign()
    harness.turn()
    assert harness.node.state == StateType.LEADER
    harness.node.read_index(b"early")
    assert harness.node.core.read_states == []
    readys = harness.settle()
    assert [state for ready in readys for state in ready.read_states] == [ReadState(11, b"early")]
    harness.node.read_index(b"now")
    assert harness.node.has_ready()
    assert harness.turn().read_states == [ReadState(11, b"now")]
    assert not harness.node.has_ready()


def test_it_goes_on_where_its_storage_ends() -> None:
    harness = _leader()
    harness.node.propose_many([b"a", b"b"])
    harness.settle()
    harness.node.propose(b"written, not committed")
    harness.persist(harness.node.ready())
    again = RawNode(Config(id=1, applied=12), harness.storage, harness.logger, lambda ticks: 0)
    assert (again.term, again.vote, again.committed, again.applied) == (1, 1, 13, 12)
    assert [item.index for item in again.ready().committed_entries] == [13]
    assert harness.logger.lines[-1] == (
        "INFO newRaft 1 [peers: [1], term: 1, commit: 13, applied: 12, lastindex: 14, lastterm: 1]"
    )


@pytest.mark.parametrize("commit", [9, 12])
def test_a_commit_index_out_of_the_log_is_fatal(commit: int) -> None:
    storage = MemoryStorage()
    storage.apply_snapshot(snapshot_of((1,)))
    storage.append([entry(11)])
    storage.set_hard_state(HardState(1, 1, commit))
    logger = RecordingLogger()
    with pytest.raises(BrokenInvariant):
        RawNode(Config(id=1), storage, logger, lambda ticks: 0)
    assert logger.lines[-1] == f"FATAL 1 state.commit {commit} is out of range [10, 11]"


def test_a_configuration_that_cannot_be_is_fatal() -> None:
    for state in (
        ConfState(voters=(1,), learners=(1,)),
        ConfState(learners=(1,)),
        ConfState(voters=(1,), auto_leave=True),
    ):
        storage = MemoryStorage()
        storage.apply_snapshot(snapshot_of(state.voters, learners=state.learners, auto_leave=state.auto_leave))
        with pytest.raises(BrokenInvariant):
            RawNode(Config(id=1), storage, RecordingLogger(), lambda ticks: 0)


def test_a_second_voter_is_added_and_removed() -> None:
    harness = _leader()
    harness.node.propose_conf_change(ConfChange(ConfChangeType.ADD_NODE, 2, b"context", id=7))
    harness.turn()
    ready = harness.node.ready()
    harness.persist(ready)
    (change_entry,) = ready.committed_entries
    assert change_entry.type == EntryType.CONF_CHANGE
    change = decode_change(change_entry)
    assert change == ConfChange(ConfChangeType.ADD_NODE, 2, b"context", id=7)
    assert harness.node.apply_conf_change(change) == ConfState(voters=(1, 2))
    harness.node.advance(ready)
    assert [message.to for message in harness.messages()] == [2]
    harness.node.propose(b"needs both")
    harness.settle()
    assert harness.node.committed == 12
    removal = ConfChange(ConfChangeType.REMOVE_NODE, 2)
    assert harness.node.apply_conf_change(removal) == ConfState(voters=(1,))
    assert harness.node.committed == 13


def test_a_committed_change_that_cannot_be_applied_is_fatal() -> None:
    harness = _leader()
    with pytest.raises(BrokenInvariant, match="removed all voters"):
        harness.node.apply_conf_change(ConfChange(ConfChangeType.REMOVE_NODE, 1))


def test_the_cycle_is_enforced() -> None:
    harness = _leader()
    ready = harness.node.ready()
    with pytest.raises(BrokenInvariant):
        harness.node.ready()
    with pytest.raises(AssertionError):
        harness.node.advance(_leader().node.ready())
    harness.node.advance(ready)
    asynchronous = Harness((1,), async_storage_writes=True)
    with pytest.raises(BrokenInvariant):
        asynchronous.node.advance(asynchronous.node.ready())


@pytest.mark.plain  # compiled, the last one is a TypeError
@pytest.mark.parametrize(
    "settings",
    [
        {"id": 0},
        {"id": 1, "heartbeat_ticks": 0},
        {"id": 1, "election_ticks": 1},
        {"id": 1, "max_inflight_messages": 0},
        {"id": 1, "max_committed_bytes": 0},
        {"id": 1, "read_only": 1},
    ],
)
def test_settings_that_cannot_work(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Config(**settings).check()  # type: ignore[arg-type]


def test_status_shows_progress_only_on_a_leader() -> None:
    harness = Harness((1,))
    assert harness.node.status().progress == {}
    status = _leader().node.status()
    assert (status.id, status.applied, status.transferee, status.soft_state.leader) == (1, 11, 0, 1)
    assert status.progress[1].match == 11
    assert status.configuration.incoming == {1}
    assert status.hard_state == HardState(1, 1, 11)
