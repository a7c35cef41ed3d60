"""Decides: what a run does not draw when one side is a namespace, seen through `dualmode proxy --namespace`.

All else must be answered as by a server of one's own, whatever other keys there are.
"""

from __future__ import annotations

from typing import Any, Final

from tests.differential.operation import Operation
from tests.differential.run import Run

NOT_GENERATED: Final = {
    "Snapshot": "refused: it would hold all keys",
    "Hash": "of all keys",
    "HashKV": "of all keys",
    "the empty key with all that follow": "means all of the namespace, and nothing to a server",
    "deletes of all that follow in a Txn": "etcd does not see what of the puts they delete; in a namespace it does",
}
_METHODS: Final = ("Snapshot", "Hash", "HashKV")


class NamespacedRun(Run):
    """A `Run` without them."""

    def step(self, operation: Operation) -> None:
        if operation.method not in _METHODS:
            _tame(operation.request, is_in_txn=False)
            super().step(operation)


def _tame(message: Any, is_in_txn: bool) -> None:
    """In place."""
    fields = message.DESCRIPTOR.fields_by_name
    if "range_end" in fields and message.range_end == b"\0":
        is_delete = message.DESCRIPTOR.name == "DeleteRangeRequest"
        if (is_in_txn and is_delete) or not message.key:
            message.range_end = b""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in value if descriptor.is_repeated else (value,):
                _tame(part, is_in_txn or message.DESCRIPTOR.name == "TxnRequest")
