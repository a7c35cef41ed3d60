"""Decides: what a segment of the write-ahead log says: its frames taken apart strictly, one record after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from google_crc32c import extend as extend_crc

from dualmode.errors import StorageError
from dualmode.storage.varints import read_varint
from dualmode.storage.wal.records import CRC, LENGTH_FIELD, METADATA, SNAPSHOT, HardState, LogEntry

#: No cluster holds so many elections or entries: a larger number is a flipped bit that the checksum does not cover.
_PLAUSIBLE: Final = 1 << 56
_LENGTH_MASK: Final = (1 << 56) - 1
_ZEROS: Final = bytes(1 << 20)


class Damage(Exception):  # noqa: N818 - a finding, which becomes a StorageError or a repair
    """A frame at `offset` is not what an encoder wrote."""

    def __init__(self, offset: int, reason: str, record_end: int | None = None) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason
        #: Where the record ends according to its length field, None when that makes no sense either.
        self.record_end = record_end


class Record(NamedTuple):
    """One record: where its frame begins and ends, its type, the checksum it carries, its data."""

    offset: int
    end: int
    type: int
    crc: int
    data: bytes | None


def scan(segment: bytes) -> Iterator[Record]:
    """The records of a segment up to the end of what was written. Raises `Damage`. Checksums are the caller's."""
    offset, size = 0, len(segment)
    while offset < size:
        if size - offset < 8:
            raise Damage(offset, "the file ends inside a length field", size)
        (length_field,) = LENGTH_FIELD.unpack_from(segment, offset)
        if length_field == 0:
            if not is_zero(segment, offset, size):
                raise Damage(offset, "bytes behind the end of the log are not zero")
            return
        record = read_frame(segment, offset, length_field)
        yield record
        offset = record.end


def read_frame(segment: bytes, offset: int, length_field: int) -> Record:
    """The frame at `offset`. Raises `Damage`."""
    length, padding = length_field & _LENGTH_MASK, length_field >> 56
    if padding:
        if not 0x81 <= padding <= 0x87:
            raise Damage(offset, "impossible length field")
        padding &= 7
    if length == 0 or -length & 7 != padding:
        raise Damage(offset, "impossible length field")
    end = offset + 8 + length
    if end > len(segment):
        raise Damage(offset, "the record goes on behind the end of the file", len(segment))
    record_type, crc, data = parse_record(segment[offset + 8 : end], offset, end)
    if not is_zero(segment, end, min(end + padding, len(segment))):  # a file may end inside it: nothing is missing
        raise Damage(offset, "the padding behind a record is not zero", end)
    return Record(offset, end + padding, record_type, crc, data)


def is_zero(segment: bytes, start: int, end: int) -> bool:
    """Whether nothing but zeros stands in [start, end): a preallocated tail, padding, a sector."""
    for position in range(start, end, len(_ZEROS)):
        piece = segment[position : min(end, position + len(_ZEROS))]
        if piece != _ZEROS[: len(piece)]:
            return False
    return True


def parse_record(record: bytes, offset: int, end: int) -> tuple[int, int, bytes | None]:
    """(type, crc, data) of a serialised `walpb.Record`. Raises `Damage`."""
    size = len(record)
    if size < 4 or record[0] != 0x08 or record[2] != 0x10 or not METADATA <= record[1] <= SNAPSHOT:
        raise Damage(offset, "unreadable record", end)
    try:
        crc, position = read_varint(record, 3)
        if position == size:
            return record[1], crc, None
        if record[position] != 0x1A:
            raise Damage(offset, "unreadable record", end)
        length, position = read_varint(record, position + 1)
    except (StorageError, IndexError):
        raise Damage(offset, "unreadable record", end) from None
    if position + length != size:
        raise Damage(offset, "unreadable record", end)
    return record[1], crc, record[position:]


def chained_crc(record: Record, running: int | None) -> int:
    """The running checksum behind `record`, `running` being the one before it (None: this record begins the reading).

    Raises `Damage` when they do not fit together.
    """
    if record.type == CRC:
        if record.data is not None or (running is not None and record.crc != running):
            raise Damage(record.offset, "checksum of the segments does not go on", record.end)
        return record.crc
    if record.data is None or running is None:
        raise Damage(record.offset, "unreadable record", record.end)
    crc: int = extend_crc(running, record.data)
    if crc != record.crc:
        raise Damage(record.offset, "checksum mismatch", record.end)
    return crc


def decode_entry(record: Record) -> LogEntry:
    """The Raft entry in a record of type ENTRY. Raises `Damage`."""
    assert record.data is not None
    numbers, position = _numbers(record, 3)
    data = record.data
    payload = b""
    if position != len(data):
        if data[position] != 0x22:
            raise Damage(record.offset, "unreadable entry", record.end)
        try:
            length, position = read_varint(data, position + 1)
        except (StorageError, IndexError):
            raise Damage(record.offset, "unreadable entry", record.end) from None
        payload = data[position:]
        if len(payload) != length:
            raise Damage(record.offset, "unreadable entry", record.end)
    entry_type, term, index = numbers
    if entry_type > 2 or term >= _PLAUSIBLE or not 0 < index < _PLAUSIBLE:
        raise Damage(record.offset, "impossible entry", record.end)
    return LogEntry(entry_type, term, index, payload)


def decode_hard_state(record: Record) -> HardState:
    """(term, vote, commit) of a record of type STATE. Raises `Damage`."""
    assert record.data is not None
    (term, vote, commit), position = _numbers(record, 3)
    if position != len(record.data) or term >= _PLAUSIBLE or commit >= _PLAUSIBLE:
        raise Damage(record.offset, "impossible hard state", record.end)
    return term, vote, commit


def decode_snapshot(record: Record) -> tuple[int, int]:
    """(index, term) of a record of type SNAPSHOT. Raises `Damage`."""
    assert record.data is not None
    (index, term), position = _numbers(record, 2)
    if position != len(record.data) and record.data[position] != 0x1A:
        raise Damage(record.offset, "impossible snapshot record", record.end)
    if index >= _PLAUSIBLE or term >= _PLAUSIBLE:
        raise Damage(record.offset, "impossible snapshot record", record.end)
    return index, term


def _numbers(record: Record, count: int) -> tuple[list[int], int]:
    """The first `count` fields of the data, which are numbers with field numbers 1, 2, 3."""
    data = record.data
    assert data is not None
    numbers: list[int] = []
    position = 0
    try:
        for field in range(1, count + 1):
            if data[position] != field << 3:
                raise Damage(record.offset, "unreadable record data", record.end)
            number, position = read_varint(data, position + 1)
            numbers.append(number)
    except (StorageError, IndexError):
        raise Damage(record.offset, "unreadable record data", record.end) from None
    return numbers, position
