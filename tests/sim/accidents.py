"""Does: what happens to the cluster: crashes, partitions, weather, slow disks; and at the end that nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.sim.node import Node

if TYPE_CHECKING:
    from tests.sim.world import World


class Accidents:
    """Draws one after the other. Each kind is a method, found by its name in the plan."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.fork("accidents")
        self._kinds = {
            "crash": self._crash_one,
            "crash the leader": self._crash_leader,
            "crash several": self._crash_several,
            "restart": self._restart,
            "isolate the leader": self._isolate_leader,
            "isolate one": self._isolate_one,
            "split": self._split,
            "one-way": self._one_way,
            "bad weather": self._bad_weather,
            "slow disk": self._slow_disk,
            "stalled disk": self._stalled_disk,
            "transfer": self._transfer,
        }

    async def run(self, seconds: float) -> None:
        """As the plan has them, for so long."""
        plan, dice = self._world.plan, self._dice
        names, weights = list(plan.accidents), list(plan.accidents.values())
        with trio.move_on_after(seconds):
            while True:
                await trio.sleep(dice.expovariate(1 / plan.seconds_between_accidents))
                (name,) = dice.choices(names, weights)
                self._world.trace.note("accident", name)
                await self._kinds[name]()

    def end(self) -> None:
        """Everything works again, and whoever is down comes back."""
        world = self._world
        world.network.heal()
        self.set_weather()
        for node in world.nodes.values():
            node.disk.slowness, node.disk.stalled_until = 1.0, 0.0

    def set_weather(self) -> None:
        """As it usually is."""
        network, plan = self._world.network, self._world.plan
        network.loss, network.duplication, network.disorder = plan.loss, plan.duplication, plan.disorder
        network.delay_seconds = plan.delay_seconds

    # --- Crashes ------------------------------------------------------------------------------------------------

    def _up(self) -> list[Node]:
        return [life.node for life in self._world.lives]

    def _soon_again(self, node: Node) -> None:
        self._world.nursery.start_soon(self._start_later, node, self._dice.choice((0.01, 0.3, 1.0, 3.0)))

    async def _start_later(self, node: Node, seconds: float) -> None:
        await trio.sleep(seconds)
        self._world.start(node)

    async def _crash(self, nodes: list[Node]) -> None:
        with trio.CancelScope(shield=True):
            for node in nodes:
                await node.crash()
        for node in nodes:
            self._soon_again(node)

    async def _crash_one(self) -> None:
        if up := self._up():
            await self._crash([self._dice.choice(up)])

    async def _crash_leader(self) -> None:
        if (leader := self._world.leader) is not None:
            await self._crash([leader.node])

    async def _crash_several(self) -> None:
        if up := self._up():
            await self._crash(self._dice.sample(up, self._dice.randint(1, len(up))))

    async def _restart(self) -> None:
        if up := self._up():
            node = self._dice.choice(up)
            with trio.CancelScope(shield=True):
                await node.stop()
            self._soon_again(node)

    # --- The network --------------------------------------------------------------------------------------------

    def _cut_between(self, ones: list[Node], others: list[Node], is_one_way: bool = False) -> None:
        network = self._world.network
        for one in ones:
            for other in others:
                network.cut(one.member_id, other.member_id)
                if not is_one_way:
                    network.cut(other.member_id, one.member_id)
        network.later(self._dice.choice((0.5, 2.0, 5.0)), network.heal)

    async def _isolate_leader(self) -> None:
        if (leader := self._world.leader) is not None:
            self._cut_between([leader.node], [node for node in self._world.nodes.values() if node is not leader.node])

    async def _isolate_one(self) -> None:
        nodes = list(self._world.nodes.values())
        one = self._dice.choice(nodes)
        self._cut_between([one], [node for node in nodes if node is not one])

    async def _split(self) -> None:
        nodes = list(self._world.nodes.values())
        if len(nodes) < 2:
            return
        self._dice.shuffle(nodes)
        at = self._dice.randrange(1, len(nodes))
        self._cut_between(nodes[:at], nodes[at:])

    async def _one_way(self) -> None:
        nodes = list(self._world.nodes.values())
        if len(nodes) > 1:
            one, other = self._dice.sample(nodes, 2)
            self._cut_between([one], [other], is_one_way=True)

    async def _bad_weather(self) -> None:
        network, dice = self._world.network, self._dice
        network.loss = dice.choice((0.0, 0.1, 0.3))
        network.duplication = dice.choice((0.0, 0.2))
        network.disorder = dice.choice((0.0, 0.3, 1.0))
        network.delay_seconds = dice.choice((0.001, 0.03, 0.15))
        network.later(dice.choice((1.0, 4.0)), self.set_weather)

    # --- Machines -----------------------------------------------------------------------------------------------

    async def _slow_disk(self) -> None:
        disk = self._dice.choice(list(self._world.nodes.values())).disk
        disk.slowness = 20.0

        def recover() -> None:
            disk.slowness = 1.0

        self._world.network.later(self._dice.choice((1.0, 4.0)), recover)

    async def _stalled_disk(self) -> None:
        disk = self._dice.choice(list(self._world.nodes.values())).disk
        disk.stalled_until = trio.current_time() + self._dice.choice((0.5, 2.0, 6.0))

    async def _transfer(self) -> None:
        if (leader := self._world.leader) is not None:
            others = [life for life in self._world.lives if life is not leader]
            if others:
                leader.member.replica.transfer_leadership(self._dice.choice(others).node.member_id)
