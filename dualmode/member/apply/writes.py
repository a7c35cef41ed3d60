"""Decides: Put and DeleteRange against the store, alone or inside a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from dualmode import errors
from dualmode.member.kv import ranges
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

_NOTHING: Final = (b"", 0, 0, 0, b"", 0)


class WriteView(ranges.ReadView, Protocol):
    """What a write needs of the store (`storage.mvcc.Store`), inside a pass."""

    @property
    def current_revision(self) -> int:
        """The revision of what has been written so far by the open transaction, or the current one."""

    def put(self, key: bytes, value: bytes, lease: int) -> bytes | None: ...

    def delete_range(self, key: bytes, range_end: bytes) -> list[bytes]: ...


class Leases(Protocol):
    """What a put needs to know of leases."""

    def has(self, lease_id: int) -> bool: ...


def check_put(store: ranges.ReadView, leases: Leases, request: Any) -> None:
    """Whether a put can be done now: its lease exists, and so does the key whose value or lease it keeps."""
    if (request.ignore_value or request.ignore_lease) and store.get(request.key) is None:
        raise errors.KEY_NOT_FOUND
    check_lease(leases, request)


def check_lease(leases: Leases, request: Any) -> None:
    """Whether the lease a put names exists."""
    if request.lease and not leases.has(request.lease):
        raise errors.LEASE_NOT_FOUND


def put(store: WriteView, request: Any) -> bytes | None:
    """Writes a put that `check_put` has passed; gives the previous record when it was asked for."""
    value, lease = request.value, request.lease
    if request.ignore_value or request.ignore_lease:
        # The check looked at the state before the transaction; an earlier operation of it may have deleted the key
        # since ("from key on" deletes escape the duplicate check). Then there is nothing to keep.
        current = store.get(request.key)
        _, _, _, _, old_value, old_lease = keyvalue.fields(current) if current is not None else _NOTHING
        if request.ignore_value:
            value = old_value
        if request.ignore_lease:
            lease = old_lease
    previous = store.put(request.key, value, lease)
    return previous if request.prev_kv else None


def delete_range(store: WriteView, request: Any, header_field: Callable[[], bytes]) -> bytes:
    """The serialised DeleteRangeResponse; `header_field` is asked after the deletion."""
    previous = store.delete_range(request.key, request.range_end)
    parts = [header_field()]
    if previous:
        parts.append(b"\x10" + varint(len(previous)))
        if request.prev_kv:
            for kv in previous:
                parts.append(b"\x1a" + varint(len(kv)))
                parts.append(kv)
    return b"".join(parts)
