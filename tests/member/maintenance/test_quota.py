"""What requests cost, and when the store has no room for them."""

from typing import Any

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from dualmode.member.apply.transaction import Transaction
from dualmode.member.maintenance.quota import UNLIMITED, Quota, cost_bytes

PUT = pb.PutRequest(key=b"k" * 10, value=b"v" * 100)
PUT_COST = 256 + 110


def op(**fields: Any) -> Any:
    return pb.RequestOp(**fields)


def txn(then: int = 0, otherwise: int = 0, *more: Any) -> Any:
    puts = [op(request_put=PUT)]
    return pb.TxnRequest(success=puts * then + list(more), failure=puts * otherwise)


COSTS = [
    (requests.PUT, PUT, PUT_COST),
    (requests.LEASE_GRANT, pb.LeaseGrantRequest(TTL=5), 64),
    (requests.TXN, txn(2, 1), 2 * PUT_COST),
    (requests.TXN, txn(1, 3), 3 * PUT_COST),
    (requests.TXN, txn(1, 0, op(request_txn=txn(1, 2))), 3 * PUT_COST),
    (requests.TXN, txn(0, 0, op(request_delete_range=pb.DeleteRangeRequest(key=b"a"))), 0),
    (requests.TXN, txn(0, 0, op(request_range=pb.RangeRequest(key=b"a"))), 0),
    (requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"a"), 0),
    (requests.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=1), 0),
    (requests.COMPACTION, pb.CompactionRequest(revision=1), 0),
]


@pytest.mark.parametrize(("kind", "request_", "cost"), COSTS)
def test_costs(kind: int, request_: Any, cost: int) -> None:
    assert cost_bytes(kind, Transaction(request_) if kind == requests.TXN else request_) == cost


@pytest.mark.parametrize(
    ("size_bytes", "has_room"), [(0, True), (1000 - PUT_COST - 1, True), (1000 - PUT_COST, False), (5000, False)]
)
def test_a_request_fits_when_the_limit_is_not_reached(size_bytes: int, has_room: bool) -> None:
    assert Quota(1000).has_room(size_bytes, requests.PUT, PUT) is has_room


def test_what_costs_nothing_always_fits() -> None:
    assert Quota(1000).has_room(5000, requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"a"))


def test_without_a_quota_everything_fits() -> None:
    assert UNLIMITED.has_room(1 << 60, requests.PUT, PUT)
    assert not UNLIMITED.is_to_warn(1 << 60)


def test_it_warns_once_each_time_the_store_comes_close() -> None:
    quota = Quota(1000)
    assert [quota.is_to_warn(size) for size in (799, 800, 950, 799, 801)] == [False, True, False, False, True]
