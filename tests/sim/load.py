"""Does: all clients of a run, and at its end the checks of what they have seen."""

from __future__ import annotations

import trio

from tests.sim.history import Ending, History
from tests.sim.leases import LeaseHolder
from tests.sim.linearizability import LinearizabilityCheck
from tests.sim.membership_changes import Operator
from tests.sim.trace import Violation
from tests.sim.watchers import WatchClient
from tests.sim.world import World
from tests.sim.writers import Writer

#: The longest time to live of a lease, an election timeout, and time for a new leader and a lost proposal.
_LEASES_END_SECONDS = 40.0


class Load:
    """See World."""

    def __init__(self, world: World) -> None:
        plan = world.plan
        self._world = world
        self.history = History(world.trace)
        self.writers = [Writer(world, self.history, f"writer {number}") for number in range(plan.writers)]
        self.watchers = [WatchClient(world, f"watcher {number}") for number in range(plan.watchers)]
        self.holders = [LeaseHolder(world, self.history, f"holder {number}") for number in range(plan.lease_holders)]
        self.operator = Operator(world)

    def start(self, until_over: trio.Nursery, for_ever: trio.Nursery) -> None:
        """Tasks of the first nursery end by themselves when the accidents are over."""
        for client in (*self.writers, *self.holders):
            until_over.start_soon(client.run)
        if self._world.plan.changes_members:
            until_over.start_soon(self.operator.run)
        for watcher in self.watchers:
            for_ever.start_soon(watcher.run)

    async def finish(self) -> None:
        """Returns when all leases are over and all watches have heard everything. Raises Violation."""
        with trio.move_on_after(_LEASES_END_SECONDS) as scope:
            while self._has_leases():  # noqa: ASYNC110 - the clock is simulated
                await trio.sleep(0.5)
        if scope.cancelled_caught:
            raise Violation("leases that nobody keeps alive do not end")
        for watcher in self.watchers:
            await watcher.finish()

    def _has_leases(self) -> bool:
        """On any member: who was removed while it was down may not have heard so, and hears nothing else either."""
        leader = self._world.leader
        return leader is None or any(
            len(life.member.lessor) for life in self._world.lives if not leader.receiver.is_removed(life.node.member_id)
        )

    def check(self) -> None:
        """Raises Violation."""
        check = LinearizabilityCheck(self.history, self._world.ledger)
        check.run()
        for holder in self.holders:
            holder.check(check.lease_ends)
        counts = self._world.trace.counts
        counts["operations answered"] = sum(one.ending is Ending.DONE for one in self.history.operations)
        counts["operations"] = len(self.history.operations)
        counts["revisions"] = self._world.ledger.revision
        counts["watch events"] = sum(one.events for watcher in self.watchers for one in watcher.checks)
        counts["leases"] = sum(len(holder.held) for holder in self.holders)
