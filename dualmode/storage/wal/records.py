"""Decides: the bytes of the write-ahead log: frames, records and the checksum chain through them (etcd's format).

    segment = frame*  zeros
    frame   = length field (8, little-endian), record, 0 to 7 zeros so that the next frame is 8-aligned
    length  = n, or (0x80 | padding) << 56 | n when there is padding; 0 where nothing was written yet
    record  = walpb.Record { type = 1, crc = 2, data = 3 }, proto2: numbers are always there

`crc` is CRC-32C over the data of all records so far, also of earlier segments: each segment begins with a record of
type CRC that carries the value on. Type and length are not under the checksum, so the reader takes nothing on faith: it
wants exactly the bytes an encoder gives, and numbers that a Raft log can have.

Reading is in `scan.py`, damage is judged in `damage.py`, files are `log.py`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from google_crc32c import extend as extend_crc

from dualmode.storage.raft_entries import EntryLike, encode_entries
from dualmode.storage.varints import LOW_BITS, SMALL, varint

METADATA: Final = 1
ENTRY: Final = 2
STATE: Final = 3
CRC: Final = 4
SNAPSHOT: Final = 5

#: What one disk writes whole: a record that a crash tore has at least one of these missing.
SECTOR_BYTES: Final = 512

LENGTH_FIELD: Final = struct.Struct("<Q")
_PADDING: Final = tuple(bytes(size) for size in range(8))


def length_field(size: int) -> bytes:
    """What a frame begins with, for a record of this size."""
    padding = -size & 7
    return LENGTH_FIELD.pack((0x80 | padding) << 56 | size if padding else size)


#: Of records as long as most are.
_SHORT_BYTES: Final = 1024
_LENGTHS: Final = tuple(length_field(size) for size in range(_SHORT_BYTES))

HardState = tuple[int, int, int]  #: term, vote, commit


@dataclass(slots=True)
class LogEntry:
    """A Raft entry as it was read back (`raftpb.Entry`)."""

    type: int
    term: int
    index: int
    data: bytes
    #: See `storage.raft_entries`.
    encoded: bytes = field(default=b"", compare=False, repr=False)


def encode_hard_state(state: HardState) -> bytes:
    """`raftpb.HardState { term = 1, vote = 2, commit = 3 }`."""
    term, vote, commit = state
    return b"\x08" + varint(term) + b"\x10" + varint(vote) + b"\x18" + varint(commit)


def encode_snapshot(index: int, term: int, conf_state: bytes | None) -> bytes:
    """`walpb.Snapshot { index = 1, term = 2, conf_state = 3 }`; conf_state is absent before etcd 3.5."""
    encoded = b"\x08" + varint(index) + b"\x10" + varint(term)
    return encoded if conf_state is None else encoded + b"\x1a" + varint(len(conf_state)) + conf_state


def frame(record_type: int, crc: int, data: bytes | None) -> bytes:
    """One frame. `crc` already covers `data`."""
    record = bytes((0x08, record_type, 0x10)) + varint(crc)
    if data is not None:
        record += b"\x1a" + varint(len(data)) + data
    size = len(record)
    return length_field(size) + record + _PADDING[-size & 7]


class Encoder:
    """Turns what is to be logged into frames, carrying the checksum on."""

    def __init__(self, crc: int = 0) -> None:
        self.crc = crc

    def record(self, record_type: int, data: bytes | None) -> bytes:
        """The frame of one record."""
        if data is not None:
            self.crc = extend_crc(self.crc, data)
        return frame(record_type, self.crc, data)

    def entries(self, entries: Sequence[EntryLike]) -> list[bytes]:
        """The frames of these entries, in pieces to be joined. Hot: written out instead of calling the above."""
        pieces: list[bytes] = []
        crc = self.crc
        lengths = _LENGTHS
        for body in encode_entries(entries):
            crc = extend_crc(crc, body)
            length = len(body)
            if crc >= 0x1000_0000 and length < 0x4000:  # nearly always: a number of five bytes, and one of at most two
                low, middle, high = LOW_BITS[crc & 0x3FFF], LOW_BITS[crc >> 14 & 0x3FFF], SMALL[crc >> 28]
                record = b"\x08\x02\x10%b%b%b\x1a%b%b" % (low, middle, high, SMALL[length], body)
            else:
                record = b"\x08\x02\x10%b\x1a%b%b" % (varint(crc), varint(length), body)
            size = len(record)
            pieces += (lengths[size] if size < _SHORT_BYTES else length_field(size), record, _PADDING[-size & 7])
        self.crc = crc
        return pieces

    def segment_head(self, metadata: bytes, state: HardState | None) -> bytes:
        """What a segment begins with: the checksum so far, the metadata, and the last hard state once there is one."""
        head = frame(CRC, self.crc, None) + self.record(METADATA, metadata)
        if state is not None:
            head += self.record(STATE, encode_hard_state(state))
        return head


def segment_name(sequence: int, index: int) -> str:
    """File name of a segment: its number and the first log index that may be in it."""
    return f"{sequence:016x}-{index:016x}.wal"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """(sequence, index) of a segment's file name, None of any other name."""
    if len(name) != 37 or name[16] != "-" or not name.endswith(".wal"):
        return None
    try:
        return int(name[:16], 16), int(name[17:33], 16)
    except ValueError:
        return None
