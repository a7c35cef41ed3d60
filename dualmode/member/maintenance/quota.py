"""Decides: what a request costs and whether the store still has room for it (`--quota-backend-bytes`).

The quota is asked twice, as in etcd. Before a request is proposed: it is refused, nothing happens. When it is applied:
it is done all the same, since other members do it too and must not differ, but its proposer is told that there is no
space. Both raise the alarm NOSPACE, and it is the alarm that then refuses everything that would make the store grow,
until an operator has made room and taken it back.
"""

from __future__ import annotations

from typing import Any, Final

from dualmode import limits
from dualmode.member.apply import requests
from dualmode.member.apply.transaction import PUT, TXN, Operation, Transaction

#: etcd's estimates of what a record takes beside key and value, and of a lease.
_PUT_OVERHEAD_BYTES: Final = 256
_LEASE_BYTES: Final = 64
#: What one byte of a request can cost at most: itself and, as a put takes more than four, its share of an overhead.
_MOST_PER_BYTE: Final = 1 + _PUT_OVERHEAD_BYTES // 4


def cost_bytes(kind: int, request: Any) -> int:
    """What a request may add to the store at most; 0 for one that adds nothing, which always passes."""
    if kind == requests.PUT:
        return _PUT_OVERHEAD_BYTES + len(request.key) + len(request.value)
    if kind == requests.TXN:
        return _txn_cost(request)
    return _LEASE_BYTES if kind == requests.LEASE_GRANT else 0


def _txn_cost(transaction: Transaction) -> int:
    """Of the dearer branch; transactions inside count as what they are (etcd 3.5.33, 3.6.14, 3.7.1)."""
    return max(_branch_cost(transaction.success), _branch_cost(transaction.failure))


def _branch_cost(branch: list[Operation]) -> int:
    cost = 0
    for operation in branch:
        if operation.kind == PUT:
            cost += cost_bytes(requests.PUT, operation.request)
        elif operation.kind == TXN:
            cost += _txn_cost(operation.request)
    return cost


class Quota:
    """The size that the store may have. `limit_bytes` None is no quota at all."""

    __slots__ = ("_sure_bytes", "_warning_bytes", "has_warned", "limit_bytes")

    def __init__(self, limit_bytes: int | None, max_request_bytes: int = limits.MAX_REQUEST_BYTES) -> None:
        self.limit_bytes = limit_bytes
        #: Below this there is room for any request, and none needs to be looked at.
        self._sure_bytes = (limit_bytes or 0) - _MOST_PER_BYTE * max_request_bytes
        self._warning_bytes = None if limit_bytes is None else int(limit_bytes * limits.QUOTA_WARNING_SHARE)
        #: Whether the store is known to be close to its quota.
        self.has_warned = False

    def has_room(self, size_bytes: int, kind: int, request: Any) -> bool:
        """Whether a store of this size may take a request."""
        limit = self.limit_bytes
        if limit is None or size_bytes < self._sure_bytes:
            return True
        cost = cost_bytes(kind, request)
        return cost == 0 or size_bytes + cost < limit

    def is_to_warn(self, size_bytes: int) -> bool:
        """True once when the store has come close to its quota, and again after it was smaller in between."""
        if self._warning_bytes is None:
            return False
        is_close = size_bytes >= self._warning_bytes
        is_news = is_close and not self.has_warned
        self.has_warned = is_close
        return is_news


#: No quota.
UNLIMITED: Final = Quota(None)
