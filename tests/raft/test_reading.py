"""Reads: which index a leader answers with, and when it may."""

from __future__ import annotations

from dualmode.raft import Entry, HardState, Message, MessageType, ReadOnlyOption, ReadState
from tests.raft.leading import acknowledge, heartbeat_response, leader
from tests.raft.recording import Harness

M = MessageType


def _contexts(messages: list[Message]) -> list[bytes]:
    return [message.context for message in messages if message.type == M.HEARTBEAT and message.to == 2]


def test_a_quorum_confirms_reads_in_order() -> None:
    harness = leader((1, 2, 3, 4, 5))
    harness.node.read_index(b"first")
    (one,) = _contexts(harness.messages())
    harness.node.step(Message(M.READ_INDEX, to=1, sender=3, entries=[Entry(data=b"second")]))
    (two,) = _contexts(harness.messages())
    assert (one, two) == ((1).to_bytes(8, "little"), (2).to_bytes(8, "little"))
    heartbeat_response(harness, 2, two)
    heartbeat_response(harness, 2, one)
    assert harness.settle() == [], "node 2 and the leader are no quorum of five"
    heartbeat_response(harness, 4, one)
    (ready,) = harness.settle()
    assert (ready.read_states, ready.messages) == ([ReadState(11, b"first")], [])
    heartbeat_response(harness, 4, two)
    (answer,) = harness.messages()
    assert (answer.type, answer.to, answer.index) == (M.READ_INDEX_RESPONSE, 3, 11)
    assert [item.data for item in answer.entries] == [b"second"]
    harness.node.tick()
    assert _contexts(harness.messages()) == [b""], "nobody waits any more"


def test_contexts_that_are_not_ours_confirm_nothing() -> None:
    harness = leader()
    harness.node.read_index(b"r")
    harness.settle()
    for context in (b"", b"short", (7).to_bytes(8, "little"), b"much too long"):
        heartbeat_response(harness, 2, context)
    assert harness.settle() == []


def test_a_new_leader_postpones_reads() -> None:
    harness = Harness((1, 2, 3), hard_state=HardState(1, 1, 10))
    harness.node.campaign()
    harness.settle()
    harness.node.step(Message(M.VOTE_RESPONSE, to=1, sender=2, term=2))
    harness.settle()
    harness.node.read_index(b"r")
    harness.node.step(Message(M.READ_INDEX, to=1, sender=2))
    assert harness.settle() == []
    acknowledge(harness, 2, 11)
    (context,) = _contexts(harness.messages())
    heartbeat_response(harness, 3, context)
    (ready,) = harness.settle()
    assert ready.read_states == [ReadState(11, b"r")]


def test_a_lease_answers_at_once() -> None:
    harness = leader(check_quorum=True, read_only=ReadOnlyOption.LEASE_BASED)
    harness.node.read_index(b"r")
    (ready,) = harness.settle()
    assert ready.read_states == [ReadState(11, b"r")]
    heartbeat_response(harness, 2, (1).to_bytes(8, "little"))
    assert harness.settle() == []


def test_an_answer_to_a_follower_becomes_a_read_state() -> None:
    harness = Harness((1, 2))
    harness.node.step(Message(M.HEARTBEAT, to=1, sender=2, term=1))
    harness.settle()
    answer = Message(M.READ_INDEX_RESPONSE, to=1, sender=2, term=1, index=10, entries=[Entry(data=b"r")])
    harness.node.step(answer)
    (ready,) = harness.settle()
    assert ready.read_states == [ReadState(10, b"r")]
    answer.entries = []
    harness.node.step(answer)
    assert harness.logger.lines[-1] == "ERROR 1 invalid format of MsgReadIndexResp from 2, entries count: 0"
