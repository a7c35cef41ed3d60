"""Does: on the leader, proposes to revoke the leases that have expired, and the checkpoints that are due.

A lease ends nowhere by itself: each member forgets it when it applies the revocation. Only so many are proposed at
once, so that a hundred thousand leases that expire together take their turns with everybody else's writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.lease.access import Leader, ProposeFor
from dualmode.member.lease.lessor import Lessor

_log = log.get("lease")


class LeaseExpiry:
    """The task that looks at the lessor's clock. It is the `Reply` of all that it proposes.

    `extend_seconds` is what every lease lives longer after an election: an election timeout. `propose_for` gives who
    may revoke any lease (root, while authentication is on).
    """

    def __init__(
        self,
        lessor: Lessor,
        leader: Leader,
        propose: ProposeFor,
        *,
        propose_for: Callable[[], Caller] = lambda: NOBODY,
        extend_seconds: float,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._lessor = lessor
        self._leader = leader
        self._propose = propose
        self._propose_for = propose_for
        self._extend_seconds = extend_seconds
        self._now = now
        self._in_flight = 0
        self._wake = trio.Event()

    def on_leadership(self, is_leader: bool) -> None:
        """This member has become, or ceased to be, leader."""
        if is_leader:
            self._lessor.promote(self._now(), self._extend_seconds)
        else:
            self._lessor.demote()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with trio.move_on_after(limits.LEASE_EXPIRY_INTERVAL_SECONDS):
                await self._wake.wait()
            self._wake = trio.Event()
            if self._lessor.is_primary:
                await self._round()

    async def _round(self) -> None:
        while not self._lessor.enqueue(limits.LEASE_ENQUEUE_STEP, self._now()):
            await trio.lowlevel.checkpoint()
        try:
            if self._lessor.has_expired(self._now()) and not self._leader.is_confirmed:
                # A leader that was stuck for long (a slow disk) may have been replaced without knowing it, and the
                # keep-alives went to its successor: what it takes for expired is not.
                await self._leader.confirm()
            await self._revoke_expired()
            self._propose_checkpoints()
        except RpcError as error:
            _log.warning("leases have to wait", reason=error.forget_raising().message)

    async def _revoke_expired(self) -> None:
        while self._lessor.has_expired(self._now()):
            room = limits.LEASE_REVOKES_IN_FLIGHT - self._in_flight
            if room <= 0:
                return
            for lease_id in self._lessor.expired(self._now(), room):
                request = etcdserverpb.LeaseRevokeRequest(ID=lease_id)
                self._start(requests.LEASE_REVOKE, request)
            await trio.lowlevel.checkpoint()

    def _propose_checkpoints(self) -> None:
        due = self._lessor.due_checkpoints(self._now(), limits.LEASE_CHECKPOINTS_PER_BATCH)
        if due:
            checkpoints = [etcdserverpb.LeaseCheckpoint(ID=one, remaining_TTL=remaining) for one, remaining in due]
            self._start(requests.LEASE_CHECKPOINT, etcdserverpb.LeaseCheckpointRequest(checkpoints=checkpoints))

    def _start(self, kind: int, request: Any) -> None:
        self._in_flight += 1
        try:
            self._propose(kind, request.SerializeToString(), request, self, self._propose_for())
        except RpcError:
            self._in_flight -= 1
            raise

    def reply(self, message: bytes) -> None:
        """One of the proposals was applied."""
        self._in_flight -= 1
        if self._in_flight == limits.LEASE_REVOKES_IN_FLIGHT // 2:
            self._wake.set()

    def fail(self, error: RpcError) -> None:
        """One of the proposals was refused or lost, or somebody else was quicker. The lessor will ask again."""
        self.reply(b"")
