"""Whole groups from a seed: whatever happens to network, nodes and disks, nothing committed is lost or contradicted."""

from __future__ import annotations

import pytest

from tests.raft.group import Group

_KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "async": {"async_storage_writes": True},
    "etcd": {"pre_vote": True, "check_quorum": True, "max_message_bytes": 40, "max_inflight_messages": 3},
    "everything": {
        "async_storage_writes": True,
        "pre_vote": True,
        "check_quorum": True,
        "step_down_on_removal": True,
        "max_committed_bytes": 60,
        "max_uncommitted_bytes": 200,
        "max_inflight_bytes": 50,
    },
}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_nothing_committed_is_lost(kind: str, seed: int) -> None:
    group = Group(seed, size=3 + 2 * (seed % 2), **_KINDS[kind])
    for _ in range(6000):
        group.step()
    group.calm()
    assert len(group.history) >= 5
    assert group.leaders


def test_reads_are_answered() -> None:
    groups = [Group(seed, size=3) for seed in range(3)]
    for group in groups:
        for _ in range(6000):
            group.step()
    assert sum(group.reads_answered for group in groups) > 5


def test_a_seed_tells_everything() -> None:
    outcomes = []
    for _ in range(2):
        group = Group(7, size=3, pre_vote=True)
        for _ in range(1500):
            group.step()
        outcomes.append((group.history, group.leaders, [member.logger.lines for member in group.members.values()]))
    assert outcomes[0] == outcomes[1]
