"""--experimental-enable-lease-checkpoint: what remained of a lease outlives a restart, if it is asked for."""

from pathlib import Path

import pytest
import trio

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from dualmode.member.server import MemberServer
from tests.member.conftest import ask, running_member

LEASE = 7


async def granted(member: MemberServer) -> None:
    member.replica.applier.membership.cluster_version = "3.5.0"  # from 3.6 on checkpoints are kept in any case
    await ask(member, requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=LEASE, TTL=500))


def remaining_seconds(member: MemberServer) -> int:
    lease = member.lessor.get(LEASE)
    assert lease is not None
    return lease.remaining_seconds


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LEASE_CHECKPOINT_INTERVAL_SECONDS", 1.1)
    monkeypatch.setattr(limits, "LEASE_EXPIRY_INTERVAL_SECONDS", 0.05)


@pytest.mark.parametrize("is_kept", [False, True])
async def test_checkpoints(tmp_path: Path, is_kept: bool) -> None:
    options = {"lease_checkpoint": True, "lease_checkpoint_persist": is_kept}
    async with running_member(tmp_path, **options) as member:
        await granted(member)
        with trio.fail_after(10):
            while not remaining_seconds(member):
                await trio.testing.wait_all_tasks_blocked(0.02)
        assert 490 < remaining_seconds(member) < 500
    async with running_member(tmp_path, **options) as member:
        assert (remaining_seconds(member) > 0) is is_kept


async def test_without_the_option_there_are_none(tmp_path: Path) -> None:
    async with running_member(tmp_path) as member:
        await granted(member)
        assert member.lessor.due_checkpoints(trio.current_time() + 400, 10) == []
