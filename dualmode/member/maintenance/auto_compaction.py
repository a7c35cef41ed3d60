"""Does: follows a plan of compaction: while this member leads, it proposes what the plan says is due."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from dualmode import errors, log
from dualmode.api import etcdserverpb
from dualmode.config.durations import SECOND, format_duration
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.lease.access import Propose
from dualmode.member.maintenance.compaction_plans import Plan
from dualmode.rpc.local import AwaitableReply

_log = log.get("compactor")


class AutoCompactor:
    """`run` is its task. Members that follow sample too, so that whoever leads next knows what is old."""

    def __init__(
        self,
        plan: Plan,
        propose: Propose,
        *,
        revision: Callable[[], int],
        is_leader: Callable[[], bool],
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._plan = plan
        self._propose = propose
        self._revision = revision
        self._is_leader = is_leader
        self._now = now

    async def run(self) -> None:
        """Works until cancelled."""
        plan = self._plan
        while True:
            plan.sample(self._revision())
            await trio.sleep(plan.interval_seconds)
            if self._is_leader():
                target = plan.due(self._now(), self._revision())
                if target is not None:
                    await self._compact(target)

    async def _compact(self, revision: int) -> None:
        plan, began = self._plan, time.monotonic_ns()
        fields = {"revision": revision} | plan.log_fields()
        _log.info(f"starting auto {plan.name} compaction", **fields)
        request = etcdserverpb.CompactionRequest(revision=revision)
        reply = AwaitableReply()
        try:
            self._propose(requests.COMPACTION, request.SerializeToString(), request, reply)
            await reply.result()
        except RpcError as error:
            error.forget_raising()
            if error != errors.COMPACTED:  # somebody else did it: as good
                _log.warning(
                    f"failed auto {plan.name} compaction",
                    **fields,
                    **{"retry-interval": format_duration(round(plan.interval_seconds * SECOND))},
                    error=error.message,
                )
                return
        plan.done(self._now(), revision)
        _log.info(f"completed auto {plan.name} compaction", **fields, took=format_duration(time.monotonic_ns() - began))
