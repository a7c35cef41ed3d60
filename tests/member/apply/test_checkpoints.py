"""Checkpoints of leases, where entries are applied: always in memory, in the store when members agree on that."""

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from tests.member.apply.conftest import Bench


def checkpoint(bench: Bench) -> None:
    bench.apply(requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=7, TTL=500), pb.LeaseGrantResponse)
    one = pb.LeaseCheckpoint(ID=7, remaining_TTL=300)
    bench.apply(requests.LEASE_CHECKPOINT, pb.LeaseCheckpointRequest(checkpoints=[one]), pb.LeaseGrantResponse)


@pytest.mark.parametrize(
    ("version", "option", "kept"),
    [(None, False, 0), ("3.5.0", False, 0), ("3.5.0", True, 300), ("3.6.0", False, 300), ("3.10.0", False, 300)],
)
def test_checkpoints_are_kept_by_option_or_from_3_6_on(
    bench: Bench, version: str | None, option: bool, kept: int
) -> None:
    bench.applier.membership.cluster_version = version
    bench.applier.keeps_checkpoints = option
    checkpoint(bench)
    lease, row = bench.lessor.get(7), bench.store.leases.get(7)
    assert lease is not None
    assert row is not None
    assert lease.remaining_seconds == 300
    assert row.remaining_seconds == kept
