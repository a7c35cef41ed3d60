"""Does: has the autopilot look at the cluster now and then, while this member leads, and asks for what it decides."""

from __future__ import annotations

import trio

from dualmode import limits, log
from dualmode.errors import RpcError
from dualmode.member.cluster.autopilot import Autopilot, AutopilotRules, Promotion
from dualmode.member.cluster.reconfiguration import ConnectedSince
from dualmode.member.cluster.service import ClusterService
from dualmode.member.replica import Replica

_log = log.get("autopilot")


class AutopilotTask:
    """Of one member; `run` is its task."""

    def __init__(
        self, rules: AutopilotRules, replica: Replica, cluster: ClusterService, connected_since: ConnectedSince
    ) -> None:
        self._pilot = Autopilot(rules)
        self._replica = replica
        self._cluster = cluster
        self._connected_since = connected_since
        replica.leadership.on_change.append(lambda is_leading: self._pilot.reset())

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await trio.sleep(limits.AUTOPILOT_SECONDS)
            if self._replica.is_leader:
                await self._look()

    async def _look(self) -> None:
        members, node = self._cluster.members, self._replica.node
        progress = node.status().progress
        own = progress.get(node.id)
        if own is None:
            return
        decided = self._pilot.decide(
            node.id,
            members,
            {one.id: self._connected_since(one.id) is not None for one in members},
            {
                one.id: one.id in progress and progress[one.id].match >= own.match * limits.LEARNER_READY_SHARE
                for one in members
            },
            trio.current_time(),
        )
        if decided is None:
            return
        try:
            if isinstance(decided, Promotion):
                _log.info("a learner has caught up: promoting it", member_id=f"{decided.member_id:x}")
                await self._cluster.promote_here(decided.member_id)
            else:
                _log.warning("a member has been dead for long: removing it", member_id=f"{decided.member_id:x}")
                await self._cluster.remove_here(decided.member_id)
        except RpcError as error:
            _log.warning("the change was refused", member_id=f"{decided.member_id:x}", error=error.message)
