"""Decides: whether damage in the last segment is a write that a crash tore (cut it off) or a disk that lies (refuse).

A crash leaves sectors of an unsynced write unwritten, and unwritten sectors of a preallocated file are zero; or the
file ends early. So a damaged record is torn when one of its 512-byte sectors is all zero or when it goes on behind the
end of the file. That is etcd's rule. Two additions keep flipped bits from passing as torn, which would cut off entries
that were acknowledged: padding does not count as a zero sector, and a length field that is wrong while a whole record
with the right checksum stands behind it is a flipped bit. But not when the length field is zero and the last of its
sector: then that sector alone may be what the crash left out, and the record begins with the next one, which is there.
"""

from __future__ import annotations

from google_crc32c import extend as extend_crc

from dualmode.errors import StorageError
from dualmode.storage.varints import read_varint
from dualmode.storage.wal.records import CRC, SECTOR_BYTES
from dualmode.storage.wal.scan import Damage, is_zero


def is_torn(segment: bytes, damage: Damage, running_crc: int) -> bool:
    """Whether the last segment was torn at `damage.offset`. `running_crc` is the checksum before that frame."""
    offset = damage.offset
    end = damage.record_end
    if end is None:  # the length is nonsense: judge by the sector it stands in
        end = offset - offset % SECTOR_BYTES + SECTOR_BYTES
        if offset + 8 == end and is_zero(segment, offset, end):
            return True
        if _is_whole_record(segment, offset + 8, running_crc):
            return False
        return _has_zero_sector(segment, offset, end) or _has_zero_sector(segment, offset + 8, end)
    if _is_whole_record(segment, offset + 8, running_crc):
        return False
    return end >= len(segment) or _has_zero_sector(segment, offset + 8, end)


def _has_zero_sector(segment: bytes, start: int, end: int) -> bool:
    end = min(end, len(segment))
    while start < end:
        sector_end = min(start - start % SECTOR_BYTES + SECTOR_BYTES, end)
        if is_zero(segment, start, sector_end):
            return True
        start = sector_end
    return False


def _is_whole_record(segment: bytes, start: int, running_crc: int) -> bool:
    """Whether a record with the right checksum stands at `start`, whatever the length field before it says."""
    window = segment[start : start + 32]
    if len(window) < 4 or window[0] != 0x08 or window[2] != 0x10:
        return False
    try:
        crc, position = read_varint(window, 3)
        if window[1] == CRC:
            return crc == running_crc
        if window[position] != 0x1A:
            return False
        length, position = read_varint(window, position + 1)
    except (StorageError, IndexError):
        return False
    data = segment[start + position : start + position + length]
    return len(data) == length and extend_crc(running_crc, data) == crc
