"""The task that revokes what has expired, on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import errors, limits
from dualmode.member.apply import requests
from dualmode.member.lease.expiry import LeaseExpiry
from tests.member.lease.fakes import Scene


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[LeaseExpiry]:
    expiry = LeaseExpiry(scene.lessor, scene.leader, scene.propose, extend_seconds=1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expiry.run)
        yield expiry
        nursery.cancel_scope.cancel()


async def test_an_expired_lease_is_revoked_within_a_round(autojump_clock: Any) -> None:
    scene = Scene(is_primary=False)
    async with running(scene) as expiry:
        expiry.on_leadership(True)
        scene.lessor.grant(1, 5, trio.current_time())
        scene.rows.save(1, 5)
        await trio.sleep(4.9)
        assert scene.lessor.has(1)
        await trio.sleep(0.7)
        assert not scene.lessor.has(1)
        assert scene.rows.saved == {}


async def test_a_follower_revokes_nothing(autojump_clock: Any) -> None:
    scene = Scene(is_primary=False)
    scene.lessor.grant(1, 5, trio.current_time())
    scene.rows.save(1, 5)
    async with running(scene) as expiry:
        await trio.sleep(60)
        assert scene.lessor.has(1)
        expiry.on_leadership(True)
        await trio.sleep(5.9)
        assert scene.lessor.has(1), "a new leader gives the full time and an election timeout"
        expiry.on_leadership(False)
        await trio.sleep(60)
        assert scene.lessor.has(1)
        expiry.on_leadership(True)
        await trio.sleep(6.6)
        assert not scene.lessor.has(1)


async def test_many_expire_together_and_are_bounded_in_flight(autojump_clock: Any) -> None:
    scene = Scene(applies_at_once=False)
    count = 4 * limits.LEASE_REVOKES_IN_FLIGHT
    for number in range(1, count + 1):
        scene.lessor.grant(number, 5, trio.current_time())
        scene.rows.save(number, 5)
    async with running(scene):
        await trio.sleep(5.6)
        greatest = 0
        started = trio.current_time()
        while len(scene.lessor):
            greatest = max(greatest, len(scene.proposed))
            scene.apply()
            await trio.testing.wait_all_tasks_blocked()
        assert greatest == limits.LEASE_REVOKES_IN_FLIGHT
        assert trio.current_time() - started < limits.LEASE_EXPIRY_INTERVAL_SECONDS, "the next round waits for no clock"


async def test_a_lost_proposal_is_made_again(autojump_clock: Any) -> None:
    scene = Scene(applies_at_once=False)
    scene.lessor.grant(1, 5, trio.current_time())
    scene.rows.save(1, 5)
    async with running(scene):
        await trio.sleep(5.6)
        scene.proposed.popleft()[2].fail(errors.TIMEOUT)
        await trio.sleep(limits.LEASE_REVOKE_RETRY_SECONDS + limits.LEASE_EXPIRY_INTERVAL_SECONDS)
        ((kind, request, _),) = scene.proposed
        assert (kind, request.ID) == (requests.LEASE_REVOKE, 1)


async def test_a_refused_proposal_is_made_again(autojump_clock: Any) -> None:
    scene = Scene()
    scene.lessor.grant(1, 5, trio.current_time())
    scene.rows.save(1, 5)
    scene.refusal = errors.TOO_MANY_REQUESTS
    async with running(scene):
        await trio.sleep(6)
        assert scene.lessor.has(1)
        scene.refusal = None
        await trio.sleep(4)
        assert not scene.lessor.has(1)


@pytest.mark.parametrize("leads", [True, False])
async def test_a_leader_that_is_not_sure_asks_before_it_revokes(autojump_clock: Any, leads: bool) -> None:
    """etcd#15247: a leader stuck in a slow sync revoked all leases although others had kept them alive."""
    scene = Scene()
    scene.lessor.grant(1, 5, trio.current_time())
    scene.rows.save(1, 5)
    scene.leader.is_confirmed = False
    scene.leader.confirmation = None if leads else errors.LEADER_CHANGED
    async with running(scene):
        await trio.sleep(4)
        assert scene.leader.confirmations == 0, "nobody is asked for nothing"
        await trio.sleep(2)
        assert scene.leader.confirmations > 0
        assert scene.lessor.has(1) is not leads


async def test_checkpoints_are_proposed(autojump_clock: Any) -> None:
    scene = Scene()
    scene.lessor._checkpoint_interval_seconds = 300.0
    scene.lessor.grant(1, 1000, trio.current_time())
    async with running(scene):
        await trio.sleep(301)
        lease = scene.lessor.get(1)
        assert lease is not None
        assert lease.remaining_seconds == 700
        assert scene.rows.saved == {1: (1000, 700)}


async def test_an_election_with_many_leases(autojump_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LEASE_ENQUEUE_STEP", 10)
    scene = Scene(is_primary=False)
    for number in range(1, 36):
        scene.lessor.grant(number, 5, 0.0)
        scene.rows.save(number, 5)
    async with running(scene) as expiry:
        expiry.on_leadership(True)
        await trio.sleep(6.6)
        assert len(scene.lessor) == 0
