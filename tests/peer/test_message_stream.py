"""The stream of all kinds of messages, in every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.peer.message_stream import HEARTBEAT, MessageDecoder, MessageEncoder
from dualmode.raft import Message, MessageType, Snapshot
from tests.peer import captures, strategies
from tests.peer.cuts import fed


def test_the_heartbeat_is_etcds() -> None:
    assert len(captures.LINK_HEARTBEAT).to_bytes(8, "big") + captures.LINK_HEARTBEAT == HEARTBEAT


def test_a_capture_in_every_cut() -> None:
    framed = len(captures.HEARTBEAT).to_bytes(8, "big") + captures.HEARTBEAT
    data = HEARTBEAT + framed + HEARTBEAT + framed
    for first in range(len(data) + 1):
        decoder = MessageDecoder()
        found = decoder.feed(data[:first]) + decoder.feed(data[first:])
        assert [(one.type, one.sender, one.commit) for one in found] == [
            (MessageType.HEARTBEAT, captures.LEADER, 4)
        ] * 2


spoken = strategies.messages().filter(lambda message: message.type is not MessageType.SNAPSHOT)


@given(st.lists(spoken, max_size=5), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_what_is_sent_arrives_in_any_cuts(messages: list[Message], cuts: list[int]) -> None:
    encoder, decoder = MessageEncoder(), MessageDecoder()
    data = b"".join(encoder.encode(message) + encoder.heartbeat for message in messages)
    said = [one for one in messages if one.type is not MessageType.HEARTBEAT or one.to or one.sender]
    assert fed(decoder, data, cuts) == said


def test_a_message_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(PeerError, match="at most"):
        MessageDecoder().feed((limits.PEER_MESSAGE_BYTES + 1).to_bytes(8, "big"))
    assert MessageDecoder().feed(limits.PEER_MESSAGE_BYTES.to_bytes(8, "big")) == []


def test_a_snapshot_without_its_database_is_refused() -> None:
    """Raft would take it, and there would be nothing to put in the store's place."""
    with pytest.raises(PeerError, match="MsgSnap on a stream"):
        MessageDecoder().feed(MessageEncoder().encode(Message(MessageType.SNAPSHOT, snapshot=Snapshot())))


def test_rubbish_is_refused() -> None:
    with pytest.raises(PeerError, match="not a Raft message"):
        MessageDecoder().feed((3).to_bytes(8, "big") + b"\xff\xff\xff")


def test_a_heartbeat_of_raft_is_no_heartbeat_of_the_stream() -> None:
    beat = Message(MessageType.HEARTBEAT, to=1, sender=2, term=3, entries=[])
    assert MessageDecoder().feed(HEARTBEAT + MessageEncoder().encode(beat)) == [beat]
