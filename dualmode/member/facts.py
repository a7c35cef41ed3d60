"""Decides: what the status routes are told of a member (`status.facts.ServerFacts`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dualmode
from dualmode.member.replica import Replica
from dualmode.status.facts import Versions

_ALARM_NAMES: Final = {1: "NOSPACE", 2: "CORRUPT"}


def alarm_name(alarm: int) -> str:
    """As protobuf names it; a type that is none is raised and put down like the others, under its number."""
    return _ALARM_NAMES.get(alarm, str(alarm))


def alarm_text(one: Any) -> str:
    """An AlarmMember as etcd's Status tells it: protobuf's text format, without what is zero."""
    member = f"memberID:{one.memberID} " if one.memberID else ""
    return f"{member}alarm:{alarm_name(one.alarm)} "


class MemberFacts:
    """One member, as /health, /readyz, /version and /debug/vars show it."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    @property
    def has_leader(self) -> bool:
        return self._replica.has_leader

    @property
    def is_learner(self) -> bool:
        return self._replica.is_learner

    @property
    def alarms(self) -> Sequence[str]:
        return [_ALARM_NAMES.get(one.alarm, "UNKNOWN") for one in self._replica.applier.alarms.raised()]

    @property
    def versions(self) -> Versions:
        cluster = self._replica.applier.membership.cluster_version
        return Versions(dualmode.ETCD_VERSION, cluster, dualmode.ETCD_VERSION, dualmode.__version__)

    @property
    def raft_status(self) -> Mapping[str, Any]:
        node = self._replica.node
        return {
            "id": f"{node.id:x}",
            "term": node.term,
            "vote": f"{node.vote:x}",
            "commit": node.committed,
            "lead": f"{node.leader:x}",
            "raftState": node.state.printed,
            "applied": node.applied,
        }

    async def linearizable_read(self) -> None:
        """At once for a member alone that leads; else a round of asking the others."""
        await self._replica.intake.wait_until_readable()

    async def serializable_read(self) -> None:
        """Reads a row: a store that cannot be read raises."""
        self._replica.store.get(b"\0")
