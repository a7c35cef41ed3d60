"""Does: the machines of one run, what lies between them, and what they have agreed on."""

from __future__ import annotations

import random
from pathlib import Path

import trio

from dualmode.member.opening import Bootstrap
from tests.sim.disk import Disk
from tests.sim.ledger import Ledger
from tests.sim.network import Network
from tests.sim.node import Life, Node, bootstrap_id
from tests.sim.plan import Plan
from tests.sim.trace import Trace


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
        #: Everything that lives as long as the run.
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
