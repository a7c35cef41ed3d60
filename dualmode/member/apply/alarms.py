"""Decides: which alarms are raised; kept in etcd's bucket `alarm`, so that they survive a restart."""

from __future__ import annotations

from typing import Any, Final

from dualmode.api import etcdserverpb
from dualmode.member.buckets import BucketRows

_BUCKET: Final = b"alarm"
_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2
_ANY: Final = 0


class Alarms:
    """The set of (member, type) that is raised, with etcd's rules for asking and changing it."""

    def __init__(self, rows: BucketRows) -> None:
        self._rows = rows
        stored = (etcdserverpb.AlarmMember.FromString(key) for key, _ in rows.bucket_rows(_BUCKET))
        self._raised: set[tuple[int, int]] = {(one.memberID, one.alarm) for one in stored}

    def raised(self, alarm: int = _ANY) -> list[Any]:
        """AlarmMembers of one type, or all of them."""
        return [_alarm_member(*one) for one in sorted(self._raised) if alarm in (_ANY, one[1])]

    def is_raised(self, alarm: int) -> bool:
        """Whether any member has raised this type."""
        return any(kind == alarm for _, kind in self._raised)

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
