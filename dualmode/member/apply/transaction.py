"""Decides: a TxnRequest taken apart, once: what the checks, the quota, the gate, and the three passes of a Txn walk.

Asking a protobuf message for a field, or for which operation it holds, costs more than what is then done with the
answer. So it is asked here, and everything else walks plain objects.
"""

from __future__ import annotations

import sys
from typing import Any, Final

#: Which operation a RequestOp holds, by its field number there; NOTHING when it holds none.
NOTHING: Final = 0
RANGE: Final = 1
PUT: Final = 2
DELETE_RANGE: Final = 3
TXN: Final = 4

_KINDS: Final = {None: NOTHING, "request_range": RANGE, "request_put": PUT, "request_delete_range": DELETE_RANGE}
_WANTED: Final = ("version", "create_revision", "mod_revision", "value", "lease")
#: Who takes an entry apart that is in the log asks for no limit: its proposer did.
UNLIMITED: Final = sys.maxsize


class Compare:
    """One condition. `wanted` is the value its target is held against; 0 for a target this version does not know."""

    __slots__ = ("key", "range_end", "result", "target", "wanted")

    def __init__(self, message: Any) -> None:
        self.key: bytes = message.key
        self.range_end: bytes = message.range_end
        self.result: int = message.result
        self.target: int = message.target
        self.wanted: Any = getattr(message, _WANTED[self.target]) if 0 <= self.target < len(_WANTED) else 0


class Operation:
    """One operation of a branch: `request` is the protobuf message of `kind`, a `Transaction` for TXN."""

    __slots__ = ("kind", "request")

    def __init__(self, kind: int, request: Any) -> None:
        self.kind = kind
        self.request = request


class Transaction:
    """A TxnRequest. One that has more compares or operations in a branch than it may is not taken apart further:
    `is_too_long` says so, whoever checks it refuses it, and until then it has cost nothing."""

    __slots__ = ("compares", "failure", "is_too_long", "success")

    def __init__(self, request: Any, max_operations: int = UNLIMITED) -> None:
        compares, success, failure = request.compare, request.success, request.failure
        longest = max(len(compares), len(success), len(failure))
        self.is_too_long = longest > max_operations
        self.compares: list[Compare] = []
        self.success: list[Operation] = []
        self.failure: list[Operation] = []
        if self.is_too_long:
            return
        # A nested transaction gets what the longest list of its parent leaves, so nesting cannot multiply the work.
        left = max_operations - longest
        if compares:
            self.compares = [Compare(compare) for compare in compares]
        if success:
            self.success = [_operation(operation, left) for operation in success]
        if failure:
            self.failure = [_operation(operation, left) for operation in failure]


def _operation(message: Any, max_operations: int) -> Operation:
    name = message.WhichOneof("request")
    if name == "request_put":
        return Operation(PUT, message.request_put)
    if name == "request_txn":
        return Operation(TXN, Transaction(message.request_txn, max_operations))
    return Operation(_KINDS[name], None if name is None else getattr(message, name))
