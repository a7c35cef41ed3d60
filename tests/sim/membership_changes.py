"""Does: an operator who adds, promotes and removes members while clients are at work, and starts what was added."""

from __future__ import annotations

from typing import Any

import trio

from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.cluster.joining import JoinedCluster
from dualmode.member.opening import Bootstrap
from dualmode.peer.member import Member
from tests.sim.node import Life, LostError
from tests.sim.world import World
from tests.sim.writers import any_life

_MOST_MEMBERS = 6


class Operator:
    """One person, who does one thing after the other and looks what became of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.fork("operator")
        self._numbers = len(world.nodes)

    async def run(self) -> None:
        """Until the accidents are over."""
        while not self._world.is_over.is_set():
            await trio.sleep(self._dice.expovariate(1 / 2.0))
            life = await any_life(self._world, self._dice)
            members = life.member.cluster.members
            learners = [one for one in members if one.is_learner]
            if learners and self._dice.random() < 0.7:
                await self._ask(life, "promote", pb.MemberPromoteRequest(ID=learners[0].id))
            elif len(members) < _MOST_MEMBERS and self._dice.random() < 0.5:
                await self._add(life)
            elif len(members) - len(learners) > self._world.plan.fewest_voters:
                await self._ask(life, "remove", pb.MemberRemoveRequest(ID=self._dice.choice(members).id))
            self.start_added()

    async def _add(self, life: Life) -> None:
        url = f"http://m{self._numbers}:2380"
        self._numbers += 1
        await self._ask(life, "add", pb.MemberAddRequest(peerURLs=[url], isLearner=self._dice.random() < 0.7))

    async def _ask(self, life: Life, what: str, request: Any) -> None:
        trace = self._world.trace
        try:
            await life.call(getattr(life.member.cluster, f"member_{what}"), request.SerializeToString())
        except LostError:
            trace.note(f"{what} unknown")
        except RpcError as error:
            trace.note(f"{what} refused", error.message)
        else:
            trace.note(f"{what} done")

    def start_added(self) -> None:
        """Whoever is a member by the word of any other and has no machine yet gets one."""
        known = {node.peer_url for node in self._world.nodes.values()}
        for life in self._world.lives:
            members = tuple(life.member.cluster.members)
            for one in members:
                if one.peer_urls[0] not in known and not life.receiver.is_removed(one.id):
                    known.add(one.peer_urls[0])
                    self._start(one, members, life.opened.cluster_id)

    def _start(self, one: Member, members: tuple[Member, ...], cluster_id: int) -> None:
        name = one.peer_urls[0].removeprefix("http://").removesuffix(":2380")
        named = {other.name or f"{other.id:x}": other.peer_urls for other in members if other.id != one.id}
        joined = JoinedCluster(one.id, cluster_id, members)
        bootstrap = Bootstrap(name, named | {name: one.peer_urls}, "simulation", joined)
        self._world.start(self._world.add_node(name, bootstrap, one.id))
