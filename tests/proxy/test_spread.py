"""Calls spread over several members: by the policy, over losses and returns, away from who is unfit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from dualmode.client.channel import Channel, open_channel
from dualmode.edge.mux import MuxBuilder
from dualmode.edge.outbox import Outbox
from dualmode.http.native import ClientConnection
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from dualmode.proxy.policies import POLICIES
from dualmode.proxy.spread import Spread
from dualmode.proxy.upstreams import Upstreams
from dualmode.urls import parse_address
from tests.edge.peers import serving, until
from tests.proxy.test_grpc_forward import OPTIONS, PUT, RANGE, Member


@asynccontextmanager
async def spread_over(count: int, policy: str) -> AsyncIterator[tuple[Channel, list[Member], Upstreams]]:
    """A channel to a proxy in front of members, all of them connected."""
    members = [Member(b"m%d" % number) for number in range(count)]
    async with AsyncExitStack() as stack:
        for member in members:
            member.server, address = await stack.enter_async_context(serving(member.mux()))
            member.url = f"http://{address}"
        targets = [parse_address(member.url) for member in members]
        spread = Spread(POLICIES[policy])
        upstreams = Upstreams(targets, None, lambda: ClientConnection(OPTIONS), Outbox(), 1.0, spread)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(upstreams.run)
        mux = MuxBuilder().grpc_fallback(GrpcForwardRoute(upstreams)).build()
        _, address = await stack.enter_async_context(serving(mux))
        channel = await stack.enter_async_context(open_channel(f"http://{address}"))
        await until(lambda: len(upstreams.connections()) == count)
        yield channel, members, upstreams
        nursery.cancel_scope.cancel()


async def ask(channel: Channel, path: str) -> bytes:
    """The name of the member that has answered."""
    stream = await channel.stream(path)
    await stream.send(b"")
    await stream.close_send()
    return [message async for message in stream][-1]


async def test_each_in_turn_and_past_one_that_is_lost() -> None:
    async with spread_over(3, "round-robin") as (channel, members, upstreams):
        assert {await ask(channel, PUT) for _ in range(3)} == {b"m0", b"m1", b"m2"}
        lost = next(one for one in members if parse_address(one.url) != upstreams.order()[0])
        await lost.server.close(drain_seconds=0)
        await until(lambda: len(upstreams.connections()) == 2)
        assert {await ask(channel, PUT) for _ in range(4)} == {one.name for one in members if one is not lost}


async def test_when_the_one_in_use_is_lost_the_others_serve_at_once() -> None:
    async with spread_over(2, "round-robin") as (channel, members, upstreams):
        used = next(one for one in members if parse_address(one.url) == upstreams.order()[0])
        (other,) = (one for one in members if one is not used)
        await used.server.close(drain_seconds=0)
        await until(lambda: upstreams.ready is None or upstreams.ready.target == parse_address(other.url))
        assert [await ask(channel, PUT) for _ in range(3)] == [other.name] * 3


async def test_the_leader_gets_what_may_write() -> None:
    async with spread_over(3, "leader-first") as (channel, members, upstreams):
        assert upstreams.spread is not None
        leading = upstreams.connections()[-1]
        name = next(one.name for one in members if parse_address(one.url) == leading.target)
        first = next(one.name for one in members if parse_address(one.url) == upstreams.order()[0])
        upstreams.spread.judge(leading, "", True)
        assert [await ask(channel, PUT), await ask(channel, RANGE)] == [name, first]
        assert upstreams.order_for(b"/v3/kv/put")[0] == leading.target
        assert upstreams.order_for(b"/v3/kv/range")[0] != leading.target
        upstreams.spread.judge(leading, "", False)
        assert await ask(channel, PUT) == first


async def test_who_is_unfit_is_passed_over_until_it_is_well() -> None:
    async with spread_over(2, "round-robin") as (channel, _, upstreams):
        assert upstreams.spread is not None
        other = upstreams.connections()[-1]
        upstreams.spread.judge(other, "no leader", False)
        assert len({await ask(channel, PUT) for _ in range(4)}) == 1
        upstreams.spread.judge(other, "", False)
        assert len({await ask(channel, PUT) for _ in range(4)}) == 2


async def test_members_that_come_and_go() -> None:
    async with spread_over(3, "least-in-flight") as (channel, members, upstreams):
        gone = upstreams.connections()[-1]
        kept = [target for target in upstreams.order() if target != gone.target]
        upstreams.set_targets(kept)
        await until(lambda: len(upstreams.connections()) == 2)
        assert not gone.is_open
        upstreams.set_targets([*kept, gone.target])
        await until(lambda: len(upstreams.connections()) == 3)
        assert {await ask(channel, PUT) for _ in range(6)} == {one.name for one in members}
