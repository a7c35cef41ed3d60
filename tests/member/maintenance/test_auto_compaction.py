"""The task that follows a plan of compaction, on trio's mock clock."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.maintenance.auto_compaction import AutoCompactor
from dualmode.member.maintenance.compaction_plans import Plan, RevisionPlan
from dualmode.rpc.calls import Reply


class Store:
    """Takes compactions; `error` is what it answers them with."""

    def __init__(self) -> None:
        self.revision = 1500
        self.is_leader = True
        self.error: RpcError | None = None
        self.compacted: list[int] = []

    def propose(self, kind: int, message: bytes, request: Any, reply: Reply) -> None:
        assert kind == requests.COMPACTION
        self.compacted.append(request.revision)
        if self.error is None:
            reply.reply(b"")
        else:
            reply.fail(self.error)


async def follow(plan: Plan, store: Store, seconds: float, halfway: Callable[[], None] = lambda: None) -> list[int]:
    """What is proposed in this time."""
    compactor = AutoCompactor(plan, store.propose, revision=lambda: store.revision, is_leader=lambda: store.is_leader)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(compactor.run)
        await trio.sleep(seconds / 2)
        halfway()
        await trio.sleep(seconds / 2)
        nursery.cancel_scope.cancel()
    return store.compacted


async def test_what_is_due_is_proposed_once(autojump_clock: MockClock) -> None:
    assert await follow(RevisionPlan(1000), Store(), 1000) == [500]


async def test_a_follower_proposes_nothing_until_it_leads(autojump_clock: MockClock) -> None:
    store = Store()
    store.is_leader = False

    def elected() -> None:
        assert store.compacted == []
        store.is_leader = True

    assert await follow(RevisionPlan(1000), store, 1400, elected) == [500]


@pytest.mark.parametrize(
    ("error", "proposed"), [(errors.TIMEOUT, [500, 500, 500]), (errors.COMPACTED, [500]), (errors.NO_LEADER, [500] * 3)]
)
async def test_what_fails_is_tried_again(autojump_clock: MockClock, error: RpcError, proposed: list[int]) -> None:
    store = Store()
    store.error = error
    assert await follow(RevisionPlan(1000), store, 1000) == proposed
