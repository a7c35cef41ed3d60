"""Does: a whole run of one seed: a cluster, its clients, its accidents, and at the end the reckoning."""

from __future__ import annotations

import gc
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from dualmode.member.opening import Bootstrap
from tests.sim import loop
from tests.sim.accidents import Accidents
from tests.sim.disk import Disk
from tests.sim.ledger import Ledger
from tests.sim.network import Network
from tests.sim.node import Life, Node, bootstrap_id
from tests.sim.plan import Plan, make_plan
from tests.sim.trace import Trace, Violation

#: When nothing is wrong any more a cluster must agree within this time, and go on.
_RECOVERY_SECONDS = 60.0
#: A run holds some ten megabytes.
_ROOM_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `fault` is None when nothing was wrong."""

    seed: int
    digest: str
    simulated_seconds: float
    counts: dict[str, int]
    fault: str | None
    last_lines: tuple[str, ...]


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan, folder: Path, trace: Trace) -> None:
        self.plan = plan
        self.trace = trace
        self.dice = random.Random(f"world {plan.seed}")
        self.ledger = Ledger(trace)
        self.network = Network(self.fork("network"), trace, self.ledger.on_sent)
        self.nodes: dict[str, Node] = {}
        self._folder = folder
        self.nursery: trio.Nursery
        #: Set when accidents are over: clients finish what they are at.
        self.is_over = trio.Event()
        members = {f"m{number}": (f"http://m{number}:2380",) for number in range(plan.members)}
        for name in members:
            bootstrap = Bootstrap(name, members, "simulation")
            self.add_node(name, bootstrap, bootstrap_id(name, bootstrap))

    def fork(self, name: str) -> random.Random:
        """A dice of its own, so that who throws when changes nothing for others."""
        return random.Random(f"{self.plan.seed} {name}")

    def add_node(self, name: str, bootstrap: Bootstrap, member_id: int) -> Node:
        """One more machine, not started."""
        plan, dice = self.plan, self.fork(f"node {name}")
        disk = Disk(self._folder / name, self.fork(f"disk {name}"), plan.slow_syncs, plan.sync_seconds)
        node = Node(
            name,
            bootstrap,
            member_id,
            disk,
            dice,
            plan=plan,
            network=self.network,
            trace=self.trace,
            observer=self.ledger,
        )
        self.nodes[name] = node
        return node

    @property
    def lives(self) -> list[Life]:
        """Who is up, in a fixed order."""
        return [node.life for node in self.nodes.values() if node.life is not None and node.life.is_alive]

    @property
    def leader(self) -> Life | None:
        """Who takes itself for the leader in the highest term."""
        leading = [life for life in self.lives if life.member.replica.is_leader]
        return max(leading, key=lambda life: life.member.replica.node.term, default=None)

    def start(self, node: Node) -> None:
        """A member begins to live on a machine, unless one does, or was told that it is no member any more."""
        if not node.is_up and not node.is_removed:
            node.start(self.nursery)

    async def run(self) -> None:
        """Raises `Violation`, or whatever a member raised."""
        from tests.sim.load import Load

        load, accidents = Load(self), Accidents(self)
        async with trio.open_nursery() as self.nursery:
            self.nursery.start_soon(self.network.run)
            accidents.set_weather()
            for node in list(self.nodes.values()):
                self.start(node)
            async with trio.open_nursery() as clients:
                load.start(clients, self.nursery)
                await accidents.run(self.plan.seconds)
                accidents.end()
                self.is_over.set()
            await self._agree(load.operator.start_added)
            await load.finish()
            await self._agree(load.operator.start_added)
            load.check()
            await self._cut_the_power()
            await self._agree(load.operator.start_added)
            self.nursery.cancel_scope.cancel()

    async def _cut_the_power(self) -> None:
        """Of everybody at once: what is left is what was durable."""
        self.trace.note("accident", "the power is cut")
        nodes = [life.node for life in self.lives]
        for node in nodes:
            await node.crash()
        for node in nodes:
            self.start(node)

    # --- The reckoning ------------------------------------------------------------------------------------------

    async def _agree(self, start_added: Callable[[], None]) -> None:
        """Nothing is wrong any more: all members are up, have applied the same, and have the same."""
        with trio.move_on_after(_RECOVERY_SECONDS) as scope:
            while True:
                start_added()
                for node in self.nodes.values():
                    self.start(node)
                members = self._members()
                if members is not None and self._is_level(members):
                    break
                await trio.sleep(0.1)
        if scope.cancelled_caught:
            raise Violation(f"the cluster does not recover: {self._state()}")
        compare(members, self.ledger)

    def _members(self) -> list[Life] | None:
        """The members by the leader's word; None while somebody is missing."""
        leader = self.leader
        if leader is None:
            return None
        by_id = {life.node.member_id: life for life in self.lives}
        wanted = [one.id for one in leader.member.cluster.members]
        if any(one not in by_id for one in wanted):
            return None
        return [by_id[one] for one in wanted]

    def _is_level(self, members: list[Life]) -> bool:
        leader = self.leader
        assert leader is not None
        committed = leader.member.replica.node.committed
        return (
            len({life.member.replica.node.leader for life in members}) == 1
            and all(life.member.store.applied_index == committed for life in members)
            and leader.member.store.applied_term == leader.member.replica.node.term
            and not any(life.member.compactor._wake.is_set() for life in members)
        )

    def _state(self) -> list[str]:
        return [
            f"{life.node.name} term {life.member.replica.node.term} {life.member.replica.node.state.printed} applied "
            f"{life.member.store.applied_index} of {life.member.replica.node.committed} "
            f"members {[one.peer_urls[0][7:9] for one in life.member.cluster.members]}"
            for life in self.lives
        ]


def compare(members: list[Life], ledger: Ledger) -> None:
    """All of them have the same, and it is what was agreed on. Raises Violation."""
    first = facts(members[0])
    if first["alarms"]:
        raise Violation(f"alarms are raised: {first['alarms']}")
    for life in members:
        found = facts(life)
        for name, value in found.items():
            if value != first[name]:
                raise Violation(f"{life.node.name} has {name} {value}, {members[0].node.name} {first[name]}")
        store = life.member.store
        if store.revision != ledger.revision:
            raise Violation(f"{life.node.name} is at revision {store.revision} and not {ledger.revision}")
        for commit in store.changes(max(2, store.compacted + 1), store.revision, b"\0", b"\0"):
            changes = tuple((change.key, change.is_delete, bytes(change.kv)) for change in commit.changes)
            if changes != ledger.commits[commit.revision]:
                raise Violation(f"{life.node.name} has {changes} at {commit.revision} in its store")


def facts(life: Life) -> dict[str, Any]:
    """What must be equal on all members."""
    member = life.member
    membership = member.replica.applier.membership
    return {
        "hash": member.store.hash_by_revision(0),
        "keys": member.store.select(b"\0", b"\0", 0),
        "compacted": member.store.compacted,
        "leases": sorted((one.lease_id, one.ttl_seconds) for one in member.store.leases.all()),
        "lessor": sorted(one.lease_id for one in member.lessor.by_expiry()),
        "members": membership.members(),
        "removed": membership.removed,
        "alarms": [str(one) for one in member.replica.applier.alarms.raised()],
        "version": membership.cluster_version,
        "voters": tuple(sorted(member.replica.conf_state.voters)),
        "learners": tuple(sorted(member.replica.conf_state.learners)),
    }


def run_seed(seed: int, echo: Callable[[str], None] | None = None) -> Outcome:
    """One whole run, in a folder of its own in memory where there is room for it."""
    plan, trace = make_plan(seed), Trace(echo)
    folder = Path(tempfile.mkdtemp(prefix=f"sim-{seed}-", dir=_memory()))
    seconds = 0.0

    async def main() -> None:
        nonlocal seconds
        try:
            await World(plan, folder, trace).run()
        finally:
            seconds = trio.current_time()

    fault = None
    try:
        loop.run(seed, main)
    except (Exception, BaseExceptionGroup) as error:
        fault = "\n".join(_told(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()
    return Outcome(seed, trace.digest, seconds, dict(trace.counts), fault, tuple(trace.last_lines))


def _told(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [line for one in error.exceptions for line in _told(one)]
    if isinstance(error, Violation):
        return [str(error)]
    return traceback.format_exception(error)


def _memory() -> str | None:
    """A file system in memory: syncs cost nothing there. None: wherever temporary files go."""
    memory = Path("/dev/shm")
    try:
        return str(memory) if shutil.disk_usage(memory).free > _ROOM_BYTES else None
    except OSError:
        return None
