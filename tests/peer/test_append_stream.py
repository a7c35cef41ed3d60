"""The stream of appends, in every cut."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.peer.append_stream import AppendDecoder, AppendEncoder, EntryBlocks
from dualmode.peer.codec import decode_entry, encode_message
from dualmode.peer.message_stream import HEARTBEAT
from dualmode.raft import Entry, EntryType, Message, MessageType
from dualmode.storage.raft_entries import encode_entries, encode_entry
from dualmode.storage.varints import varint
from tests.peer import captures
from tests.peer.cuts import fed

ME, PEER = 7, 8


def append(term: int, log_term: int, index: int, sizes: list[int], commit: int) -> Message:
    entries = [Entry(EntryType.NORMAL, term, number, bytes(size)) for number, size in enumerate(sizes, index + 1)]
    return Message(
        MessageType.APPEND,
        to=ME,
        sender=PEER,
        term=term,
        log_term=log_term,
        index=index,
        entries=entries,
        commit=commit,
    )


@st.composite
def a_leaders_appends(draw: st.DrawFn) -> list[Message]:
    """Mostly each goes on where the last one ended; now and then the leader goes back, or there is a new term."""
    found, term, index, log_term = [], 1, 0, 0
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["on", "on", "on", "back", "term"]))
        if kind == "back":
            index = draw(st.integers(0, index))
        elif kind == "term":
            log_term, term = term, term + 1
        sizes = draw(st.lists(st.integers(0, 20), max_size=4))
        found.append(append(term, log_term, index, sizes, draw(st.integers(0, index + len(sizes)))))
        if sizes:
            index, log_term = index + len(sizes), term
    return found


@given(a_leaders_appends(), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_what_is_sent_arrives_in_any_cuts(messages: list[Message], cuts: list[int]) -> None:
    encoder, decoder = AppendEncoder(), AppendDecoder(ME, PEER)
    data = b"".join(encoder.encode(message) + encoder.heartbeat for message in messages)
    assert fed(decoder, data, cuts) == messages


def test_who_goes_on_says_only_what_is_new() -> None:
    encoder = AppendEncoder()
    whole = append(2, 1, 4, [3], 4)
    assert encoder.encode(whole) == b"\x02" + len(encode_message(whole)).to_bytes(8, "big") + encode_message(whole)
    assert encoder.encode(append(2, 2, 5, [], 5)) == b"\x01" + bytes(8) + (5).to_bytes(8, "big")
    entries = [Entry(EntryType.NORMAL, 2, 6, captures.PUT), Entry(EntryType.NORMAL, 2, 7, captures.PUT)]
    one = append(2, 2, 5, [], 6)
    one.entries = entries[:1]
    encoder.encode(one)
    two = append(2, 2, 6, [], 7)
    two.entries = entries[1:]
    assert encoder.encode(two) == captures.APPENDED
    assert encoder.encode(append(2, 2, 6, [], 7))[0] == 2  # it goes back
    assert encoder.encode(append(3, 2, 6, [], 7))[0] == 2  # another leader's term


def a_leaders_turns() -> list[Message]:
    """Some that go on where the last one ended, and some that do not."""
    return [
        append(3, 3, 10, [1], 0),
        append(3, 3, 11, [6, 6, 6], 11),
        append(3, 3, 14, [], 14),
        append(3, 3, 14, [6, 7], 14),
        append(4, 4, 16, [7], 16),
        append(4, 4, 17, [7], 17),
        append(4, 4, 12, [7], 17),
        append(4, 4, 13, [7], 17),
    ]


def test_entries_that_a_peer_caught_up_with_do_not_keep_their_bytes() -> None:
    """A log of thousands of entries would be held twice."""
    blocks = EntryBlocks()
    old, new = append(2, 2, 5, [9, 9], 5).entries, append(2, 2, 7, [9], 5).entries
    blocks.block(old)
    blocks.block(new)
    assert [entry.encoded for entry in old] == [b"", b""]
    assert new[0].encoded == encode_entry(new[0])


def test_only_what_is_new_is_said() -> None:
    encoder = AppendEncoder()
    assert [encoder.encode(message)[0] for message in a_leaders_turns()] == [2, 1, 1, 1, 2, 1, 2, 1]


def test_a_leaders_turns_in_every_cut() -> None:
    encoder = AppendEncoder()
    data = encoder.heartbeat.join([b"", *(encoder.encode(message) for message in a_leaders_turns()), b""])
    for cut in range(len(data) + 1):
        decoder = AppendDecoder(ME, PEER)
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == a_leaders_turns()
    assert fed(AppendDecoder(ME, PEER), data, [1]) == a_leaders_turns()


def test_a_term_between_message_and_log_is_never_guessed() -> None:
    """The short form says that the entry before is of the sender's own term."""
    encoder = AppendEncoder()
    encoder.encode(append(3, 3, 10, [6], 0))
    assert encoder.encode(append(3, 2, 11, [6], 0))[0] == 2


def test_an_append_without_entries_says_how_far_is_committed() -> None:
    encoder, decoder = AppendEncoder(), AppendDecoder(ME, PEER)
    [first] = decoder.feed(encoder.encode(append(3, 3, 5, [6], 0)))
    [second] = decoder.feed(encoder.encode(append(3, 3, 6, [], 6)))
    assert (second.index, second.commit, list(second.entries)) == (6, 6, [])
    assert first.entries[0].type is EntryType.NORMAL


def test_a_capture_in_every_cut() -> None:
    begin = encode_message(append(2, 2, 5, [1], 6))
    data = b"\x00\x02" + len(begin).to_bytes(8, "big") + begin + b"\x00" + captures.APPENDED
    for first in range(len(data) + 1):
        decoder = AppendDecoder(ME, PEER)
        _, found = decoder.feed(data[:first]) + decoder.feed(data[first:])
        assert found == Message(
            MessageType.APPEND,
            to=ME,
            sender=PEER,
            term=2,
            log_term=2,
            index=6,
            entries=[Entry(EntryType.NORMAL, 2, 7, captures.PUT)],
            commit=7,
        )


@given(
    st.sampled_from([0, 1, 200, 0x3FFE, 0x4000, 0x7FFE, 0x1F_FFFE, 2**40]),
    st.sampled_from([1, 127, 128, 2**35]),
    st.lists(st.sampled_from([0, 1, 126, 127, 128, 129, 0x3FFF, 0x4000]), min_size=1, max_size=5),
    st.sampled_from(EntryType),
)
def test_what_is_read_quickly_is_what_protobuf_reads(index: int, term: int, sizes: list[int], kind: EntryType) -> None:
    """And an entry that keeps its bytes keeps the very bytes that would be written for it."""
    entries = [Entry(kind, term, number, b"d" * size) for number, size in enumerate(sizes, index + 1)]
    decoder = decoder_at(term, index)
    [message] = decoder.feed(unit(encode_entries(entries)))
    assert list(message.entries) == entries
    for entry in message.entries:
        assert type(entry.data) is bytes
        assert entry.encoded in (b"", encode_entry(entry))
    keeps = [entry.encoded != b"" for entry in message.entries]
    assert keeps == [kind is EntryType.NORMAL and 0 < len(entry.data) < 0x4000 for entry in entries]


@given(st.integers(0, 30), st.integers(0, 255), st.integers(-2, 3))
def test_a_changed_byte_is_read_as_protobuf_reads_it(position: int, byte: int, more: int) -> None:
    """Whatever is not exactly what an encoder writes goes the long way, so it cannot be taken for something else."""
    good = encode_entry(Entry(EntryType.NORMAL, 3, 0x4321, b"some data to be read"))
    bad = bytearray(good)
    bad[position % len(bad)] = byte
    data = bytes(bad) + bytes(more) if more >= 0 else bytes(bad[:more])
    try:
        expected: Entry | None = decode_entry(data)
    except PeerError:
        expected = None
    try:
        [message] = decoder_at(3, 0x4320).feed(unit([data]))
    except PeerError:
        assert expected is None
    else:
        [entry] = message.entries
        assert entry == expected
        assert entry.encoded in (b"", encode_entry(entry))


@pytest.mark.parametrize(
    "rest",
    [
        b'"' + varint(0),
        b'"\x81\x00' + b"d",
        b'"\x05' + b"d" * 4,
        b'"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01',
        b'"',
        b"",
    ],
)
def test_odd_lengths_of_data_are_not_believed(rest: bytes) -> None:
    data = b"\x08\x00\x10\x03\x18" + varint(0x4321) + rest
    try:
        expected: Entry | None = decode_entry(data)
    except PeerError:
        expected = None
    if expected is None:
        with pytest.raises(PeerError):
            decoder_at(3, 0x4320).feed(unit([data]))
    else:
        [message] = decoder_at(3, 0x4320).feed(unit([data]))
        assert list(message.entries) == [expected]
        assert message.entries[0].encoded == b""


def decoder_at(term: int, index: int) -> AppendDecoder:
    """One that has read up to here."""
    decoder = AppendDecoder(ME, PEER)
    decoder.feed(AppendEncoder().encode(append(term, term, index, [], 0)))
    return decoder


def unit(entries: list[bytes]) -> bytes:
    """The unit that says these entries."""
    parts = [b"".join((len(entry).to_bytes(8, "big"), entry)) for entry in entries]
    return b"".join((b"\x01", len(entries).to_bytes(8, "big"), *parts, bytes(8)))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x03", "a unit of kind 3"),
        (b"\x07", "a unit of kind 7"),
        (b"\x02" + (1 << 40).to_bytes(8, "big"), "at most"),
        (b"\x01" + (1).to_bytes(8, "big") + (1 << 40).to_bytes(8, "big"), "at most"),
        (b"\x02" + (1).to_bytes(8, "big") + b"\xff", "not a Raft message"),
        (b"\x02" + HEARTBEAT, "MsgHeartbeat on a stream of appends"),
        (b"\x02" + (limits.PEER_MESSAGE_BYTES + 1).to_bytes(8, "big"), "at most"),
        (b"\x01" + (1).to_bytes(8, "big") + (limits.PEER_MESSAGE_BYTES + 1).to_bytes(8, "big"), "at most"),
        (b"\x02" + (2).to_bytes(8, "big") + b"\xff\xff", "not a Raft message"),
        (b"\x01" + (1).to_bytes(8, "big") + (2).to_bytes(8, "big") + b"\xff\xff" + bytes(8), "not a Raft entry"),
        (b"\x02" + len(captures.HEARTBEAT).to_bytes(8, "big") + captures.HEARTBEAT, "MsgHeartbeat on a stream"),
    ],
)
def test_rubbish_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(PeerError, match=fault):
        AppendDecoder(ME, PEER).feed(data)


def test_more_entries_than_an_append_can_hold_are_refused_before_they_have_come() -> None:
    with pytest.raises(PeerError, match="entries"):
        AppendDecoder(ME, PEER).feed(b"\x01" + (limits.PEER_MESSAGE_BYTES // 8 + 1).to_bytes(8, "big"))
    with pytest.raises(PeerError, match="entries"):
        AppendDecoder(ME, PEER).feed(b"\x01" + b"\xff" * 8)
    # The most that can come is waited for, and takes no memory meanwhile.
    assert AppendDecoder(ME, PEER).feed(b"\x01" + limits.PEER_APPEND_ENTRIES.to_bytes(8, "big")) == []


@given(st.binary(max_size=100))
def test_anything_else_is_refused_or_waited_for(data: bytes) -> None:
    with contextlib.suppress(PeerError):
        AppendDecoder(ME, PEER).feed(data)
