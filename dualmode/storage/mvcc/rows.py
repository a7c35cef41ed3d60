"""Decides: the schema: every kind of row in the backend's one ordered key space, in one table.

    prefix  row              key behind the prefix                          value
    ------  ---------------  ---------------------------------------------  -------------------------------------------
    K       head             user key                                       newest KeyValue, live keys only
    R       revision         main (8) "_" sub (8), "t" behind a deletion    KeyValue as in etcd's bucket `key`
    H       history          escaped user key, inverted main (8), sub (8)   empty, or "t" for a deletion
    A       lease attachment lease id (8), user key                         empty
    B       bucket           bucket name, 0x00, key in the bucket           as in etcd's bucket of that name
    M       state            (nothing)                                      what `State` holds, written by every pass

Numbers are big-endian. Revision rows are etcd's records byte for byte, so hashes and snapshots need no translation.

History rows must sort by (key, newest revision first) for keys of any bytes: a 0x00 in the key becomes 0x00 0xFF and
the key ends with 0x00 0x01, which sorts below every continuation; revisions are inverted, so that a forward seek to
(key, revision) lands on the newest version that is not newer: RocksDB walks forwards faster than backwards.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from dualmode.errors import StorageError

#: All buckets that etcd 3.5 makes at its start, by name: the order in which it writes and hashes them.
ETCD_BUCKETS: Final = (
    b"alarm",
    b"auth",
    b"authRoles",
    b"authUsers",
    b"cluster",
    b"key",
    b"lease",
    b"members",
    b"members_removed",
    b"meta",
)

HEAD: Final = b"K"
HEAD_END: Final = b"L"
REVISION: Final = b"R"
REVISION_END: Final = b"S"
HISTORY: Final = b"H"
HISTORY_END: Final = b"I"
ATTACHMENT: Final = b"A"
BUCKET: Final = b"B"
STATE: Final = b"M"

TOMBSTONE_MARK: Final = b"t"
#: Length of a revision row's key for a put: prefix, main, "_", sub. A deletion has one byte more.
PUT_REVISION_ROW_BYTES: Final = 18

_KEY_END: Final = b"\x00\x01"
_REVISION = struct.Struct(">cQcQ")
_HISTORY_REVISION = struct.Struct(">QQ")
_UINT64: Final = (1 << 64) - 1

#: What one etcd record costs besides key and value: bbolt's leaf element. Counted so that a quota means the same.
RECORD_OVERHEAD_BYTES: Final = 16


def revision_row(main: int, sub: int) -> bytes:
    """The key of the revision row of a put; a deletion's ends with `TOMBSTONE_MARK` on top."""
    return _REVISION.pack(b"R", main, b"_", sub)


def revision_of(row: bytes) -> tuple[int, int, bool]:
    """(main, sub, is deletion) of a revision row's key."""
    try:
        _, main, _, sub = _REVISION.unpack_from(row)
    except struct.error:
        raise StorageError(f"damaged store: {row!r} is no revision row") from None
    return main, sub, len(row) > PUT_REVISION_ROW_BYTES


def history_prefix(key: bytes) -> bytes:
    """All history rows of `key` begin with this, and no others do."""
    if 0 in key:
        key = key.replace(b"\x00", b"\x00\xff")
    return b"H" + key + _KEY_END


def history_row(key: bytes, main: int, sub: int) -> bytes:
    """The key of the history row of one version."""
    if 0 in key:
        key = key.replace(b"\x00", b"\x00\xff")
    return b"H" + key + _KEY_END + _HISTORY_REVISION.pack(_UINT64 - main, _UINT64 - sub)


def history_of(row: bytes) -> tuple[bytes, int, int]:
    """(history prefix, main, sub) of a history row's key."""
    inverted_main, inverted_sub = _HISTORY_REVISION.unpack_from(row, len(row) - 16)
    return row[:-16], _UINT64 - inverted_main, _UINT64 - inverted_sub


def key_of_history_prefix(prefix: bytes) -> bytes:
    """The user key behind a history prefix."""
    return prefix[1:-2].replace(b"\x00\xff", b"\x00")


def attachment_prefix(lease: int) -> bytes:
    """All attachment rows of a lease begin with this."""
    return b"A" + (lease & _UINT64).to_bytes(8, "big")


def bucket_prefix(bucket: bytes) -> bytes:
    """All rows of one of etcd's small buckets (lease, alarm, auth, authUsers, members ...) begin with this."""
    return b"B" + bucket + b"\x00"


def prefix_end(prefix: bytes) -> bytes:
    """The first row key behind all that begin with `prefix` (whose first byte is a letter of the table)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


@dataclass(slots=True)
class State:
    """What every pass writes beside its data, so that after a crash data and numbers fit together."""

    applied_index: int = 0
    applied_term: int = 0
    revision: int = 1
    compacted: int = -1  #: the revision asked for; -1: never
    compaction_main: int = 0  #: where the removal of rows goes on ...
    compaction_sub: int = 0
    compaction_finished: int = -1  #: ... and the revision it has finished
    record_bytes: int = 0  #: sum over all revision rows, see `RECORD_OVERHEAD_BYTES`
    record_count: int = 0

    def encode(self) -> bytes:
        """The value of the state row."""
        return _STATE.pack(
            _STATE_FORMAT,
            self.applied_index,
            self.applied_term,
            self.revision,
            self.compacted,
            self.compaction_main,
            self.compaction_sub,
            self.compaction_finished,
            self.record_bytes,
            self.record_count,
        )

    @classmethod
    def decode(cls, row: bytes) -> State:
        """Raises `StorageError` when a later program wrote this store, or nobody did."""
        if len(row) != _STATE.size or row[0] != _STATE_FORMAT:
            raise StorageError(
                f"the store's state row has format {row[:1].hex()}, this program reads {_STATE_FORMAT:02x}"
            )
        return cls(*_STATE.unpack(row)[1:])


_STATE_FORMAT: Final = 1
_STATE = struct.Struct(">BQQQqQQqQQ")
