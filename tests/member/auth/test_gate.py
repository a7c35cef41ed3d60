"""Entries held against the rights of who proposed them, on a real store: every operation, wherever it stands.

A test for each hole that etcd published in 2026 and that an entry can go through: CVE-2026-33343 (a transaction inside
a transaction), and previous records and leases of puts inside transactions (etcd pull requests 21681, 21685).
"""

from __future__ import annotations

from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.auth.gate import ROOT_KINDS
from tests.member.apply.conftest import Bench
from tests.member.auth.town import CHANGES, READ, READWRITE, WRITE, Town, permission

DENIED = errors.PERMISSION_DENIED


@pytest.fixture
def town(bench: Bench) -> Town:
    """alice reads r, writes w, both with b; keys of all kinds are there, and s which is nobody's."""
    town = Town(bench)
    for key in (b"r1", b"w1", b"b1", b"s1"):
        town.apply(requests.PUT, pb.PutRequest(key=key, value=b"old"))
    town.settle(permission(READ, b"r", b"s"), permission(WRITE, b"w", b"x"), permission(READWRITE, b"b", b"c"))
    town.enable()
    return town


def put(key: bytes, **fields: Any) -> Any:
    return pb.PutRequest(key=key, value=b"new", **fields)


def delete(key: bytes, range_end: bytes = b"", **fields: Any) -> Any:
    return pb.DeleteRangeRequest(key=key, range_end=range_end, **fields)


def read(key: bytes, range_end: bytes = b"") -> Any:
    return pb.RangeRequest(key=key, range_end=range_end)


def operation(request: Any) -> Any:
    name = {"PutRequest": "put", "DeleteRangeRequest": "delete_range", "RangeRequest": "range", "TxnRequest": "txn"}
    return pb.RequestOp(**{"request_" + name[type(request).__name__]: request})


#: What alice may not do, and what she may.
FORBIDDEN = [
    put(b"r1"),
    put(b"s1"),
    put(b"w1", prev_kv=True),
    delete(b"r1"),
    delete(b"w1", prev_kv=True),
    delete(b"w", b"y"),
    delete(b"w", b"\0"),
    delete(b"\0", b"\0"),
    delete(b"b", b"x"),
]
ALLOWED = [put(b"w1"), put(b"b1", prev_kv=True), delete(b"w", b"x"), delete(b"b1", prev_kv=True), delete(b"w2", b"w1")]
FORBIDDEN_READS = [read(b"w1"), read(b"s1"), read(b"r", b"\0"), read(b"a", b"s"), read(b"r", b"t")]
ALLOWED_READS = [read(b"r1"), read(b"r", b"s"), read(b"b1")]


def kind_of(request: Any) -> int:
    return requests.PUT if isinstance(request, pb.PutRequest) else requests.DELETE_RANGE


def test_table_of_single_operations(town: Town) -> None:
    for request in FORBIDDEN:
        assert town.apply(kind_of(request), request, "alice") == DENIED, request
        assert not isinstance(town.apply(kind_of(request), request, "root"), RpcError)
        town.apply(requests.PUT, put(b"w1"), "root")
    for request in ALLOWED:
        assert not isinstance(town.apply(kind_of(request), request, "alice"), RpcError), request


def nestings(inner: Any) -> list[Any]:
    """Transactions that hold an operation in each place one can stand."""
    one = operation(inner)
    child = operation(pb.TxnRequest(success=[one]))
    other = operation(pb.TxnRequest(failure=[one]))
    grandchild = operation(pb.TxnRequest(success=[operation(pb.TxnRequest(failure=[child]))]))
    return [
        pb.TxnRequest(success=[one]),
        pb.TxnRequest(failure=[one]),
        *(pb.TxnRequest(success=[place]) for place in (child, other, grandchild)),
        *(pb.TxnRequest(failure=[place]) for place in (child, other, grandchild)),
        pb.TxnRequest(success=[operation(put(b"w2")), child]),
    ]


@pytest.mark.parametrize("inner", [*FORBIDDEN, *FORBIDDEN_READS], ids=lambda one: str(one).replace("\n", " "))
def test_no_nesting_hides_an_operation(town: Town, inner: Any) -> None:
    revision = town.bench.store.revision
    for request in nestings(inner):
        assert town.apply(requests.TXN, request, "alice") == DENIED
    assert town.bench.store.revision == revision


@pytest.mark.parametrize("inner", [*ALLOWED, *ALLOWED_READS], ids=lambda one: str(one).replace("\n", " "))
def test_what_is_allowed_is_allowed_at_every_depth(town: Town, inner: Any) -> None:
    for request in nestings(inner):
        assert not isinstance(town.apply(requests.TXN, request, "alice"), RpcError)


@pytest.mark.parametrize("compare", [(b"s1", b""), (b"w1", b""), (b"r", b"\0"), (b"r", b"t")])
def test_compares_read(town: Town, compare: tuple[bytes, bytes]) -> None:
    """What a compare tells is one bit of what is stored, also at depth and in the branch that is not taken."""
    key, range_end = compare
    asking = pb.TxnRequest(compare=[pb.Compare(key=key, range_end=range_end, target=3, value=b"old")])
    for request in (asking, *nestings(asking)):
        assert town.apply(requests.TXN, request, "alice") == DENIED
    allowed = pb.TxnRequest(compare=[pb.Compare(key=b"r1", target=3, value=b"old")])
    assert town.apply(requests.TXN, allowed, "alice").succeeded


# --- Leases ------------------------------------------------------------------------------------------------------


@pytest.fixture
def leased(town: Town) -> Town:
    """Lease 7 has a key that is not alice's, lease 8 one that is, lease 9 none."""
    for lease_id in (7, 8, 9):
        town.apply(requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=lease_id, TTL=100), "root")
    town.apply(requests.PUT, put(b"s1", lease=7), "root")
    town.apply(requests.PUT, put(b"w1", lease=8), "root")
    return town


def test_who_cannot_end_a_lease_ties_no_key_to_it(leased: Town) -> None:
    for request in (pb.TxnRequest(success=[operation(put(b"w2", lease=7))]), *nestings(put(b"w2", lease=7))):
        assert leased.apply(requests.TXN, request, "alice") == DENIED
    assert leased.apply(requests.PUT, put(b"w2", lease=7), "alice") == DENIED
    for lease_id in (8, 9):
        assert not isinstance(leased.apply(requests.PUT, put(b"w2", lease=lease_id), "alice"), RpcError)
    assert leased.apply(requests.PUT, put(b"w2", lease=99), "alice") == errors.LEASE_NOT_FOUND


def test_ending_a_lease_deletes_its_keys(leased: Town) -> None:
    def revoke(lease_id: int, user: str | Caller) -> Any:
        return leased.apply(requests.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=lease_id), user)

    assert revoke(7, "alice") == DENIED
    assert revoke(7, NOBODY) == errors.USER_EMPTY
    assert leased.bench.store.get(b"s1") is not None
    assert not isinstance(revoke(8, "alice"), RpcError)
    assert not isinstance(revoke(9, "alice"), RpcError)
    assert not isinstance(revoke(7, "root"), RpcError)
    assert leased.bench.store.get(b"s1") is None


# --- Who asks ----------------------------------------------------------------------------------------------------


def test_nobody_writes(town: Town) -> None:
    assert town.apply(requests.PUT, put(b"w1")) == errors.USER_EMPTY
    assert town.apply(requests.DELETE_RANGE, delete(b"w1")) == errors.USER_EMPTY
    assert town.apply(requests.TXN, pb.TxnRequest(success=[operation(put(b"w1"))])) == errors.USER_EMPTY


def test_a_user_that_is_gone_writes_nothing(town: Town) -> None:
    assert town.apply(requests.PUT, put(b"w1"), "eve") == DENIED


def test_a_change_between_proposal_and_entry_refuses_the_write(town: Town) -> None:
    proposed_by, root = town.as_user("alice"), town.as_user("root")
    town.done(requests.AUTH_ROLE_ADD, name="another")
    assert town.apply(requests.PUT, put(b"w1"), proposed_by) == errors.AUTH_OLD_REVISION
    assert town.apply(requests.PUT, put(b"w1"), root) == errors.AUTH_OLD_REVISION
    assert not isinstance(town.apply(requests.PUT, put(b"w1"), "alice"), RpcError)


def test_a_right_that_is_taken_away_is_gone_at_once(town: Town) -> None:
    town.done(requests.AUTH_ROLE_REVOKE_PERMISSION, role="reader", key=b"w", range_end=b"x")
    assert town.apply(requests.PUT, put(b"w1"), "alice") == DENIED
    town.done(requests.AUTH_USER_GRANT_ROLE, user="alice", role="root")
    assert not isinstance(town.apply(requests.PUT, put(b"s1"), "alice"), RpcError)


def test_nothing_is_asked_while_it_is_off(town: Town) -> None:
    town.done(requests.AUTH_DISABLE)
    assert not isinstance(town.apply(requests.PUT, put(b"s1")), RpcError)


@pytest.mark.parametrize("kind", sorted(ROOT_KINDS), ids=lambda kind: CHANGES[kind])
def test_management_is_for_root(town: Town, kind: int) -> None:
    before = (town.accounts.revision, town.accounts.is_enabled)
    assert town.change(kind, town.as_user("alice")) == DENIED
    assert town.change(kind, town.as_user("eve")) == errors.USER_NOT_FOUND
    assert town.change(kind, NOBODY) == errors.USER_EMPTY
    assert (town.accounts.revision, town.accounts.is_enabled) == before


def test_every_kind_of_management_is_in_the_table() -> None:
    assert set(CHANGES) == ROOT_KINDS
