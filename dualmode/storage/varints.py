"""Decides: protobuf's variable-length integers, which key-values, leases and log records are full of.

Written out for the lengths that occur (revisions, indexes, checksums), because a loop costs a microsecond each.
"""

from __future__ import annotations

from typing import Final

from dualmode.errors import StorageError

_UINT64: Final = (1 << 64) - 1


def _encode(number: int) -> bytes:
    number &= _UINT64  # a negative int64 takes ten bytes, as two's complement
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


#: By number. Lengths, versions and young revisions: nearly every varint of a KeyValue is in here.
SMALL: Final = tuple(_encode(number) for number in range(1 << 14))


def varint(number: int) -> bytes:
    """The varint of an int64 or uint64 (protobuf encoding, "Base 128 Varints")."""
    if 0 <= number < 0x4000:
        return SMALL[number]
    if 0 < number < 0x1000_0000:
        return LOW_BITS[number & 0x3FFF] + SMALL[number >> 14]
    if 0 < number < 0x400_0000_0000:  # checksums
        return LOW_BITS[number & 0x3FFF] + LOW_BITS[number >> 14 & 0x3FFF] + SMALL[number >> 28]
    return _encode(number)


#: Fourteen low bits of a longer number: two bytes that both say "more follows".
LOW_BITS: Final = tuple(bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(1 << 14))


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(number, position behind it). Raises `StorageError` when it does not end, `IndexError` when the data does."""
    first = data[position]
    if first < 0x80:
        return first, position + 1
    second = data[position + 1]
    if second < 0x80:
        return first & 0x7F | second << 7, position + 2
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise StorageError("a number in a stored record has more than ten bytes")
