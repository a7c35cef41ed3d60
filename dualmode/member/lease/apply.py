"""Decides: what the log entries that grant, revoke and checkpoint leases do; the same on every member.

The applier calls these inside a pass of the store, so that a lease, its keys and the applied index change together.
`header_field` gives the header of the answer (field 1, tag and length included) for the revision after the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from dualmode import errors
from dualmode.member.lease.lessor import Lessor
from dualmode.storage.varints import varint

HeaderField = Callable[[], bytes]


class LeaseRows(Protocol):
    """Rows of leases and of the keys attached to them (`storage.leases.Leases`)."""

    def save(self, lease_id: int, ttl_seconds: int, remaining_seconds: int = 0) -> None: ...

    def remove(self, lease_id: int) -> None: ...

    def keys_of(self, lease_id: int) -> Iterable[bytes]:
        """In ascending order."""


class KeyDeletion(Protocol):
    """What revoking needs of the store (`storage.mvcc.Store`)."""

    def begin_transaction(self) -> None: ...

    def commit_transaction(self) -> None: ...

    def delete_range(self, key: bytes, range_end: bytes) -> list[bytes]: ...


def apply_grant(lessor: Lessor, rows: LeaseRows, request: Any, now: float, header_field: HeaderField) -> bytes:
    """Grants what a LeaseGrantRequest asks for; gives the serialised LeaseGrantResponse.

    Raises LEASE_NOT_FOUND (id 0), LEASE_TTL_TOO_LARGE, LEASE_EXISTS.
    """
    lease = lessor.grant(request.ID, request.TTL, now)
    rows.save(lease.lease_id, lease.ttl_seconds)
    return header_field() + b"\x10" + varint(lease.lease_id) + b"\x18" + varint(lease.ttl_seconds)


def apply_revoke(store: KeyDeletion, lessor: Lessor, rows: LeaseRows, request: Any, header_field: HeaderField) -> bytes:
    """Deletes the keys of a lease, in order and at one revision, then the lease; gives the LeaseRevokeResponse.

    A lease without keys advances no revision. Raises LEASE_NOT_FOUND.
    """
    lease_id = request.ID
    if not lessor.has(lease_id):
        raise errors.LEASE_NOT_FOUND
    # Deleting a key detaches it, so the rows are read to the end before the first deletion.
    keys = list(rows.keys_of(lease_id))
    store.begin_transaction()
    for key in keys:
        store.delete_range(key, b"")
    store.commit_transaction()
    rows.remove(lease_id)
    lessor.revoke(lease_id)
    return header_field()


def apply_checkpoint(
    lessor: Lessor, rows: LeaseRows | None, request: Any, now: float, header_field: HeaderField
) -> bytes:
    """Notes the remaining times of a LeaseCheckpointRequest; leases that are gone are passed over. Without `rows` the
    notes do not outlive a restart."""
    for one in request.checkpoints:
        lease = lessor.checkpoint(one.ID, one.remaining_TTL, now)
        if lease is not None and rows is not None:
            rows.save(lease.lease_id, lease.ttl_seconds, lease.remaining_seconds)
    return header_field()
