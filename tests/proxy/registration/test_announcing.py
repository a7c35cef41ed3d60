"""The announcement is there as long as the proxy runs, whatever happens in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from dualmode.client.status import CallError
from dualmode.errors import Code
from dualmode.proxy.registration.announcing import Announcing
from tests.proxy.registration.cluster import FakeCluster

KEYS = [(b"p/a:1", b"value"), (b"p/a:2", b"value 2")]
TTL_SECONDS = 9
GONE = CallError(Code.UNAVAILABLE, "no endpoint is available")


@asynccontextmanager
async def announcing(cluster: FakeCluster) -> AsyncIterator[Announcing]:
    numbers = iter(range(1, 1000))
    one = Announcing(cluster, KEYS, TTL_SECONDS, draw=lambda: 1.0, new_lease_id=lambda: next(numbers))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        yield one
        nursery.cancel_scope.cancel()


async def test_it_is_announced_kept_and_taken_down(autojump_clock: trio.testing.MockClock) -> None:
    cluster = FakeCluster()
    async with announcing(cluster) as one:
        assert one.is_registered
        assert cluster.keys == {key: (value, 1) for key, value in KEYS}
        await trio.sleep(10 * TTL_SECONDS)
        assert cluster.keys.keys() == dict(KEYS).keys()
        assert cluster.calls.count("LeaseGrant") == 1
        assert all(stream.is_cancelled for stream in cluster.streams)
        await one.withdraw()
        assert not one.is_registered
        assert (cluster.keys, cluster.leases) == ({}, {})
        await trio.sleep(10 * TTL_SECONDS)
        assert cluster.keys == {}
    assert set(cluster.metadata) == {()}


async def test_a_lease_that_is_gone_is_made_again(autojump_clock: trio.testing.MockClock) -> None:
    cluster = FakeCluster()
    async with announcing(cluster) as one:
        cluster.end_lease(1)
        await trio.sleep(TTL_SECONDS / 3 + 0.1)
        assert cluster.keys == {key: (value, 2) for key, value in KEYS}
        assert one.is_registered


async def test_an_endpoint_that_is_gone_for_a_moment_costs_nothing(autojump_clock: trio.testing.MockClock) -> None:
    cluster = FakeCluster()
    async with announcing(cluster):
        cluster.fault = GONE
        await trio.sleep(TTL_SECONDS - 2)
        cluster.fault = None
        await trio.sleep(TTL_SECONDS * 3)
        assert cluster.calls.count("LeaseGrant") == 1
        assert cluster.keys == {key: (value, 1) for key, value in KEYS}


async def test_an_endpoint_that_is_gone_for_long(autojump_clock: trio.testing.MockClock) -> None:
    cluster = FakeCluster()
    async with announcing(cluster) as one:
        cluster.fault = GONE
        await trio.sleep(TTL_SECONDS + 4)
        assert not one.is_registered
        tries = cluster.calls.count("LeaseGrant")
        await trio.sleep(100)
        assert 8 <= cluster.calls.count("LeaseGrant") - tries <= 13  # ever longer pauses, up to ten seconds
        cluster.fault = None
        await trio.sleep(11)
        assert one.is_registered
        assert cluster.keys.keys() == dict(KEYS).keys()


async def test_what_the_cluster_refuses_leaves_no_leases(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster()

    def refuse(message: bytes) -> None:
        raise CallError(Code.PERMISSION_DENIED, "etcdserver: permission denied")

    monkeypatch.setattr(cluster, "_Put", refuse)
    async with announcing(cluster) as one:
        await trio.sleep(TTL_SECONDS / 2)
        assert not one.is_registered
        assert cluster.calls.count("LeaseGrant") > 1
        assert cluster.leases == {}


async def test_an_end_without_endpoint_is_no_fault(autojump_clock: trio.testing.MockClock) -> None:
    cluster = FakeCluster()
    async with announcing(cluster) as one:
        cluster.fault = GONE
        await one.withdraw()
        await one.withdraw()
