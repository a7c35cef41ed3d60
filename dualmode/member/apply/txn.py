"""Decides: a Txn: which branch of the whole tree is taken, whether it can be done, then its operations in order.

Three passes, as etcd has it, so that a transaction is done entirely or not at all:

1. every compare of the tree, nested ones too, is evaluated against the state before the transaction;
2. the operations on the path that was found are checked (leases exist, ignored fields have something to keep,
   revisions can be read);
3. they are executed; each sees what the earlier ones wrote; all writes share one revision.

Answers are put together as bytes: an operation's answer is field 1 to 4 of a ResponseOp inside field 3 of TxnResponse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from dualmode import errors
from dualmode.member.apply import writes
from dualmode.member.kv import ranges
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

_EQUAL, _GREATER, _LESS, _NOT_EQUAL = 0, 1, 2, 3
_RESULTS: Final[dict[int, Callable[[Any, Any], bool]]] = {
    _EQUAL: lambda have, want: have == want,
    _GREATER: lambda have, want: have > want,
    _LESS: lambda have, want: have < want,
    _NOT_EQUAL: lambda have, want: have != want,
}
#: Target -> (position in keyvalue.fields, field of Compare that holds the wanted value).
_TARGETS: Final = {
    0: (3, "version"),
    1: (1, "create_revision"),
    2: (2, "mod_revision"),
    3: (4, "value"),
    4: (5, "lease"),
}
_VALUE: Final = 3
_MISSING: Final = (b"", 0, 0, 0, b"", 0)

#: One boolean per transaction of the tree, parents before children, in the order they are met on the taken path.
Path = list[bool]


def evaluate(view: ranges.ReadView, request: Any) -> Path:
    """Pass 1: the branch each transaction on the taken path takes."""
    taken = all(_holds(view, compare) for compare in request.compare)
    path = [taken]
    for operation in request.success if taken else request.failure:
        if operation.WhichOneof("request") == "request_txn":
            path += evaluate(view, operation.request_txn)
    return path


def _holds(view: ranges.ReadView, compare: Any) -> bool:
    if compare.range_end:
        found = view.select(compare.key, compare.range_end, 0, 0)
    else:
        kv = view.get(compare.key)
        found = [] if kv is None else [kv]
    if not found:
        # A key that is not there compares as all zero, but has no value that could compare to anything.
        return compare.target != _VALUE and _compares(_MISSING, compare)
    return all(_compares(keyvalue.fields(kv), compare) for kv in found)


def _compares(have: tuple[Any, ...], compare: Any) -> bool:
    result = _RESULTS.get(compare.result)
    if result is None:
        return True
    target = _TARGETS.get(compare.target)
    if target is None:
        return result(0, 0)
    position, name = target
    return result(have[position], getattr(compare, name))


def check(store: writes.WriteView, leases: writes.Leases, request: Any, path: Path, compacted: int) -> None:
    """Pass 2; raises what etcd raises, having changed nothing: what is wrong with a put comes before what is wrong
    with a range, wherever they stand."""
    operations = list(_taken_operations(request, iter(path)))
    for operation in operations:
        if operation.WhichOneof("request") == "request_put":
            writes.check_put(store, leases, operation.request_put)
    for operation in operations:
        if operation.WhichOneof("request") == "request_range":
            _check_revision(store, operation.request_range.revision, compacted)


def _taken_operations(request: Any, path: Iterator[bool]) -> Iterator[Any]:
    """The operations on the taken path, nested ones in their place."""
    for operation in request.success if next(path) else request.failure:
        if operation.WhichOneof("request") == "request_txn":
            yield from _taken_operations(operation.request_txn, path)
        else:
            yield operation


def _check_revision(store: writes.WriteView, revision: int, compacted: int) -> None:
    if revision > store.revision:
        raise errors.FUTURE_REVISION
    if revision != 0 and revision < compacted:
        raise errors.COMPACTED


def execute(store: writes.WriteView, request: Any, path: Iterator[bool], header_field: Callable[[], bytes]) -> bytes:
    """Pass 3: the serialised TxnResponse. `header_field` is asked after the last operation, since the header tells
    the revision then."""
    succeeded = next(path)
    parts = [
        _execute_operation(store, operation, path) for operation in (request.success if succeeded else request.failure)
    ]
    return b"".join((header_field(), b"\x10\x01" if succeeded else b"", *parts))


def _execute_operation(store: writes.WriteView, operation: Any, path: Iterator[bool]) -> bytes:
    kind = operation.WhichOneof("request")
    if kind == "request_put":
        previous = writes.put(store, operation.request_put)
        answer, tag = _inner_header(store) + (ranges.field(previous) if previous is not None else b""), b"\x12"
    elif kind == "request_range":
        answer, tag = ranges.execute(store, operation.request_range, _inner_header(store)), b"\x0a"
    elif kind == "request_delete_range":
        answer, tag = writes.delete_range(store, operation.request_delete_range, lambda: _inner_header(store)), b"\x1a"
    else:
        answer, tag = execute(store, operation.request_txn, path, lambda: b"\x0a\x00"), b"\x22"
    response_op = tag + varint(len(answer)) + answer
    return b"\x1a" + varint(len(response_op)) + response_op


def _inner_header(store: writes.WriteView) -> bytes:
    """Inside a transaction a header carries the revision and nothing else: the one being written, once it has begun."""
    header = b"\x18" + varint(store.current_revision)
    return b"\x0a" + bytes((len(header),)) + header
