"""The two streams between members, whole and in every cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.peer.append_stream import AppendDecoder, AppendEncoder
from dualmode.peer.message_stream import HEARTBEAT, MessageDecoder, MessageEncoder
from dualmode.raft import Entry, EntryType, Message, MessageType
from tests.peer import samples


def fed(decoder: MessageDecoder | AppendDecoder, data: bytes, cuts: list[int]) -> list[Message]:
    """What a decoder makes of bytes that come in pieces."""
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [message for low, high in pairwise(bounds) for message in decoder.feed(data[low:high])]


@given(
    st.lists(samples.messages().filter(lambda one: one.type is not MessageType.SNAPSHOT), max_size=5),
    st.lists(st.integers(0, 2000), max_size=6),
)
def test_messages_in_any_cut(messages: list[Message], cuts: list[int]) -> None:
    messages = [message for message in messages if message.to or message.sender]
    encoder = MessageEncoder()
    data = HEARTBEAT.join([b"", *(encoder.encode(message) for message in messages), b""])
    assert fed(MessageDecoder(), data, cuts) == messages


def test_a_heartbeat_of_raft_is_no_heartbeat_of_the_stream() -> None:
    beat = Message(MessageType.HEARTBEAT, to=1, sender=2, term=3, entries=[])
    assert MessageDecoder().feed(HEARTBEAT + MessageEncoder().encode(beat)) == [beat]


def appends() -> list[Message]:
    """Some that go on where the last one ended, and some that do not."""
    return [
        samples.append(10, 1),
        samples.append(11, 3, commit=11),
        samples.append(14, 0, commit=14),
        samples.append(14, 2, commit=14),
        samples.append(16, 1, term=4, commit=16),
        samples.append(17, 1, term=4, commit=17),
        samples.append(12, 1, term=4, commit=17),
        samples.append(13, 1, term=4, commit=17),
    ]


def test_only_what_is_new_is_said() -> None:
    encoder = AppendEncoder()
    kinds = [encoder.encode(message)[0] for message in appends()]
    assert kinds == [2, 1, 1, 1, 2, 1, 2, 1]


def test_appends_in_every_cut() -> None:
    encoder = AppendEncoder()
    data = encoder.heartbeat.join([b"", *(encoder.encode(message) for message in appends()), b""])
    for cut in range(len(data) + 1):
        assert fed(AppendDecoder(1, 2), data, [cut]) == appends()
    assert fed(AppendDecoder(1, 2), data, list(range(len(data)))) == appends()


def test_a_term_between_message_and_log_is_never_guessed() -> None:
    """The short form says that the entry before is of the sender's own term."""
    encoder = AppendEncoder()
    encoder.encode(samples.append(10, 1))
    older = Message(MessageType.APPEND, to=1, sender=2, term=3, log_term=2, index=11, entries=[Entry(term=3, index=12)])
    assert encoder.encode(older)[0] == 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x07", "a unit of kind 7"),
        (b"\x02" + (1 << 40).to_bytes(8, "big"), "at most"),
        (b"\x01" + (1).to_bytes(8, "big") + (1 << 40).to_bytes(8, "big"), "at most"),
        (b"\x02" + (1).to_bytes(8, "big") + b"\xff", "not a Raft message"),
        (b"\x02" + len(HEARTBEAT[8:]).to_bytes(8, "big") + HEARTBEAT[8:], "MsgHeartbeat on a stream of appends"),
    ],
)
def test_what_no_sound_peer_sends_on_a_stream_of_appends(data: bytes, told: str) -> None:
    with pytest.raises(PeerError, match=told):
        AppendDecoder(1, 2).feed(data)


def test_a_count_that_cannot_come_takes_no_memory() -> None:
    decoder = AppendDecoder(1, 2)
    assert decoder.feed(b"\x01" + limits.PEER_APPEND_ENTRIES.to_bytes(8, "big")) == []
    with pytest.raises(PeerError, match="entries"):
        AppendDecoder(1, 2).feed(b"\x01" + b"\xff" * 8)


def test_a_message_that_is_too_large() -> None:
    with pytest.raises(PeerError, match="at most"):
        MessageDecoder().feed((limits.PEER_MESSAGE_BYTES + 1).to_bytes(8, "big"))


def test_an_append_without_entries_says_how_far_is_committed() -> None:
    encoder, decoder = AppendEncoder(), AppendDecoder(1, 2)
    first = samples.append(5, 1)
    [_] = decoder.feed(encoder.encode(first))
    [second] = decoder.feed(encoder.encode(samples.append(6, 0, commit=6)))
    assert (second.index, second.commit, list(second.entries)) == (6, 6, [])
    assert first.entries[0].type is EntryType.NORMAL
