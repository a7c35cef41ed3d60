"""Decides: `InternalRaftRequest`, the content of a log entry: which request it carries, and its bytes.

The bytes of a client's request go into the entry as they came: only a tag and a length are put in front and a header
behind (field 100, RequestHeader {ID=1, username=2, auth_revision=3}), in ascending field order as etcd writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dualmode.api import etcdserverpb
from dualmode.storage.varints import varint

PUT: Final = 4
DELETE_RANGE: Final = 5
TXN: Final = 6
COMPACTION: Final = 7
LEASE_GRANT: Final = 8
LEASE_REVOKE: Final = 9
ALARM: Final = 10
LEASE_CHECKPOINT: Final = 11
CLUSTER_VERSION_SET: Final = 1300
CLUSTER_MEMBER_ATTR_SET: Final = 1301

#: Refused while there is no space: what grows the store. Deleting, compacting and revoking go on, as in etcd.
NEEDS_SPACE: Final = frozenset((PUT, TXN, LEASE_GRANT))

_HEADER: Final = 100
#: Tag and length of the header, by length: it holds one number.
_HEADER_LEADS: Final = tuple(b"\xa2\x06" + bytes((length,)) for length in range(12))
_TAGS: Final = {
    number: varint(number << 3 | 2)
    for number in (
        PUT,
        DELETE_RANGE,
        TXN,
        COMPACTION,
        LEASE_GRANT,
        LEASE_REVOKE,
        ALARM,
        LEASE_CHECKPOINT,
        CLUSTER_VERSION_SET,
        CLUSTER_MEMBER_ATTR_SET,
    )
}


def _id_varint(request_id: int) -> bytes:
    """A request id differs from the one before in its low bits; the eight bytes above 14 bits are kept."""
    global _high_bits, _high_varint
    if request_id >> 14 != _high_bits:
        _high_bits = request_id >> 14
        _high_varint = varint(_high_bits)
    return bytes((request_id & 0x7F | 0x80, request_id >> 7 & 0x7F | 0x80)) + _high_varint


_high_bits, _high_varint = 0, b"\x00"


def encode(kind: int, message: bytes, request_id: int) -> bytes:
    """The data of a log entry that carries `message` (a serialised request) under field `kind`."""
    header = b"\x08" + _id_varint(request_id)
    header_field = _HEADER_LEADS[len(header)] + header
    field = _TAGS[kind] + varint(len(message)) + message
    return field + header_field if kind < _HEADER else header_field + field


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request read from the log. `kind` 0 is an entry this version has no effect for."""

    kind: int
    request: Any
    request_id: int


def decode(data: bytes) -> Decoded:
    """Reads an entry that this process did not propose itself (replay, or another member's).

    Raises `google.protobuf.message.DecodeError` when it is no InternalRaftRequest.
    """
    message = etcdserverpb.InternalRaftRequest.FromString(data)
    request_id = message.header.ID or message.ID
    for descriptor, value in message.ListFields():
        if descriptor.number in _TAGS:
            return Decoded(descriptor.number, value, request_id)
    return Decoded(0, None, request_id)
