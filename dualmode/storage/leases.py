"""Decides: the rows of leases: the lease itself as in etcd's bucket `lease`, and which keys hang on it.

Who counts the time is the lessor, not this. Everything written here belongs to the running pass of the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualmode.errors import StorageError
from dualmode.storage.mvcc import rows
from dualmode.storage.varints import read_varint, varint

if TYPE_CHECKING:
    from dualmode.storage.mvcc.pending import PendingRows

_UINT64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """`leasepb.Lease`: what survives a restart."""

    lease_id: int
    ttl_seconds: int
    remaining_seconds: int = 0  #: 0: no checkpoint


class Leases:
    """Lease rows and attachment rows, as the running pass sees them."""

    def __init__(self, pending: PendingRows) -> None:
        self._pending = pending

    def save(self, lease_id: int, ttl_seconds: int, remaining_seconds: int = 0) -> None:
        """Makes or updates a lease."""
        self._pending.put(_row(lease_id), encode_lease(LeaseRow(lease_id, ttl_seconds, remaining_seconds)))

    def remove(self, lease_id: int) -> None:
        """Forgets a lease. Its keys are deleted by the caller first (which detaches them)."""
        self._pending.put(_row(lease_id), None)

    def get(self, lease_id: int) -> LeaseRow | None:
        """The lease, None when there is none."""
        stored = self._pending.get(_row(lease_id))
        return None if stored is None else decode_lease(stored)

    def all(self) -> list[LeaseRow]:
        """All leases by id."""
        prefix = rows.bucket_prefix(b"lease")
        return [decode_lease(value) for _, value in self._pending.rows(prefix, rows.prefix_end(prefix))]

    def attach(self, key: bytes, lease_id: int) -> None:
        """`key` hangs on the lease from now on."""
        self._pending.put(rows.attachment_prefix(lease_id) + key, b"")

    def detach(self, key: bytes, lease_id: int) -> None:
        """`key` does not hang on the lease any more."""
        self._pending.put(rows.attachment_prefix(lease_id) + key, None)

    def keys_of(self, lease_id: int) -> list[bytes]:
        """The keys that hang on the lease, in order."""
        prefix = rows.attachment_prefix(lease_id)
        start = len(prefix)
        return [row[start:] for row, _ in self._pending.rows(prefix, rows.prefix_end(prefix))]


def _row(lease_id: int) -> bytes:
    return rows.bucket_prefix(b"lease") + (lease_id & _UINT64).to_bytes(8, "big")


def encode_lease(lease: LeaseRow) -> bytes:
    """`leasepb.Lease { ID = 1, TTL = 2, RemainingTTL = 3 }`, zero fields left out."""
    numbers = (lease.lease_id, lease.ttl_seconds, lease.remaining_seconds)
    return b"".join(bytes((8 * field,)) + varint(number) for field, number in enumerate(numbers, 1) if number)


def decode_lease(data: bytes) -> LeaseRow:
    """Raises `StorageError` on damaged bytes; unknown number fields of later versions are passed over."""
    numbers = [0, 0, 0, 0]
    position = 0
    try:
        while position < len(data):
            tag = data[position]
            number, position = read_varint(data, position + 1)
            if tag & 7:
                raise StorageError(f"a stored lease has an unknown field (tag byte 0x{tag:02x})")
            if 8 <= tag <= 24:
                numbers[tag >> 3] = number - (1 << 64) if number >> 63 else number
    except IndexError:
        raise StorageError("a stored lease ends inside a number") from None
    return LeaseRow(*numbers[1:])
