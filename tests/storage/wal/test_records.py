"""Frames and records against protobuf, and against bytes of real etcd."""

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import raftpb, walpb
from dualmode.storage.raft_entries import encode_entry
from dualmode.storage.varints import varint
from dualmode.storage.wal import records
from dualmode.storage.wal.records import Encoder, LogEntry, encode_hard_state, encode_snapshot
from dualmode.storage.wal.replay import Replay
from dualmode.storage.wal.scan import (
    Damage,
    decode_entry,
    decode_hard_state,
    decode_snapshot,
    parse_record,
    scan,
)

UINT64 = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1))
NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, (1 << 50)))
ENTRIES = st.builds(
    LogEntry,
    st.integers(0, 2),
    NUMBERS,
    st.one_of(st.integers(1, 300), st.integers(1, 1 << 50)),
    st.binary(max_size=40),
)


def test_the_first_record_of_a_log_is_etcds() -> None:
    assert records.frame(records.CRC, 0, None) == bytes.fromhex("04000000000000840804100000000000")


@given(ENTRIES)
def test_an_entry_has_gogos_bytes(entry: LogEntry) -> None:
    message = raftpb.Entry(Type=entry.type, Term=entry.term, Index=entry.index)
    if entry.data:
        message.Data = entry.data
    assert encode_entry(entry) == message.SerializeToString()


@given(NUMBERS, UINT64, NUMBERS)
def test_a_hard_state_has_gogos_bytes(term: int, vote: int, commit: int) -> None:
    message = raftpb.HardState(term=term, vote=vote, commit=commit)
    assert encode_hard_state((term, vote, commit)) == message.SerializeToString()


@given(NUMBERS, NUMBERS)
def test_a_snapshot_record_has_gogos_bytes(index: int, term: int) -> None:
    message = walpb.Snapshot(index=index, term=term)
    assert encode_snapshot(index, term, None) == message.SerializeToString()
    message.conf_state.CopyFrom(raftpb.ConfState(voters=[1, 2]))
    conf_state = message.conf_state.SerializeToString()
    assert encode_snapshot(index, term, conf_state) == message.SerializeToString()


@given(st.lists(ENTRIES, max_size=6), st.integers(0, (1 << 32) - 1))
def test_the_fast_encoder_gives_what_the_plain_one_gives(entries: list[LogEntry], crc: int) -> None:
    fast, plain = Encoder(crc), Encoder(crc)
    expected = [plain.record(records.ENTRY, encode_entry(entry)) for entry in entries]
    assert b"".join(fast.entries(entries)) == b"".join(expected)
    assert fast.crc == plain.crc


@given(st.lists(ENTRIES, max_size=6), st.binary(max_size=20), st.integers(0, 3))
def test_what_is_written_is_read(entries: list[LogEntry], metadata: bytes, zeros: int) -> None:
    encoder = Encoder()
    segment = encoder.segment_head(metadata, (1, 2, 3)) + b"".join(encoder.entries(entries))
    segment += encoder.record(records.SNAPSHOT, encode_snapshot(4, 5, b"conf")) + bytes(8 * zeros)
    head, meta, state, *body, snapshot = scan(segment)
    assert (head.type, head.crc, head.data) == (records.CRC, 0, None)
    assert (meta.type, meta.data) == (records.METADATA, metadata)
    assert decode_hard_state(state) == (1, 2, 3)
    assert [decode_entry(record) for record in body] == entries
    assert decode_snapshot(snapshot) == (4, 5)
    crc = google_crc32c.value(b"")
    for record in (meta, state, *body, snapshot):
        crc = google_crc32c.extend(crc, record.data)
        assert record.crc == crc
        message = walpb.Record.FromString(
            segment[record.offset + 8 : record.offset + 8 + frame_length(segment, record.offset)]
        )
        assert (message.type, message.crc, message.data) == (record.type, record.crc, record.data)


def frame_length(segment: bytes, offset: int) -> int:
    return int.from_bytes(segment[offset : offset + 7], "little")


@pytest.mark.parametrize(
    ("record_type", "data"),
    [
        (records.METADATA, None),
        (records.ENTRY, None),
        (records.CRC, b"x"),
        (records.ENTRY, b""),
        (records.ENTRY, b"\x08\x00\x10\x01\x18"),
        (records.ENTRY, b"\x08\x00\x10\x01\x18\x01\x2a\x00"),
        (records.ENTRY, b"\x08\x00\x10\x01\x18\x01\x22\x05abc"),
        (records.ENTRY, b"\x08\x00\x10\x01\x18\x01\x22"),
        (records.ENTRY, b"\x08\x03\x10\x01\x18\x01"),
        (records.ENTRY, b"\x08\x00\x10\x01\x18\x00"),
        (records.STATE, b"\x08\x01\x10\x01"),
        (records.STATE, b"\x08\x01\x10\x01\x18\x01\x20\x01"),
        (records.SNAPSHOT, b"\x08\x01"),
        (records.SNAPSHOT, b"\x08\x01\x10\x01\x20\x01"),
        (records.SNAPSHOT, b"\x08" + varint(1 << 60) + b"\x10\x01"),
        (records.SNAPSHOT, b"\x08" + b"\xff" * 11 + b"\x10\x01"),
    ],
)
def test_records_with_a_right_checksum_and_impossible_content_are_damage(record_type: int, data: bytes | None) -> None:
    encoder = Encoder()
    segment = encoder.segment_head(b"", None)
    with pytest.raises(Damage) as raised:
        Replay().take(segment + encoder.record(record_type, data))
    assert raised.value.offset == len(segment)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x08\x02\x10",
        b"\x08\x06\x10\x00",
        b"\x08\x02\x10\x00\x22\x00",
        b"\x08\x02\x10\xff",
        b"\x08\x02\x10\x00\x1a",
    ],
)
def test_what_is_no_record_is_damage(record: bytes) -> None:
    with pytest.raises(Damage, match="unreadable record"):
        parse_record(record, 0, len(record))


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("0000000000000001-00000000000000ff.wal", (1, 255)),
        ("0000000000000001-00000000000000ff.wal.broken", None),
        ("0.tmp", None),
        ("000000000000000g-0000000000000000.wal", None),
        ("0000000000000000_0000000000000000.wal", None),
    ],
)
def test_segment_names(name: str, parsed: tuple[int, int] | None) -> None:
    assert records.parse_segment_name(name) == parsed
    if parsed:
        assert records.segment_name(*parsed) == name
