"""Decides: which differences are meant, and why. The one place for them.

We answer as etcd 3.6 where its releases differ. A row says when it applies as narrowly as it can; a run counts how
often each row was needed. What cannot be compared at all is not generated, and stands in NOT_GENERATED with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.differential.compare import Outcome
from tests.differential.operations import Operation

Applies = Callable[[Operation, Outcome, Outcome], bool]


@dataclass(frozen=True, slots=True)
class Known:
    """`applies` is asked with (older, newer) and, by `explanation`, also the other way round."""

    name: str
    reason: str
    applies: Applies


def _has_odd_sort(request: Any) -> bool:
    return request.sort_order not in range(3) or request.sort_target not in range(5)


def _sort_option(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    return (
        operation.method == "Range" and _has_odd_sort(operation.request) and newer.text.endswith("invalid sort option")
    )


def _hash_revision(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    if operation.method != "HashKV" or older.response is None or newer.response is None:
        return False
    was, told = type(older.response)(), type(newer.response)()
    was.CopyFrom(older.response)
    told.CopyFrom(newer.response)
    told.hash_revision = 0
    for answer in (was, told):
        answer.ClearField("header")
    return bool(newer.response.hash_revision) and was.SerializeToString() == told.SerializeToString()


KNOWN: Final = (
    Known("hash_revision", "3.6 tells which revision HashKV hashed; 3.5 has no such field", _hash_revision),
    Known(
        "unknown sort option", "3.6 refuses unknown sort_order and sort_target; 3.4 and 3.5 ignore them", _sort_option
    ),
)

NOT_GENERATED: Final = {
    "an unknown sort_target with a known sort_order": "one such request ends an etcd 3.4 or 3.5 (nil sorter)",
    "ignore_value or ignore_lease in a Txn that also deletes": "when the key goes first, etcd ends with a panic",
    "unknown sort options inside Txn": "3.6 refuses the whole Txn, so the stores would drift apart",
    "watch from a negative revision": "3.5.24 and 3.6.6 cancel it, older ones replay what is left",
    "watch from exactly the compacted revision": "3.5.16 and 3.6 keep a tombstone there, older ones dropped it",
    "progress requests": "before 3.5.8 they are answered at once, whatever was delivered",
    "HashKV of a revision in the past": "3.5.5 and later answer from hashes that compactions left",
    "leases that expire": "at their own time on each server; tests of leases look at that",
}


def explanation(operation: Operation, a: Outcome, b: Outcome) -> Known | None:
    for row in KNOWN:
        if row.applies(operation, a, b) or row.applies(operation, b, a):
            return row
    return None
