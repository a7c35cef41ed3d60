"""Does: clients that hold leases, and the check that none of them ended early.

A holder grants a lease, hangs a key on it, keeps it alive for a while and then forgets it, or revokes it. Each time it
is told a time to live, the lease is alive from the moment it asked until that time has passed, by the fastest clock of
the cluster. The key must not go before, unless somebody asked for that; and it must go some time after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from tests.sim.history import Ending, History
from tests.sim.linearizability import LEASED
from tests.sim.node import LostError
from tests.sim.streams import ClientStream
from tests.sim.trace import Violation
from tests.sim.world import World
from tests.sim.writers import any_life, ask

_RESPONSE_SECONDS = 8.0


@dataclass(slots=True)
class Held:
    """What a client knows of one lease."""

    lease_id: int
    #: Alive at least until then.
    until: float
    is_revoked: bool = False
    renewals: int = 0


class LeaseHolder:
    """One client, one lease after the other."""

    def __init__(self, world: World, history: History, name: str) -> None:
        self._world = world
        self._history = history
        self._dice = world.fork(name)
        self._fastest = 1 + world.plan.clock_drift
        self.held: list[Held] = []

    async def run(self) -> None:
        """Until the accidents are over."""
        while not self._world.is_over.is_set():
            lease = await self._grant()
            if lease is not None and await self._hang_key(lease):
                await self._keep(lease)
                if self._dice.random() < 0.2:
                    await self._revoke(lease)
            await trio.sleep(self._dice.expovariate(1 / 0.5))

    async def _grant(self) -> Held | None:
        asked_at, ttl = trio.current_time(), self._dice.choice((1, 3, 6))
        life = await any_life(self._world, self._dice)
        try:
            answer = await life.call(life.member.lease.grant, pb.LeaseGrantRequest(TTL=ttl).SerializeToString())
        except (LostError, RpcError):
            return None
        granted = pb.LeaseGrantResponse.FromString(answer)
        lease = Held(granted.ID, asked_at + granted.TTL / self._fastest)
        self.held.append(lease)
        self._world.trace.note("lease", f"{lease.lease_id:x} for {granted.TTL}")
        return lease

    async def _hang_key(self, lease: Held) -> bool:
        request = pb.PutRequest(key=LEASED + b"%x" % lease.lease_id, lease=lease.lease_id)
        life = await any_life(self._world, self._dice)
        request.value = b"%d lease" % self._history.next_number
        operation = await ask(self._history, life, request)
        if operation.error == errors.LEASE_NOT_FOUND and trio.current_time() < lease.until:
            raise Violation(f"lease {lease.lease_id:x} is gone before {lease.until:.3f}")
        return operation.ending is Ending.DONE

    async def _keep(self, lease: Held) -> None:
        give_up_at = trio.current_time() + self._dice.choice((0.0, 2.0, 10.0))
        while trio.current_time() < give_up_at and not self._world.is_over.is_set():
            if not await self._keep_at_one(lease, give_up_at):
                return
            await trio.sleep(0.05)

    async def _keep_at_one(self, lease: Held, give_up_at: float) -> bool:
        """At one member until it is lost; False when the lease is."""
        life = await any_life(self._world, self._dice)
        answers: list[int] = []
        answered = trio.Event()

        def take(message: bytes) -> None:
            answers.append(pb.LeaseKeepAliveResponse.FromString(message).TTL)
            answered.set()

        stream = ClientStream(life, take)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.serve, life.member.lease.keep_alive)
            while trio.current_time() < give_up_at:
                asked_at, answered = trio.current_time(), trio.Event()
                stream.request(pb.LeaseKeepAliveRequest(ID=lease.lease_id))
                with trio.move_on_after(_RESPONSE_SECONDS):
                    async with trio.open_nursery() as waiting:
                        waiting.start_soon(_then_cancel, stream.gone, waiting)
                        waiting.start_soon(_then_cancel, answered, waiting)
                if not answered.is_set():
                    break
                if answers[-1] == 0:
                    if trio.current_time() < lease.until:
                        raise Violation(f"lease {lease.lease_id:x} is said to be over before {lease.until:.3f}")
                    nursery.cancel_scope.cancel()
                    return False
                lease.until = max(lease.until, asked_at + answers[-1] / self._fastest)
                lease.renewals += 1
                self._world.trace.note("renewed", f"{lease.lease_id:x}")
                await trio.sleep(self._dice.choice((0.3, 1.0)))
            nursery.cancel_scope.cancel()
        return True

    async def _revoke(self, lease: Held) -> None:
        lease.is_revoked = True
        life = await any_life(self._world, self._dice)
        request = pb.LeaseRevokeRequest(ID=lease.lease_id)
        try:
            await life.call(life.member.lease.revoke, request.SerializeToString())
        except (LostError, RpcError):
            return

    def check(self, ends: dict[int, float]) -> None:
        """`ends` has when the keys of leases went. Raises Violation."""
        for lease in self.held:
            ended_at = ends.get(lease.lease_id, math.inf)
            if ended_at < lease.until and not lease.is_revoked:
                raise Violation(
                    f"lease {lease.lease_id:x} ended at {ended_at:.3f}, and was alive until {lease.until:.3f}"
                )


async def _then_cancel(event: trio.Event, nursery: trio.Nursery) -> None:
    await event.wait()
    nursery.cancel_scope.cancel()
