"""Decides: the bytes of one `mvccpb.KeyValue`, written and read without protobuf: the hot path handles millions.

The store holds these bytes and every answer is put together from them, so they must be exactly what protobuf's
serialiser gives: fields in number order, fields with the zero value left out.

    key = 1 (bytes), create_revision = 2, mod_revision = 3, version = 4 (int64), value = 5 (bytes), lease = 6 (int64)

The bytes are our own or were checked on the way in, so reading trusts their order; `fields` still refuses what cannot
be a KeyValue, because a damaged row must not become an answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dualmode.errors import StorageError
from dualmode.storage.varints import read_varint, varint

KEY_TAG: Final = 0x0A
CREATE_REVISION_TAG: Final = 0x10
MOD_REVISION_TAG: Final = 0x18
VERSION_TAG: Final = 0x20
VALUE_TAG: Final = 0x2A
LEASE_TAG: Final = 0x30


class Fields(NamedTuple):
    """A KeyValue taken apart."""

    key: bytes
    create_revision: int
    mod_revision: int
    version: int
    value: bytes
    lease: int


def encode(key: bytes, create_revision: int, mod_revision: int, version: int, value: bytes, lease: int) -> bytes:
    """The serialised KeyValue of these fields."""
    parts: list[bytes] = []
    if key:
        parts += (b"\x0a", varint(len(key)), key)
    if create_revision:
        parts += (b"\x10", varint(create_revision))
    if mod_revision:
        parts += (b"\x18", varint(mod_revision))
    if version:
        parts += (b"\x20", varint(version))
    if value:
        parts += (b"\x2a", varint(len(value)), value)
    if lease:
        parts += (b"\x30", varint(lease))
    return b"".join(parts)


def encode_first(key: bytes, revision_varint: bytes, value: bytes, lease: int) -> bytes:
    """The KeyValue of a key that is created at this revision: version 1. `key` is not empty."""
    tail = b"\x2a" + varint(len(value)) + value if value else b""
    if lease:
        tail += b"\x30" + varint(lease)
    return b"".join(
        (b"\x0a", varint(len(key)), key, b"\x10", revision_varint, b"\x18", revision_varint, b"\x20\x01", tail)
    )


def encode_next(previous: bytes, key: bytes, revision_varint: bytes, value: bytes, lease: int) -> tuple[bytes, int]:
    """(the KeyValue that follows `previous`, the lease of `previous`): same key and creation, version one up.

    `previous` is of the same key, which is not empty. Key and create_revision are taken over as bytes.
    """
    length = len(key)
    create_end = length + (3 if length < 128 else 2 + len(varint(length)))
    while previous[create_end] > 0x7F:
        create_end += 1
    create_end += 1  # behind create_revision: the next byte is the tag of mod_revision
    position = create_end + 1
    while previous[position] > 0x7F:
        position += 1
    position += 2  # behind mod_revision and the tag of version
    version = previous[position]
    position += 1
    if version > 0x7F:
        version, position = read_varint(previous, position - 1)
    tail = b"\x2a" + varint(len(value)) + value if value else b""
    if lease:
        tail += b"\x30" + varint(lease)
    kv = b"".join((previous[:create_end], b"\x18", revision_varint, b"\x20", varint(version + 1), tail))
    return kv, _lease_behind(previous, position)


def _lease_behind(kv: bytes, position: int) -> int:
    """The lease of `kv`, in which value or lease begin at `position` (or nothing does)."""
    size = len(kv)
    if position < size and kv[position] == VALUE_TAG:
        length, position = read_varint(kv, position + 1)
        position += length
    if position == size:
        return 0
    lease, _ = read_varint(kv, position + 1)
    return lease - (1 << 64) if lease >> 63 else lease


def encode_tombstone(key: bytes) -> bytes:
    """What etcd stores for a deletion: a KeyValue with the key alone."""
    return b"\x0a" + varint(len(key)) + key


def encode_deleted(key: bytes, revision_varint: bytes) -> bytes:
    """What a watcher gets for a deletion: the key and, as mod_revision, when it went."""
    return b"\x0a" + varint(len(key)) + key + b"\x18" + revision_varint


def key_of(kv: bytes) -> bytes:
    """The key of a serialised KeyValue (which is its first field). One record has none: `--bump-revision` of a restore
    puts an empty one at the revision it leads to."""
    if not kv:
        return b""
    length = kv[1]
    if length < 0x80:
        return kv[2 : 2 + length]
    length, start = read_varint(kv, 1)
    return kv[start : start + length]


def without_value(kv: bytes) -> bytes:
    """The same record with an empty value, cut out of the bytes."""
    length, position = read_varint(kv, 1)
    position += length
    size = len(kv)
    while position < size and kv[position] < VALUE_TAG:
        position += 1
        while kv[position] > 0x7F:
            position += 1
        position += 1
    if position == size or kv[position] != VALUE_TAG:
        return kv
    length, start = read_varint(kv, position + 1)
    return kv[:position] + kv[start + length :]


def _number_behind(kv: bytes, wanted_tag: int) -> tuple[int, int]:
    """(the number behind a tag, the position behind that) in a KeyValue that the store wrote; zeros where it is left
    out. Of the value it is the length."""
    if not kv:
        return 0, 0
    length, position = read_varint(kv, 1)
    position += length
    size = len(kv)
    while position < size:
        tag = kv[position]
        if tag > wanted_tag:
            break
        number, position = read_varint(kv, position + 1)
        if tag == wanted_tag:
            return number, position
        if tag == VALUE_TAG:
            position += number
    return 0, 0


def number_of(kv: bytes, wanted_tag: int) -> int:
    """One of the numbers of a KeyValue that the store wrote, by its tag; 0 when it is left out, as protobuf has it."""
    number, _ = _number_behind(kv, wanted_tag)
    return number - (1 << 64) if number >> 63 else number


def lease_of(kv: bytes) -> int:
    """The lease of a KeyValue that the store wrote, 0 when it has none."""
    return number_of(kv, LEASE_TAG)


def mod_revision_of(kv: bytes) -> int:
    """The revision that wrote this KeyValue (0 in a stored tombstone)."""
    return number_of(kv, MOD_REVISION_TAG)


def value_of(kv: bytes) -> bytes:
    """The value of a KeyValue that the store wrote."""
    length, position = _number_behind(kv, VALUE_TAG)
    return kv[position : position + length]


def fields(kv: bytes) -> Fields:
    """Takes a KeyValue apart. Raises `StorageError` on bytes that are none (order, unknown fields, cut short)."""
    key = value = b""
    numbers = {CREATE_REVISION_TAG: 0, MOD_REVISION_TAG: 0, VERSION_TAG: 0, LEASE_TAG: 0}
    position, last_tag, size = 0, 0, len(kv)
    try:
        while position < size:
            tag = kv[position]
            if tag <= last_tag:
                raise StorageError(f"a stored key-value has field {tag >> 3} out of order")
            last_tag = tag
            number, position = read_varint(kv, position + 1)
            if tag in numbers:
                numbers[tag] = number - (1 << 64) if number >> 63 else number
                continue
            end = position + number
            if end > size:
                raise StorageError(f"a stored key-value ends inside field {tag >> 3}")
            if tag == KEY_TAG:
                key = kv[position:end]
            elif tag == VALUE_TAG:
                value = kv[position:end]
            else:
                raise StorageError(f"a stored key-value has an unknown field (tag byte 0x{tag:02x})")
            position = end
    except IndexError:
        raise StorageError("a stored key-value ends inside a number") from None
    return Fields(
        key, numbers[CREATE_REVISION_TAG], numbers[MOD_REVISION_TAG], numbers[VERSION_TAG], value, numbers[LEASE_TAG]
    )
