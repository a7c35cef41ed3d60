"""One node of three, told by hand what the others say: what transcripts cannot set up."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode.raft import (
    APPEND_THREAD,
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Entry,
    EntryType,
    HardState,
    LocalMessage,
    Message,
    MessageType,
    PeerNotFound,
    ProposalDropped,
    RaftError,
    Snapshot,
    SnapshotTemporarilyUnavailable,
    StateType,
)
from dualmode.raft.progress import ProgressState
from tests.raft.leading import acknowledge, heartbeat_response, leader
from tests.raft.recording import Harness, entry, snapshot_of

M = MessageType


def _sizes(messages: list[Message], to: int) -> list[int]:
    return [len(message.entries) for message in messages if message.to == to and message.type == M.APPEND]


# --- limits -------------------------------------------------------------------------------------------------------


def test_a_message_holds_what_fits_and_at_least_one_entry() -> None:
    harness = leader(max_message_bytes=40)
    harness.node.report_unreachable(2)
    harness.node.propose_many([b"x" * 10] * 4 + [b"y" * 500] + [b"z"])
    assert _sizes(harness.messages(), to=3) == [2]
    acknowledge(harness, 3, 13)
    assert _sizes(harness.messages(), to=3) == [2, 1, 1]


def test_one_entry_at_a_time() -> None:
    harness = leader(max_message_bytes=0)
    harness.node.propose_many([b"a", b"b", b"c"])
    assert _sizes(harness.messages(), to=2) == [1]
    acknowledge(harness, 2, 12)
    assert _sizes(harness.messages(), to=2) == [1, 1]


def test_bytes_in_flight_are_limited() -> None:
    harness = leader(max_inflight_bytes=100)
    harness.node.propose(b"x" * 60)
    harness.node.propose(b"x" * 60)
    harness.node.propose(b"x")
    assert _sizes(harness.messages(), to=2) == [1, 1]
    assert harness.node.status().progress[2].paused
    acknowledge(harness, 2, 12)
    assert _sizes(harness.messages(), to=2) == [1]


# --- snapshots ----------------------------------------------------------------------------------------------------


def _needs_snapshot() -> Harness:
    """Peer 3 has lost everything, and the log is gone up to 12."""
    harness = leader()
    harness.node.propose(b"x")
    harness.settle()
    acknowledge(harness, 2, 12)
    harness.settle()
    harness.storage.create_snapshot(12, snapshot_of((1, 2, 3)).metadata.conf_state, b"data")
    harness.storage.compact(12)
    harness.node.report_unreachable(3)
    harness.logger.take()
    return harness


def _reject(harness: Harness, peer: int) -> None:
    index = harness.node.status().progress[peer].next - 1
    harness.node.step(
        Message(M.APPEND_RESPONSE, to=1, sender=peer, term=1, index=index, reject=True, reject_hint=10, log_term=1)
    )


@pytest.mark.parametrize("ok", [True, False])
def test_reports_about_snapshots(ok: bool) -> None:
    harness = _needs_snapshot()
    harness.node.report_snapshot(3, ok)
    assert harness.logger.take() == [], "nobody waits for a snapshot"
    heartbeat_response(harness, 3)
    (message,) = harness.messages()
    assert message.type == M.SNAPSHOT
    assert message.snapshot is not None
    assert message.snapshot.data == b"data"
    assert harness.node.status().progress[3].state == ProgressState.SNAPSHOT
    harness.logger.take()
    harness.node.report_snapshot(3, ok)
    outcome, next_index = ("succeeded", 13) if ok else ("failed", 12)
    assert harness.logger.take() == [
        f"DEBUG 1 snapshot {outcome}, resumed sending replication messages to 3 [StateProbe match=11 next={next_index}]"
    ]
    progress = harness.node.status().progress[3]
    assert (progress.state, progress.paused) == (ProgressState.PROBE, True)
    harness.node.report_snapshot(9, ok)
    assert harness.logger.take() == ["DEBUG 1 no progress available for 9"]


@pytest.mark.plain
def test_a_snapshot_in_the_making_is_asked_for_again() -> None:
    harness = _needs_snapshot()
    made = harness.storage.snapshot

    def unavailable() -> Snapshot:
        raise SnapshotTemporarilyUnavailable

    harness.storage.snapshot = unavailable  # type: ignore[method-assign]
    heartbeat_response(harness, 3)
    assert harness.messages() == []
    assert harness.logger.take() == ["DEBUG 1 failed to send snapshot to 3 because snapshot is temporarily unavailable"]
    harness.storage.snapshot = made  # type: ignore[method-assign]
    heartbeat_response(harness, 3)
    assert [message.type for message in harness.messages()] == [M.SNAPSHOT]


def test_a_silent_peer_gets_no_snapshot() -> None:
    harness = _needs_snapshot()
    harness.node.core.tracker.progress[3].recently_active = False
    harness.node.propose(b"y")
    assert {message.to for message in harness.messages()} == {2}
    assert "DEBUG ignore sending snapshot to 3 since it is not recently active" in harness.logger.take()


def test_a_snapshot_for_others_is_not_restored() -> None:
    harness = Harness((1, 2))
    harness.node.step(Message(M.SNAPSHOT, to=1, sender=2, term=1, snapshot=snapshot_of((2, 3), index=20)))
    assert any("attempted to restore snapshot but it is not in the ConfState" in line for line in harness.logger.lines)
    (answer,) = harness.messages()
    assert (answer.type, answer.index) == (M.APPEND_RESPONSE, 10)


def test_a_message_without_its_snapshot_is_ignored() -> None:
    harness = Harness((1, 2))
    harness.node.step(Message(M.SNAPSHOT, to=1, sender=2, term=1))
    assert harness.logger.lines[-1] == "INFO 1 [commit: 10] ignored snapshot [index: 0, term: 0]"


# --- terms and elections ------------------------------------------------------------------------------------------


def test_a_pre_vote_of_a_lower_term_is_refused() -> None:
    harness = Harness((1, 2, 3))
    harness.node.step(Message(M.HEARTBEAT, to=1, sender=2, term=5))
    harness.settle()
    harness.logger.take()
    harness.node.step(Message(M.PRE_VOTE, to=1, sender=3, term=4, index=20, log_term=4))
    assert harness.logger.take() == [
        "INFO 1 [logterm: 1, index: 10, vote: 0] rejected MsgPreVote from 3 [logterm: 4, index: 20] at term 5"
    ]
    (answer,) = harness.messages()
    assert (answer.type, answer.term, answer.reject) == (M.PRE_VOTE_RESPONSE, 5, True)


@pytest.mark.parametrize("settings", [{}, {"pre_vote": True}, {"check_quorum": True}])
def test_a_leader_of_a_lower_term_is_told_where_it_could_get_stuck(settings: dict[str, Any]) -> None:
    harness = Harness((1, 2, 3), **settings)
    harness.node.step(Message(M.HEARTBEAT, to=1, sender=2, term=5))
    harness.settle()
    harness.node.step(Message(M.APPEND, to=1, sender=3, term=4, index=10, log_term=1))
    answers = harness.messages()
    assert [(answer.type, answer.to, answer.term, answer.index) for answer in answers] == (
        [(M.APPEND_RESPONSE, 3, 5, 0)] if settings else []
    )


def test_a_rejected_pre_vote_response_of_a_higher_term_ends_the_attempt() -> None:
    harness = Harness((1, 2, 3), pre_vote=True)
    harness.node.campaign()
    harness.settle()
    harness.node.step(Message(M.PRE_VOTE_RESPONSE, to=1, sender=2, term=9, reject=True))
    assert (harness.node.state, harness.node.term) == (StateType.FOLLOWER, 9)


def test_votes_count_once_and_only_of_the_right_kind() -> None:
    harness = Harness((1, 2, 3, 4, 5))
    harness.node.campaign()
    harness.settle()
    harness.node.step(Message(M.PRE_VOTE_RESPONSE, to=1, sender=2, term=1))
    harness.node.step(Message(M.VOTE_RESPONSE, to=1, sender=3, term=1))
    harness.node.step(Message(M.VOTE_RESPONSE, to=1, sender=3, term=1))
    harness.node.step(Message(M.VOTE_RESPONSE, to=1, sender=3, term=1, reject=True))
    assert harness.node.state == StateType.CANDIDATE
    assert harness.logger.lines[-1] == "INFO 1 has received 2 MsgVoteResp votes and 0 vote rejections"
    harness.node.step(Message(M.VOTE_RESPONSE, to=1, sender=4, term=1))
    assert harness.node.state == StateType.LEADER


def test_a_candidate_follows_whoever_leads_its_term() -> None:
    for kind in (M.APPEND, M.HEARTBEAT, M.SNAPSHOT):
        harness = Harness((1, 2, 3))
        harness.node.campaign()
        harness.settle()
        harness.node.step(Message(kind, to=1, sender=3, term=1, index=10, log_term=1))
        assert (harness.node.state, harness.node.leader, harness.node.term) == (StateType.FOLLOWER, 3, 1)


def test_a_candidate_ignores_the_request_to_take_over() -> None:
    harness = Harness((1, 2, 3))
    harness.node.campaign()
    harness.settle()
    harness.logger.take()
    harness.node.step(Message(M.TIMEOUT_NOW, to=1, sender=2, term=1))
    assert harness.logger.take() == ["DEBUG 1 [term 1 state StateCandidate] ignored MsgTimeoutNow from 2"]
    for send in (harness.node.forget_leader, lambda: harness.node.transfer_leader(2)):
        send()
    assert harness.logger.take() == []


def test_a_pre_candidate_that_was_demoted_meanwhile_warns() -> None:
    harness = Harness((1, 2, 3), pre_vote=True)
    harness.node.campaign()
    harness.settle()
    harness.node.apply_conf_change(ConfChange(ConfChangeType.REMOVE_NODE, 1))
    harness.logger.take()
    for peer in (2, 3):
        harness.node.step(Message(M.PRE_VOTE_RESPONSE, to=1, sender=peer, term=1))
    assert "WARN 1 is unpromotable; campaign() should have been called" in harness.logger.lines


def test_a_leader_that_hears_from_nobody_steps_down() -> None:
    harness = leader(check_quorum=True)
    for _ in range(6):
        harness.node.tick()
    assert harness.node.state == StateType.FOLLOWER
    assert "WARN 1 stepped down to follower since quorum is not active" in harness.logger.lines


def test_a_snapshot_written_in_an_older_term_still_counts() -> None:
    harness = Harness((1, 2), async_storage_writes=True)
    harness.node.step(Message(M.SNAPSHOT, to=1, sender=2, term=1, snapshot=snapshot_of((1, 2), index=20)))
    (work,) = harness.node.ready().messages
    assert work.type == M.STORAGE_APPEND
    harness.node.step(Message(M.HEARTBEAT, to=1, sender=2, term=2))
    harness.node.campaign()
    assert "WARN 1 is unpromotable and can not campaign" in harness.logger.lines
    assert work.snapshot is not None
    harness.storage.apply_snapshot(work.snapshot)
    harness.node.step(next(response for response in work.responses if response.to == 1))
    assert harness.node.applied == 20
    harness.node.campaign()
    assert harness.node.state == StateType.CANDIDATE


def test_a_change_that_a_snapshot_has_overtaken_is_not_made_again() -> None:
    harness = Harness((1, 2))
    change = ConfChange(ConfChangeType.REMOVE_NODE, 2)
    harness.node.step(Message(M.SNAPSHOT, to=1, sender=2, term=1, snapshot=snapshot_of((1, 2, 3), index=20)))
    assert harness.node.apply_conf_change(change, index=20).voters == (1, 2, 3)
    assert harness.node.apply_conf_change(change, index=21).voters == (1, 3)


def test_heartbeats_at_their_interval() -> None:
    harness = leader(heartbeat_ticks=2, election_ticks=10)
    counts = []
    for _ in range(5):
        harness.node.tick()
        counts.append(len(harness.messages()))
    assert counts == [0, 2, 0, 2, 0]


# --- committing -----------------------------------------------------------------------------------------------------


def test_entries_of_former_terms_are_not_committed_by_counting() -> None:
    """A quorum that holds an old entry may still lose it to a candidate with a later one (Raft paper, figure 8)."""
    harness = Harness((1, 2, 3), hard_state=HardState(2, 0, 10))
    harness.node.step(Message(M.APPEND, to=1, sender=3, term=2, index=10, log_term=1, entries=[entry(11, 2)]))
    harness.settle()
    harness.node.campaign()
    harness.settle()
    harness.node.step(Message(M.VOTE_RESPONSE, to=1, sender=2, term=3))
    harness.settle()
    acknowledge(harness, 2, 11)
    assert harness.node.committed == 10
    acknowledge(harness, 2, 12)
    assert harness.node.committed == 12


def test_a_follower_commits_only_what_the_leader_has_confirmed() -> None:
    """Behind the entries of a message the log may hold others, which the leader's commit index does not mean."""
    harness = Harness((1, 2, 3))
    stale = [entry(11, 1, b"a"), entry(12, 1, b"never committed")]
    harness.node.step(Message(M.APPEND, to=1, sender=3, term=1, index=10, log_term=1, entries=stale))
    harness.settle()
    first = Message(M.APPEND, to=1, sender=2, term=2, index=10, log_term=1, entries=stale[:1], commit=12)
    harness.node.step(first)
    assert harness.node.committed == 11


def test_a_snapshot_that_leaves_a_gap_does_not_end_the_wait() -> None:
    harness = _needs_snapshot()
    heartbeat_response(harness, 3)
    harness.settle()
    harness.node.propose(b"y")
    harness.settle()
    acknowledge(harness, 2, 13)
    harness.settle()
    harness.storage.compact(13)
    harness.logger.take()
    acknowledge(harness, 3, 12)
    assert harness.logger.take() == []
    progress = harness.node.status().progress[3]
    assert (progress.state, progress.match, progress.pending_snapshot) == (ProgressState.SNAPSHOT, 12, 12)
    acknowledge(harness, 3, 13)
    assert harness.node.status().progress[3].state == ProgressState.REPLICATE


def test_leaving_a_joint_configuration_is_proposed_once() -> None:
    harness = leader()
    harness.node.apply_conf_change(
        ConfChangeV2((ConfChangeSingle(ConfChangeType.REMOVE_NODE, 3),), transition=ConfChangeTransition.JOINT_IMPLICIT)
    )
    harness.node.propose(b"x")
    harness.node.propose(b"y")
    harness.settle()
    leaving = []
    for index in (12, 13):
        acknowledge(harness, 2, index)
        leaving += [item for ready in harness.settle() for item in ready.entries]
    assert harness.node.applied == 13
    assert leaving == [Entry(EntryType.CONF_CHANGE_V2, 1, 14, b"")]


# --- what is refused at the door ------------------------------------------------------------------------------------


def test_the_filter_for_messages_from_outside() -> None:
    harness = leader()
    for kind in (M.HUP, M.BEAT, M.UNREACHABLE, M.SNAPSHOT_STATUS, M.CHECK_QUORUM, M.STORAGE_APPLY_RESPONSE):
        with pytest.raises(LocalMessage, match="raft: cannot step raft local message"):
            harness.node.step(Message(kind, to=1, sender=2))
    for kind in (M.APPEND_RESPONSE, M.HEARTBEAT_RESPONSE, M.VOTE_RESPONSE, M.READ_INDEX_RESPONSE):
        with pytest.raises(PeerNotFound, match="raft: cannot step as peer not found"):
            harness.node.step(Message(kind, to=1, sender=9, term=1))
    harness.node.step(Message(M.STORAGE_APPEND_RESPONSE, to=1, sender=APPEND_THREAD, term=1))


@pytest.mark.parametrize("kind", [M.VOTE, M.PRE_VOTE_RESPONSE, M.APPEND, M.HEARTBEAT, M.TIMEOUT_NOW])
def test_a_message_without_a_term_is_refused(kind: MessageType) -> None:
    harness = Harness((1, 2))
    with pytest.raises(RaftError, match=f"{kind.printed} from 2 has no term"):
        harness.node.step(Message(kind, to=1, sender=2))
    assert not harness.node.has_ready()


def test_a_proposal_of_nothing_is_refused() -> None:
    with pytest.raises(RaftError, match="MsgProp from 2 has no entries"):
        leader().node.step(Message(M.PROPOSAL, to=1, sender=2))


@pytest.mark.parametrize("indexes", [[12], [10], [11, 13], [11, 11]])
def test_entries_that_do_not_follow_each_other_are_refused(indexes: list[int]) -> None:
    harness = Harness((1, 2))
    entries = [entry(index) for index in indexes]
    with pytest.raises(RaftError, match="MsgApp from 2 after 10"):
        harness.node.step(Message(M.APPEND, to=1, sender=2, term=1, index=10, log_term=1, entries=entries))
    assert harness.node.core.log.last_index() == 10


def test_an_append_below_the_commit_index_is_answered_with_it() -> None:
    harness = Harness((1, 2))
    harness.node.step(Message(M.APPEND, to=1, sender=2, term=1, index=4, log_term=1, entries=[entry(5)]))
    (answer,) = harness.messages()
    assert (answer.type, answer.index, answer.reject) == (M.APPEND_RESPONSE, 10, False)


def test_a_proposal_delivered_twice_makes_two_entries() -> None:
    harness = leader()
    message = Message(M.PROPOSAL, to=1, sender=2, entries=[Entry(data=b"x")])
    harness.node.step(message)
    harness.node.step(message)
    (ready, *_) = harness.settle()
    assert [(item.index, item.data) for item in ready.entries] == [(12, b"x"), (13, b"x")]
    assert message.entries[0].index == 0


def test_an_undecodable_change_is_dropped() -> None:
    harness = leader()
    broken = Entry(EntryType.CONF_CHANGE_V2, data=b"\x08")
    with pytest.raises(ProposalDropped):
        harness.node.step(Message(M.PROPOSAL, to=1, sender=2, entries=[broken]))
    assert not harness.node.has_ready()


def test_a_follower_that_does_not_forward() -> None:
    harness = Harness((1, 2), disable_proposal_forwarding=True)
    harness.node.step(Message(M.HEARTBEAT, to=1, sender=2, term=1))
    with pytest.raises(ProposalDropped):
        harness.node.propose(b"x")
    assert harness.logger.lines[-1] == "INFO 1 not forwarding to leader 2 at term 1; dropping proposal"


def test_forwarded_messages_keep_their_sender() -> None:
    harness = Harness((1, 2, 3))
    harness.node.step(Message(M.HEARTBEAT, to=1, sender=2, term=4))
    harness.settle()
    transfer = Message(M.TRANSFER_LEADER, to=1, sender=3, term=4)
    harness.node.step(transfer)
    harness.node.propose(b"x")
    harness.node.read_index(b"r")
    forwarded = harness.messages()
    assert [(message.type, message.sender, message.to, message.term) for message in forwarded] == [
        (M.TRANSFER_LEADER, 3, 2, 4),
        (M.PROPOSAL, 1, 2, 0),
        (M.READ_INDEX, 1, 2, 0),
    ]
    assert (transfer.to, transfer.term) == (1, 4)
