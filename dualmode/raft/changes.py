"""Decides: configuration changes, and their bytes in log entries (etcd's `raftpb.ConfChange` and `ConfChangeV2`).

The two messages are written by hand: the core imports nothing of ours, and a change is three numbers. As etcd's encoder
does, scalars are always written, also when they are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from dualmode.raft.errors import ChangeDecodeError
from dualmode.raft.types import Entry, EntryType


class ConfChangeType(IntEnum):
    """Numbers of `raftpb.ConfChangeType`."""

    ADD_NODE = 0
    REMOVE_NODE = 1
    UPDATE_NODE = 2
    ADD_LEARNER_NODE = 3


class ConfChangeTransition(IntEnum):
    """How a change becomes active: at once if it is small (auto), or through a joint configuration that is left by
    the leader itself (implicit) or by an empty change (explicit)."""

    AUTO = 0
    JOINT_IMPLICIT = 1
    JOINT_EXPLICIT = 2


@dataclass(frozen=True, slots=True)
class ConfChangeSingle:
    type: ConfChangeType
    node_id: int


@dataclass(frozen=True, slots=True)
class ConfChangeV2:
    """Several changes at once. With none, and transition auto, it asks to leave a joint configuration."""

    changes: tuple[ConfChangeSingle, ...] = ()
    transition: ConfChangeTransition = ConfChangeTransition.AUTO
    context: bytes = b""

    def as_v2(self) -> ConfChangeV2:
        return self

    def entry(self) -> Entry:
        """The entry that proposes this change."""
        return Entry(EntryType.CONF_CHANGE_V2, data=self.encode())

    def encode(self) -> bytes:
        parts = [b"\x08", _varint(self.transition)]
        parts += [
            _field(0x12, b"\x08" + _varint(change.type) + b"\x10" + _varint(change.node_id)) for change in self.changes
        ]
        if self.context:
            parts.append(_field(0x1A, self.context))
        return b"".join(parts)

    @staticmethod
    def decode(data: bytes) -> ConfChangeV2:
        """Raises `ChangeDecodeError`. No data at all is the empty change."""
        transition, changes, context = 0, [], b""
        for number, value in _fields(data):
            if number == 1 and isinstance(value, int):
                transition = value
            elif number == 2 and isinstance(value, bytes):
                changes.append(_decode_single(value))
            elif number == 3 and isinstance(value, bytes):
                context = value
        try:
            return ConfChangeV2(tuple(changes), ConfChangeTransition(transition), context)
        except ValueError as error:
            raise ChangeDecodeError(f"configuration change: {error}") from None


@dataclass(frozen=True, slots=True)
class ConfChange:
    """The older form with exactly one change. `id` is the proposer's own number for it."""

    type: ConfChangeType
    node_id: int
    context: bytes = b""
    id: int = 0

    def as_v2(self) -> ConfChangeV2:
        return ConfChangeV2((ConfChangeSingle(self.type, self.node_id),), context=self.context)

    def entry(self) -> Entry:
        """The entry that proposes this change."""
        return Entry(EntryType.CONF_CHANGE, data=self.encode())

    def encode(self) -> bytes:
        head = b"\x08" + _varint(self.id) + b"\x10" + _varint(self.type) + b"\x18" + _varint(self.node_id)
        return head + _field(0x22, self.context) if self.context else head

    @staticmethod
    def decode(data: bytes) -> ConfChange:
        """Raises `ChangeDecodeError`."""
        numbers, context = {1: 0, 2: 0, 3: 0}, b""
        for number, value in _fields(data):
            if number in numbers and isinstance(value, int):
                numbers[number] = value
            elif number == 4 and isinstance(value, bytes):
                context = value
        return ConfChange(_change_type(numbers[2]), numbers[3], context, numbers[1])


AnyConfChange = ConfChange | ConfChangeV2


def decode_change(entry: Entry) -> AnyConfChange:
    """The change in an entry of one of the two configuration change types. Raises `ChangeDecodeError`."""
    if entry.type == EntryType.CONF_CHANGE:
        return ConfChange.decode(entry.data)
    return ConfChangeV2.decode(entry.data)


def _change_type(number: int) -> ConfChangeType:
    try:
        return ConfChangeType(number)
    except ValueError as error:
        raise ChangeDecodeError(f"configuration change: {error}") from None


def _decode_single(data: bytes) -> ConfChangeSingle:
    numbers = {1: 0, 2: 0}
    for number, value in _fields(data):
        if number in numbers and isinstance(value, int):
            numbers[number] = value
    return ConfChangeSingle(_change_type(numbers[1]), numbers[2])


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _field(tag: int, payload: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(payload)) + payload


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), position
    raise ChangeDecodeError("configuration change: broken varint")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of each protobuf field: an int, or the bytes of a length-delimited or fixed one."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        wire = tag & 7
        if wire == 0:
            number, position = _read_varint(data, position)
            yield tag >> 3, number
            continue
        if wire == 2:
            size, position = _read_varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ChangeDecodeError(f"configuration change: wire type {wire}")
        if size > len(data) - position:
            raise ChangeDecodeError("configuration change: cut short")
        yield tag >> 3, data[position : position + size]
        position += size
