"""Does: watches over the quota: refuses what would pass it, raises the alarm NOSPACE, and warns in good time."""

from __future__ import annotations

from typing import Any, Final

from dualmode import errors, log
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.alarms import NOSPACE, Alarms
from dualmode.member.lease.access import Propose
from dualmode.member.maintenance.quota import Quota
from dualmode.storage.mvcc.store import Store

_log = log.get("quota")
_ACTIVATE: Final = 1


class SpaceGuard:
    """The quota of one member. It is the `Reply` of the alarms it proposes, one at a time."""

    def __init__(self, quota: Quota, store: Store, alarms: Alarms, member_id: int, propose: Propose) -> None:
        self._quota = quota
        self._store = store
        self._alarms = alarms
        self._member_id = member_id
        self._propose = propose
        self._is_raising = False

    def admit(self, kind: int, request: Any) -> None:
        """Before a request is proposed. Raises NO_SPACE."""
        if not self._quota.has_room(self._store.total_size, kind, request):
            self.raise_alarm()
            raise errors.NO_SPACE

    def raise_alarm(self) -> None:
        """The quota was passed: the whole cluster is told, unless it knows."""
        if self._is_raising or self._alarms.has(self._member_id, NOSPACE):
            return
        self._is_raising = True
        alarm = etcdserverpb.AlarmRequest(action=_ACTIVATE, memberID=self._member_id, alarm=NOSPACE)
        _log.warning(
            "alarm raised", alarm="NOSPACE", size_bytes=self._store.total_size, quota_bytes=self._quota.limit_bytes
        )
        try:
            self._propose(requests.ALARM, alarm.SerializeToString(), alarm, self)
        except RpcError as error:
            self.fail(error)

    def reply(self, message: bytes) -> None:
        """The alarm is raised."""
        self._is_raising = False

    def fail(self, error: RpcError) -> None:
        """It is not, or not known to be; the next request that finds no room tries again."""
        self._is_raising = False
        _log.warning("failed to raise alarm", alarm="NOSPACE", error=error.message)

    def note_size(self) -> None:
        """A pass of the store has ended."""
        if self._quota.is_to_warn(self._store.total_size):
            _log.warning(
                "store is close to its quota: compact it, or give it more (--quota-backend-bytes)",
                size_bytes=self._store.total_size,
                quota_bytes=self._quota.limit_bytes,
            )
