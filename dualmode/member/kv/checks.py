"""Decides: whether a KV request is well formed, before anything is proposed (etcd `v3rpc/key.go`).

Each check returns None or raises one of etcd's canonical errors. Messages are protobuf objects, but for a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dualmode import errors
from dualmode.member.apply.transaction import DELETE_RANGE, PUT, RANGE, TXN, Operation, Transaction

_SORT_ORDERS: Final = frozenset((0, 1, 2))
_SORT_TARGETS: Final = frozenset((0, 1, 2, 3, 4))

#: Half-open intervals of keys that a branch deletes, as (low, high).
Intervals = list[tuple[bytes, bytes]]


def check_range(request: Any) -> None:
    """A RangeRequest."""
    if not request.key:
        raise errors.EMPTY_KEY
    if request.sort_order not in _SORT_ORDERS or request.sort_target not in _SORT_TARGETS:
        raise errors.INVALID_SORT_OPTION


def check_put(request: Any) -> None:
    """A PutRequest."""
    if not request.key:
        raise errors.EMPTY_KEY
    if request.ignore_value and request.value:
        raise errors.VALUE_PROVIDED
    if request.ignore_lease and request.lease:
        raise errors.LEASE_PROVIDED


def check_delete_range(request: Any) -> None:
    """A DeleteRangeRequest."""
    if not request.key:
        raise errors.EMPTY_KEY


def check_txn(transaction: Transaction) -> None:
    """A TxnRequest: sizes, each operation by itself, then that no branch writes a key twice."""
    _check_operations(transaction)
    for branch in (transaction.success, transaction.failure):
        # One operation cannot write a key twice, unless it is a transaction itself: the usual compare-and-put.
        if len(branch) > 1 or (branch and branch[0].kind == TXN):
            _written_by(branch)


def _check_operations(transaction: Transaction) -> None:
    if transaction.is_too_long:
        raise errors.TOO_MANY_OPERATIONS
    for compare in transaction.compares:
        if not compare.key:
            raise errors.EMPTY_KEY
    for operation in transaction.success:
        _check_operation(operation)
    for operation in transaction.failure:
        _check_operation(operation)


def _check_operation(operation: Operation) -> None:
    kind = operation.kind
    if kind == PUT:
        check_put(operation.request)
    elif kind == RANGE:
        check_range(operation.request)
    elif kind == DELETE_RANGE:
        check_delete_range(operation.request)
    elif kind == TXN:
        _check_operations(operation.request)
    else:
        raise errors.KEY_NOT_FOUND


def _written_by(branch: list[Operation]) -> tuple[set[bytes], Intervals]:
    """The keys a branch puts and the intervals it deletes; raises DUPLICATE_KEY where a key is written twice.

    The order is etcd's and shows: deletes of this level are known to everything, those of a nested transaction only to
    what comes after it. `then` and `else` of one nested transaction exclude each other, so both may put a key.
    """
    deletes: Intervals = [
        _literal_interval(operation.request) for operation in branch if operation.kind == DELETE_RANGE
    ]
    puts: set[bytes] = set()
    for operation in branch:
        if operation.kind == TXN:
            then_puts, then_deletes = _written_by(operation.request.success)
            else_puts, else_deletes = _written_by(operation.request.failure)
            _refuse_overlap(then_puts, puts, deletes)
            _refuse_overlap(else_puts, puts, deletes)
            puts |= then_puts | else_puts
            deletes += then_deletes + else_deletes
    for operation in branch:
        if operation.kind == PUT:
            key = operation.request.key
            _refuse_overlap((key,), puts, deletes)
            puts.add(key)
    return puts, deletes


def _literal_interval(request: Any) -> tuple[bytes, bytes]:
    # etcd takes range_end "\0" (from key on) literally here: such a delete conflicts with nothing.
    return request.key, request.range_end or request.key + b"\0"


def _refuse_overlap(keys: Iterable[bytes], puts: set[bytes], deletes: Intervals) -> None:
    for key in keys:
        if key in puts or any(low <= key < high for low, high in deletes):
            raise errors.DUPLICATE_KEY


def is_read_only(transaction: Transaction) -> bool:
    """Whether a transaction writes in neither branch: then it is not proposed, but read locally."""
    return _reads_only(transaction.success) and _reads_only(transaction.failure)


def _reads_only(branch: list[Operation]) -> bool:
    for operation in branch:
        kind = operation.kind
        if kind != RANGE and (kind != TXN or not is_read_only(operation.request)):
            return False
    return True


def is_serializable(transaction: Transaction) -> bool:
    """Whether a read-only transaction may be answered without asking the leader: all its reads are serializable."""
    for branch in (transaction.success, transaction.failure):
        for operation in branch:
            if operation.kind != RANGE or not operation.request.serializable:
                return False
    return True
