"""Decides: whether a KV request is well formed, before anything is proposed (etcd `v3rpc/key.go`).

Each check returns None or raises one of etcd's canonical errors. Messages are protobuf objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dualmode import errors

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


def check_txn(request: Any, max_operations: int) -> None:
    """A TxnRequest: sizes, each operation by itself, then that no branch writes a key twice."""
    _check_operations(request, max_operations)
    for branch in (request.success, request.failure):
        # One operation cannot write a key twice, unless it is a transaction itself: the usual compare-and-put.
        if len(branch) > 1 or (branch and branch[0].WhichOneof("request") == "request_txn"):
            _written_by(branch)


def _check_operations(request: Any, max_operations: int) -> None:
    # A nested transaction gets what the longest list of its parent leaves, so nesting cannot multiply the work.
    longest = max(len(request.compare), len(request.success), len(request.failure))
    if longest > max_operations:
        raise errors.TOO_MANY_OPERATIONS
    for compare in request.compare:
        if not compare.key:
            raise errors.EMPTY_KEY
    for branch in (request.success, request.failure):
        for operation in branch:
            _check_operation(operation, max_operations - longest)


def _check_operation(operation: Any, max_operations: int) -> None:
    kind = operation.WhichOneof("request")
    if kind == "request_put":
        check_put(operation.request_put)
    elif kind == "request_range":
        check_range(operation.request_range)
    elif kind == "request_delete_range":
        check_delete_range(operation.request_delete_range)
    elif kind == "request_txn":
        _check_operations(operation.request_txn, max_operations)
    else:
        raise errors.KEY_NOT_FOUND


def _written_by(branch: Iterable[Any]) -> tuple[set[bytes], Intervals]:
    """The keys a branch puts and the intervals it deletes; raises DUPLICATE_KEY where a key is written twice.

    The order is etcd's and shows: deletes of this level are known to everything, those of a nested transaction only to
    what comes after it. `then` and `else` of one nested transaction exclude each other, so both may put a key.
    """
    deletes: Intervals = [
        _literal_interval(operation.request_delete_range)
        for operation in branch
        if operation.WhichOneof("request") == "request_delete_range"
    ]
    puts: set[bytes] = set()
    for operation in branch:
        if operation.WhichOneof("request") == "request_txn":
            then_puts, then_deletes = _written_by(operation.request_txn.success)
            else_puts, else_deletes = _written_by(operation.request_txn.failure)
            _refuse_overlap(then_puts, puts, deletes)
            _refuse_overlap(else_puts, puts, deletes)
            puts |= then_puts | else_puts
            deletes += then_deletes + else_deletes
    for operation in branch:
        if operation.WhichOneof("request") == "request_put":
            key = operation.request_put.key
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


def is_read_only(request: Any) -> bool:
    """Whether a TxnRequest writes in neither branch: then it is not proposed, but read locally."""
    return all(_reads_only(operation) for branch in (request.success, request.failure) for operation in branch)


def _reads_only(operation: Any) -> bool:
    kind = operation.WhichOneof("request")
    return kind == "request_range" or (kind == "request_txn" and is_read_only(operation.request_txn))


def is_serializable(request: Any) -> bool:
    """Whether a read-only TxnRequest may be answered without asking the leader: all its reads are serializable."""
    return all(
        operation.WhichOneof("request") == "request_range" and operation.request_range.serializable
        for branch in (request.success, request.failure)
        for operation in branch
    )
