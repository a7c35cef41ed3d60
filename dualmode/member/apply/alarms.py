"""Decides: which alarms are raised and what they forbid; kept in etcd's bucket `alarm`, so that they survive a restart.

NOSPACE of any member refuses what would make the store grow, so that deleting, compacting and revoking can make room.
CORRUPT refuses every change of keys and leases: what members have is not the same, and nobody knows who is right.
"""

from __future__ import annotations

from typing import Any, Final

from dualmode import errors
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.buckets import BucketRows

NOSPACE: Final = 1
CORRUPT: Final = 2

_BUCKET: Final = b"alarm"
_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2
_ANY: Final = 0
_CHANGES_DATA: Final = frozenset(
    (
        requests.PUT,
        requests.DELETE_RANGE,
        requests.TXN,
        requests.COMPACTION,
        requests.LEASE_GRANT,
        requests.LEASE_REVOKE,
    )
)


class Alarms:
    """The set of (member, type) that is raised, with etcd's rules for asking and changing it."""

    def __init__(self, rows: BucketRows) -> None:
        self._rows = rows
        self._raised: set[tuple[int, int]] = set()
        self.load()

    def load(self) -> None:
        """Reads everything anew: at the start, and after the store's content was replaced."""
        stored = (etcdserverpb.AlarmMember.FromString(key) for key, _ in self._rows.bucket_rows(_BUCKET))
        self._raised = {(one.memberID, one.alarm) for one in stored}

    @property
    def is_quiet(self) -> bool:
        """Whether none is raised: nothing is forbidden."""
        return not self._raised

    def raised(self, alarm: int = _ANY) -> list[Any]:
        """AlarmMembers of one type, or all of them."""
        return [_alarm_member(*one) for one in sorted(self._raised) if alarm in (_ANY, one[1])]

    def is_raised(self, alarm: int) -> bool:
        """Whether any member has raised this type."""
        return any(kind == alarm for _, kind in self._raised)

    def has(self, member_id: int, alarm: int) -> bool:
        """Whether this member has raised this type."""
        return (member_id, alarm) in self._raised

    def refusal(self, kind: int, grows: bool) -> RpcError | None:
        """What a request of this kind is refused with now. `grows`: it may add something to the store."""
        if kind in _CHANGES_DATA and self.is_raised(CORRUPT):
            return errors.CORRUPT
        if grows and self.is_raised(NOSPACE):
            return errors.NO_SPACE
        return None

    def apply(self, request: Any) -> list[Any]:
        """Does an AlarmRequest; gives the AlarmMembers it is answered with."""
        if request.action == _GET:
            return self.raised(request.alarm)
        entry = (request.memberID, request.alarm)
        row = _alarm_member(*entry)
        if request.action == _ACTIVATE and request.alarm != _ANY:
            self._raised.add(entry)
            self._rows.bucket_put(_BUCKET, row.SerializeToString(), b"")
            return [row]
        if request.action == _DEACTIVATE and entry in self._raised:
            self._raised.discard(entry)
            self._rows.bucket_delete(_BUCKET, row.SerializeToString())
            return [row]
        return []


def _alarm_member(member_id: int, alarm: int) -> Any:
    return etcdserverpb.AlarmMember(memberID=member_id, alarm=alarm)
