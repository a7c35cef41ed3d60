"""Messages in and out of one node: bounds, reports, and what is refused."""

from collections.abc import Sequence
from typing import cast

import pytest

from dualmode import limits
from dualmode.member.exchange import PeerExchange
from dualmode.raft import Message, MessageType, PeerNotFound, RawNode


class Node:
    """A RawNode that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def step(self, message: Message) -> None:
        if message.sender == 9:
            raise PeerNotFound
        self.told.append(message)

    def report_unreachable(self, member_id: int) -> None:
        self.told.append(("unreachable", member_id))

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        self.told.append(("snapshot", member_id, ok))


class Wire:
    def __init__(self) -> None:
        self.sent: list[list[Message]] = []

    def send(self, messages: Sequence[Message]) -> None:
        self.sent.append(list(messages))


def exchange() -> tuple[PeerExchange, Node, list[None]]:
    node, woken = Node(), list[None]()
    return PeerExchange(cast(RawNode, node), lambda: woken.append(None)), node, woken


def message(kind: MessageType = MessageType.HEARTBEAT, sender: int = 2, to: int = 1) -> Message:
    return Message(kind, sender=sender, to=to)


def test_what_arrives_waits_for_the_next_turn() -> None:
    peers, node, woken = exchange()
    assert not peers.has_arrived
    first, second = message(), message(sender=3)
    peers.receive(first)
    peers.report_unreachable(3)
    peers.report_snapshot(2, True)
    peers.receive(second)
    assert node.told == []
    assert len(woken) == 4
    assert peers.has_arrived
    peers.take_in()
    assert node.told == [first, second, ("unreachable", 3), ("snapshot", 2, True)]
    assert not peers.has_arrived


def test_what_the_node_refuses_does_not_keep_it_from_the_rest() -> None:
    peers, node, _ = exchange()
    peers.receive(message(sender=9))
    peers.receive(message())
    peers.take_in()
    assert node.told == [message()]


def test_what_finds_no_room_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARRIVED_MESSAGES", 2)
    peers, node, _ = exchange()
    for _ in range(5):
        peers.receive(message())
    assert peers.dropped == 3
    peers.take_in()
    assert len(node.told) == 2


def test_the_same_report_is_made_once_in_a_turn() -> None:
    peers, node, _ = exchange()
    reported: list[int] = []
    peers.on_snapshot_reported = reported.append
    for _ in range(1000):
        peers.report_unreachable(2)
    peers.report_snapshot(2, False)
    peers.take_in()
    assert node.told == [("unreachable", 2), ("snapshot", 2, False)]
    assert reported == [2]
    peers.report_unreachable(2)
    peers.take_in()
    assert len(node.told) == 3


def test_snapshots_leave_by_their_own_way() -> None:
    peers, _, _ = exchange()
    wire, snapshots = Wire(), list[Message]()
    peers.peers, peers.send_snapshot = wire, snapshots.append
    one, snapshot, two = message(to=2), message(MessageType.SNAPSHOT, to=3), message(to=3)
    peers.send([one, two])
    peers.send([one, snapshot, two])
    assert wire.sent == [[one, two], [one, two]]
    assert snapshots == [snapshot]


def test_a_member_alone_sends_to_nobody() -> None:
    peers, node, _ = exchange()
    peers.send([message(), message(MessageType.SNAPSHOT)])
    assert node.told == []


def acknowledgement(index: int, *, reject: bool = False) -> Message:
    return Message(MessageType.APPEND_RESPONSE, sender=1, to=2, term=3, index=index, reject=reject)


def test_an_acknowledgement_is_not_given_twice_for_a_commit_index_alone() -> None:
    peers, _, _ = exchange()
    peers.peers = wire = Wire()
    peers.send([acknowledgement(5)])
    peers.send([acknowledgement(5)], commit_moved=True)
    assert wire.sent == [[acknowledgement(5)]]
    peers.send([acknowledgement(6)], commit_moved=True)
    peers.send([acknowledgement(6, reject=True)], commit_moved=True)
    assert wire.sent[1:] == [[acknowledgement(6)], [acknowledgement(6, reject=True)]]


def test_a_leader_that_asks_again_is_answered_again() -> None:
    """Without a new commit index it has not heard the answer; and after a tick one is given in any case."""
    peers, _, _ = exchange()
    peers.peers = wire = Wire()
    peers.send([acknowledgement(5)])
    peers.send([acknowledgement(5)])
    peers.tick()
    peers.send([acknowledgement(5)], commit_moved=True)
    assert wire.sent == [[acknowledgement(5)]] * 3
