"""Decides: `InternalRaftRequest`, the content of a log entry: which request it carries, and its bytes.

The bytes of a client's request go into the entry as they came: only a tag and a length are put in front and a header
behind (field 100, RequestHeader {ID=1, username=2, auth_revision=3}), in ascending field order as etcd writes them.
While authentication is on the header says for whom it is proposed: every member judges that when it applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dualmode.api import etcdserverpb, membershippb
from dualmode.errors import StorageError
from dualmode.member.apply import legacy_requests
from dualmode.member.apply.transaction import Transaction
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.storage.varints import read_varint, varint

PUT: Final = 4
DELETE_RANGE: Final = 5
TXN: Final = 6
COMPACTION: Final = 7
LEASE_GRANT: Final = 8
LEASE_REVOKE: Final = 9
ALARM: Final = 10
LEASE_CHECKPOINT: Final = 11
AUTH_ENABLE: Final = 1000
AUTH_DISABLE: Final = 1011
AUTHENTICATE: Final = 1012
AUTH_USER_ADD: Final = 1100
AUTH_USER_DELETE: Final = 1101
AUTH_USER_CHANGE_PASSWORD: Final = 1103
AUTH_USER_GRANT_ROLE: Final = 1104
AUTH_USER_REVOKE_ROLE: Final = 1105
AUTH_ROLE_ADD: Final = 1200
AUTH_ROLE_DELETE: Final = 1201
AUTH_ROLE_GRANT_PERMISSION: Final = 1203
AUTH_ROLE_REVOKE_PERMISSION: Final = 1204
CLUSTER_VERSION_SET: Final = 1300
CLUSTER_MEMBER_ATTR_SET: Final = 1301
DOWNGRADE_INFO_SET: Final = 1302

#: Refused while there is no space: what grows the store. Deleting, compacting and revoking go on, as in etcd.
NEEDS_SPACE: Final = frozenset((PUT, TXN, LEASE_GRANT))

_HEADER: Final = 100
_HEADER_TAG: Final = b"\xa2\x06"
_PUT_TAG: Final = b"\x22"
_UINT64: Final = (1 << 64) - 1
#: Tag and length of a header that holds one number, by length.
_HEADER_LEADS: Final = tuple(_HEADER_TAG + bytes((length,)) for length in range(12))
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
        AUTH_ENABLE,
        AUTH_DISABLE,
        AUTHENTICATE,
        AUTH_USER_ADD,
        AUTH_USER_DELETE,
        AUTH_USER_CHANGE_PASSWORD,
        AUTH_USER_GRANT_ROLE,
        AUTH_USER_REVOKE_ROLE,
        AUTH_ROLE_ADD,
        AUTH_ROLE_DELETE,
        AUTH_ROLE_GRANT_PERMISSION,
        AUTH_ROLE_REVOKE_PERMISSION,
        CLUSTER_VERSION_SET,
        CLUSTER_MEMBER_ATTR_SET,
        DOWNGRADE_INFO_SET,
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


def encode(kind: int, message: bytes, request_id: int, caller: Caller = NOBODY) -> bytes:
    """The data of a log entry that carries `message` (a serialised request) under field `kind` for `caller`."""
    header = b"\x08" + _id_varint(request_id)
    if caller is NOBODY:
        header_field = _HEADER_LEADS[len(header)] + header
    else:
        username = caller.username.encode()
        header += b"\x12" + varint(len(username)) + username + b"\x18" + varint(caller.auth_revision)
        header_field = _HEADER_TAG + varint(len(header)) + header
    field = _TAGS[kind] + varint(len(message)) + message
    return field + header_field if kind < _HEADER else header_field + field


@dataclass(slots=True)
class Decoded:
    """A request read from the log. `kind` 0 is an entry this version has no effect for; `request` is a message of it, a
    `Transaction` for TXN. Plain: a follower makes one for every entry."""

    kind: int
    request: Any
    request_id: int
    caller: Caller = NOBODY


def decode(data: bytes) -> Decoded:
    """Reads an entry that this process did not propose itself (replay, or another member's).

    Raises `google.protobuf.message.DecodeError` when it is neither an InternalRaftRequest nor a request of etcd's v2
    store.
    """
    put = _plain_put(data)
    if put is not None:
        return put
    if legacy_requests.is_legacy(data):
        return _of_legacy(*legacy_requests.translate(data))
    message = etcdserverpb.InternalRaftRequest.FromString(data)
    header = message.header
    request_id = header.ID or message.ID
    caller = Caller(header.username, header.auth_revision) if header.username or header.auth_revision else NOBODY
    for descriptor, value in message.ListFields():
        if descriptor.number in _TAGS:
            request = Transaction(value) if descriptor.number == TXN else value
            return Decoded(descriptor.number, request, request_id, caller)
    return Decoded(0, None, request_id, caller)


def _plain_put(data: bytes) -> Decoded | None:
    """What a follower reads most: a Put and a header that holds nothing but the id, as `encode` writes them. Looking
    at the few bytes around the Put costs a third of what the general way does, which takes everything else."""
    if data[:1] != _PUT_TAG:
        return None
    try:
        length, start = read_varint(data, 1)
        end = start + length
        if data[end : end + 2] != _HEADER_TAG or len(data) != end + 3 + data[end + 2] or data[end + 3] != 0x08:
            return None
        request_id, behind = _read_id(data, end + 4)
    except (IndexError, StorageError):
        return None
    if behind != len(data):
        return None
    return Decoded(PUT, etcdserverpb.PutRequest.FromString(data[start:end]), request_id)


#: What the high bytes of request ids stand for, by those bytes: see `_read_id`.
_high_parts: dict[bytes, int] = {}
_HIGH_PARTS: Final = 64


def _read_id(data: bytes, position: int) -> tuple[int, int]:
    """The request id that ends the data, and where it ends. Ids of one member differ in their two low bytes; the other
    eight are known from the one before. Raises as `read_varint` does."""
    low, next_low = data[position], data[position + 1]
    if low > 0x7F and next_low > 0x7F:
        high = _high_parts.get(data[position + 2 :])
        if high is not None:
            return high | (next_low & 0x7F) << 7 | low & 0x7F, len(data)
    number, behind = read_varint(data, position)
    number &= _UINT64
    if low > 0x7F and next_low > 0x7F and behind == len(data):
        if len(_high_parts) >= _HIGH_PARTS:
            _high_parts.clear()
        _high_parts[data[position + 2 :]] = number & ~0x3FFF
    return number, behind


def _of_legacy(request: Any | None, request_id: int) -> Decoded:
    if request is None:
        return Decoded(0, None, request_id)
    sets_version = isinstance(request, membershippb.ClusterVersionSetRequest)
    return Decoded(CLUSTER_VERSION_SET if sets_version else CLUSTER_MEMBER_ATTR_SET, request, request_id)
