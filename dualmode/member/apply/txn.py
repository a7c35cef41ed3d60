"""Decides: a Txn: which branch of the whole tree is taken, whether it can be done, then its operations in order.

Three passes, as etcd has it, so that a transaction is done entirely or not at all:

1. every compare of the tree, nested ones too, is evaluated against the state before the transaction;
2. the operations on the path that was found are checked (leases exist, ignored fields have something to keep,
   revisions can be read);
3. they are executed; each sees what the earlier ones wrote; all writes share one revision.

Answers are put together as bytes: an operation's answer is field 1 to 4 of a ResponseOp inside field 3 of TxnResponse.
"""

from __future__ import annotations

from typing import Any, Final

from dualmode import errors
from dualmode.member.apply import writes
from dualmode.member.apply.transaction import DELETE_RANGE, PUT, RANGE, TXN, Compare, Operation, Transaction
from dualmode.member.kv import ranges
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

_EQUAL: Final = 0
_GREATER: Final = 1
_LESS: Final = 2
_NOT_EQUAL: Final = 3
#: By target: the tag of what is compared, in a record.
_TAGS: Final = (
    keyvalue.VERSION_TAG,
    keyvalue.CREATE_REVISION_TAG,
    keyvalue.MOD_REVISION_TAG,
    keyvalue.VALUE_TAG,
    keyvalue.LEASE_TAG,
)
_VALUE: Final = 3

#: One boolean per transaction of the tree, parents before children, in the order they are met on the taken path.
Path = list[bool]


def evaluate(view: ranges.ReadView, transaction: Transaction) -> Path:
    """Pass 1: the branch each transaction on the taken path takes."""
    taken = True
    for compare in transaction.compares:
        if not _holds(view, compare):
            taken = False
            break
    path = [taken]
    for operation in transaction.success if taken else transaction.failure:
        if operation.kind == TXN:
            path += evaluate(view, operation.request)
    return path


def _holds(view: ranges.ReadView, compare: Compare) -> bool:
    if compare.range_end:
        found = view.select(compare.key, compare.range_end, 0, 0)
        if found:
            return all(_record_holds(kv, compare) for kv in found)
    else:
        kv = view.get(compare.key)
        if kv is not None:
            return _record_holds(kv, compare)
    # A key that is not there compares as all zero, but has no value that could compare to anything.
    return compare.target != _VALUE and _compares(0, compare)


def _record_holds(kv: bytes, compare: Compare) -> bool:
    target = compare.target
    if target == _VALUE:
        return _compares(keyvalue.value_of(kv), compare)
    return _compares(keyvalue.number_of(kv, _TAGS[target]) if 0 <= target < len(_TAGS) else 0, compare)


def _compares(have: Any, compare: Compare) -> bool:
    """Whether `have`, a number or a value, is to the wanted one as the condition says. A result that this version does
    not know holds always, as in etcd."""
    result, wanted = compare.result, compare.wanted
    if result == _EQUAL:
        return bool(have == wanted)
    if result == _GREATER:
        return bool(have > wanted)
    if result == _LESS:
        return bool(have < wanted)
    return result != _NOT_EQUAL or bool(have != wanted)


def check(store: writes.WriteView, leases: writes.Leases, transaction: Transaction, path: Path, compacted: int) -> None:
    """Pass 2; raises what etcd raises, having changed nothing: what is wrong with a put comes before what is wrong
    with a range, wherever they stand."""
    operations = transaction.success if path[0] else transaction.failure
    if len(path) > 1:
        operations = []
        _take_operations(transaction, path, 0, operations)
    for operation in operations:
        if operation.kind == PUT:
            writes.check_put(store, leases, operation.request)
    for operation in operations:
        if operation.kind == RANGE:
            _check_revision(store, operation.request.revision, compacted)


def _take_operations(transaction: Transaction, path: Path, position: int, taken: list[Operation]) -> int:
    """Adds the operations on the taken path, nested ones in their place; gives the position in the path behind it."""
    branch = transaction.success if path[position] else transaction.failure
    position += 1
    for operation in branch:
        if operation.kind == TXN:
            position = _take_operations(operation.request, path, position, taken)
        else:
            taken.append(operation)
    return position


def _check_revision(store: writes.WriteView, revision: int, compacted: int) -> None:
    if revision > store.revision:
        raise errors.FUTURE_REVISION
    if revision != 0 and revision < compacted:
        raise errors.COMPACTED


def execute(store: writes.WriteView, transaction: Transaction, path: Path) -> bytes:
    """Pass 3: the serialised TxnResponse without its header, which tells the revision afterwards: whoever has it puts
    it in front."""
    parts: list[bytes] = []
    _execute(store, transaction, path, 0, parts)
    return b"".join(parts)


def _execute(store: writes.WriteView, transaction: Transaction, path: Path, position: int, parts: list[bytes]) -> int:
    """Adds the fields of the answer behind its header; gives the position in the path behind this transaction."""
    if path[position]:
        parts.append(b"\x10\x01")
        branch = transaction.success
    else:
        branch = transaction.failure
    position += 1
    for operation in branch:
        kind = operation.kind
        if kind == PUT:
            previous = writes.put(store, operation.request)
            answer = _inner_header(store) if previous is None else _inner_header(store) + ranges.field(previous)
            tag = b"\x12"
        elif kind == RANGE:
            answer, tag = ranges.execute(store, operation.request, _inner_header(store)), b"\x0a"
        elif kind == DELETE_RANGE:
            answer, tag = writes.delete_range(store, operation.request, lambda: _inner_header(store)), b"\x1a"
        else:
            inner = [b"\x0a\x00"]
            position = _execute(store, operation.request, path, position, inner)
            answer, tag = b"".join(inner), b"\x22"
        size = varint(len(answer))
        parts += (b"\x1a", varint(1 + len(size) + len(answer)), tag, size, answer)
    return position


def _inner_header(store: writes.WriteView) -> bytes:
    """Inside a transaction a header carries the revision and nothing else: the one being written, once it has begun."""
    header = b"\x18" + varint(store.current_revision)
    return b"\x0a" + varint(len(header)) + header
