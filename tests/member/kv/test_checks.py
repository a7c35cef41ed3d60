"""Request checks as tables: what etcd refuses, and with which error."""

from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.member.apply.transaction import Transaction
from dualmode.member.kv import checks


def put(key: bytes = b"k", **fields: Any) -> Any:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, **fields))


def delete(key: bytes, range_end: bytes = b"") -> Any:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=range_end))


def get(key: bytes = b"k", **fields: Any) -> Any:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, **fields))


def nested(then: list[Any], otherwise: list[Any] | None = None) -> Any:
    return pb.RequestOp(request_txn=pb.TxnRequest(success=then, failure=otherwise or []))


@pytest.mark.parametrize(
    ("request_fields", "error"),
    [
        ({"key": b""}, errors.EMPTY_KEY),
        ({"key": b"k", "sort_order": 3}, errors.INVALID_SORT_OPTION),
        ({"key": b"k", "sort_target": 5}, errors.INVALID_SORT_OPTION),
    ],
)
def test_bad_ranges(request_fields: dict[str, Any], error: errors.RpcError) -> None:
    with pytest.raises(errors.RpcError) as caught:
        checks.check_range(pb.RangeRequest(**request_fields))
    assert caught.value == error


@pytest.mark.parametrize(
    ("request_fields", "error"),
    [
        ({"key": b""}, errors.EMPTY_KEY),
        ({"key": b"k", "value": b"v", "ignore_value": True}, errors.VALUE_PROVIDED),
        ({"key": b"k", "lease": 1, "ignore_lease": True}, errors.LEASE_PROVIDED),
    ],
)
def test_bad_puts(request_fields: dict[str, Any], error: errors.RpcError) -> None:
    with pytest.raises(errors.RpcError) as caught:
        checks.check_put(pb.PutRequest(**request_fields))
    assert caught.value == error


def test_an_empty_key_cannot_be_deleted() -> None:
    with pytest.raises(errors.RpcError) as caught:
        checks.check_delete_range(pb.DeleteRangeRequest())
    assert caught.value == errors.EMPTY_KEY


BAD_BRANCHES = [
    ([pb.RequestOp()], errors.KEY_NOT_FOUND),
    ([get(b"")], errors.EMPTY_KEY),
    ([put(b"")], errors.EMPTY_KEY),
    ([delete(b"")], errors.EMPTY_KEY),
    ([put(), put()], errors.DUPLICATE_KEY),
    ([put(), delete(b"k")], errors.DUPLICATE_KEY),
    ([delete(b"k"), put()], errors.DUPLICATE_KEY),
    ([delete(b"a", b"z"), put()], errors.DUPLICATE_KEY),
    ([put(), nested([put()])], errors.DUPLICATE_KEY),
    ([put(), nested([], [put()])], errors.DUPLICATE_KEY),
    ([nested([delete(b"k")]), put()], errors.DUPLICATE_KEY),
    ([nested([put()]), nested([put()])], errors.DUPLICATE_KEY),
    ([nested([delete(b"k")]), nested([put()])], errors.DUPLICATE_KEY),
    ([put() for _ in range(3)], errors.TOO_MANY_OPERATIONS),
    ([nested([nested([put()])])], errors.TOO_MANY_OPERATIONS),
]


@pytest.mark.parametrize("branch", ["success", "failure"])
@pytest.mark.parametrize(("operations", "error"), BAD_BRANCHES)
def test_bad_transactions(branch: str, operations: list[Any], error: errors.RpcError) -> None:
    limit = 2 if error == errors.TOO_MANY_OPERATIONS else 128
    with pytest.raises(errors.RpcError) as caught:
        checks.check_txn(Transaction(pb.TxnRequest(**{branch: operations}), limit))
    assert caught.value == error


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [put(b"a"), put(b"b")],
        [delete(b"a", b"z"), delete(b"b", b"c")],
        [delete(b"a", b"k"), put(b"k")],
        [nested([put()], [put()])],
        [nested([put()]), nested([delete(b"k")])],
        [put(), delete(b"a", b"\0")],
        [nested([nested([put()])])],
    ],
)
def test_good_transactions(operations: list[Any]) -> None:
    checks.check_txn(Transaction(pb.TxnRequest(success=operations), 3))


def test_a_compare_needs_a_key() -> None:
    with pytest.raises(errors.RpcError) as caught:
        checks.check_txn(Transaction(pb.TxnRequest(compare=[pb.Compare()]), 128))
    assert caught.value == errors.EMPTY_KEY


@pytest.mark.parametrize(
    ("operations", "read_only", "serializable"),
    [
        ([], True, True),
        ([get()], True, False),
        ([get(serializable=True)], True, True),
        ([get(serializable=True), get()], True, False),
        ([nested([get(serializable=True)])], True, False),
        ([put()], False, False),
        ([nested([], [delete(b"k")])], False, False),
    ],
)
def test_what_a_transaction_needs(operations: list[Any], read_only: bool, serializable: bool) -> None:
    transaction = Transaction(pb.TxnRequest(failure=operations))
    assert checks.is_read_only(transaction) is read_only
    assert checks.is_serializable(transaction) is serializable
