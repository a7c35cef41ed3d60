"""Decides: which differences are meant, and why. The one place for them.

We answer as etcd 3.6 where its releases differ. A row says when it applies as narrowly as it can; a run counts how
often each row was needed. What cannot be compared at all is not generated, and stands in NOT_GENERATED with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.differential.accounts import ROOT
from tests.differential.compare import Outcome
from tests.differential.operation import Operation

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


#: What 3.5.1 answers to everybody and later releases only to a user, or to one with the right to it. Only calls that
#: change nothing are drawn for those who may not (operations.py).
_CLOSED_LATER: Final = frozenset(
    ("Status", "MemberList", "Alarm", "MoveLeader", "Downgrade", "LeaseTimeToLive", "LeaseLeases")
)
_REFUSALS: Final = tuple(
    f"etcdserver: {text}" for text in ("permission denied", "user name is empty", "invalid auth token")
)


def _closed_later(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    if operation.method not in _CLOSED_LATER or operation.user == ROOT:
        return False
    return newer.text in _REFUSALS and older.text not in _REFUSALS


def _asks_first(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    is_one = operation.method == "MemberAdd" and operation.user != ROOT
    return is_one and older.text == "etcdserver: given member URLs are invalid" and newer.text in _REFUSALS


def _opened_later(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    return operation.method == "AuthStatus" and older.text in _REFUSALS and newer.response is not None


def _root_role(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    if operation.method != "RoleGet" or operation.request.role != ROOT or not older.response or not newer.response:
        return False
    return not older.response.perm or [bytes(it.range_end) for it in newer.response.perm] == [b"\0"]


def _auth_prefix(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    is_one = operation.method in ("Hash", "HashKV", "Defragment", "Snapshot")
    return is_one and older.code == 2 and older.text.replace("auth: ", "etcdserver: ", 1) == newer.text in _REFUSALS


def _watch_refusal(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    if operation.method != "WatchCreate" or older.response is None or newer.response is None:
        return False
    return bool(
        all(it.response.created and it.response.canceled for it in (older, newer))
        and older.response.cancel_reason.endswith("permission denied")
        and newer.response.cancel_reason.endswith(_REFUSALS)
    )


def _cancelled_downgrade(operation: Operation, older: Outcome, newer: Outcome) -> bool:
    is_one = operation.method == "Downgrade" and operation.request.action == operation.request.CANCEL
    return is_one and older.text == "etcdserver: no inflight downgrade job" and newer.response is not None


KNOWN: Final = (
    Known(
        "closed since",
        "3.5.1 asks less of who calls these; CVE-2026-33413 and what followed closed them, as we do",
        _closed_later,
    ),
    Known("who adds a member", "etcd looks at the URLs before it looks at who asks; we do not", _asks_first),
    Known("AuthStatus for everyone", "3.7 answers whether to log in before the login", _opened_later),
    Known("role root", "3.6 says that the role root may do everything, 3.5.1 what was granted to it", _root_role),
    Known("cancelled downgrade", "3.6 only logs that there was none to cancel", _cancelled_downgrade),
    Known(
        "unmapped refusal",
        "3.5 gives these of Maintenance as Unknown 'auth: ...', 3.6 maps them",
        _auth_prefix,
    ),
    Known(
        "refused watch",
        "3.5.1 always says permission denied, under the first free id; later -1 and why",
        _watch_refusal,
    ),
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
    "progress requests while events are under way": "before 3.5.8 they are answered at once, whatever was delivered",
    "progress requests where nothing is watched, or from a revision to come": "3.6 waits with the answer",
    "nested Txns, and prev_kv or leases in a Txn's puts, for other users than root": "3.5.1 does not check them",
    "watches from a key on for other users than root": "3.5.1 asks for the key alone",
    "a watch id that is taken, where the permission is missing too": "the refusal silences a 3.5.1's older watch",
    "ranges without keys (upside down) for other users than root": "the shape of etcd's interval tree decides",
    "more than 6 permissions in a role": "which of those with equal keys is replaced depends on etcd's unstable sort",
    "keeping leases alive as others than root": "3.5.1 renews what we refuse, and what is left of it differs then",
    "Compact, LeaseLeases, lease changes without a token": "3.5.1 lets others than root do that; we do not",
    "empty and upside-down permission ranges": "3.5.8 and later refuse them",
    "tokens while auth is off": "3.5.1 still looks at them and refuses old ones; later releases and we do not look",
    "alarms of an unknown type": "one ends an etcd 3.5.1",
    "alarms while auth is on": "raising one takes the auth checks of an etcd 3.5 away",
    "a transaction in a Txn while there is an alarm": "3.5.1 does not count nested puts against the quota",
    "locks and elections that wait, or with a lease of 0": "tests/interop/test_concurrency.py has them",
    "downgrades to what is possible": "the versions of both sides differ",
    "a member that is added twice": "its id has the second in it, so either the id is taken or the URL",
    "other URLs for a learner": "makes a voter of it before 3.5.31",
    "a voter that is added": "the only member would lose its quorum",
    "HashKV of a revision in the past": "3.5.5 and later answer from hashes that compactions left",
    "leases that expire": "at their own time on each server; tests of leases look at that",
}


def explanation(operation: Operation, a: Outcome, b: Outcome) -> Known | None:
    for row in KNOWN:
        if row.applies(operation, a, b) or row.applies(operation, b, a):
            return row
    return None
