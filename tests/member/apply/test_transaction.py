"""A TxnRequest taken apart: everything that is in it, and no more work than it may make."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import etcdserverpb as pb
from dualmode.member.apply.transaction import DELETE_RANGE, NOTHING, PUT, RANGE, TXN, Transaction

KEYS = st.sampled_from([b"", b"a", b"b"])
OPERATIONS: Any = st.deferred(
    lambda: st.one_of(
        st.just(pb.RequestOp()),
        st.builds(lambda key: pb.RequestOp(request_range=pb.RangeRequest(key=key)), KEYS),
        st.builds(lambda key: pb.RequestOp(request_put=pb.PutRequest(key=key)), KEYS),
        st.builds(lambda key: pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key)), KEYS),
        st.builds(lambda inner: pb.RequestOp(request_txn=inner), TRANSACTIONS),
    )
)
COMPARES = st.builds(
    lambda key, target, result: pb.Compare(key=key, target=target, result=result, value=b"v"),
    KEYS,
    st.integers(0, 6),
    st.integers(0, 5),
)
TRANSACTIONS: Any = st.builds(
    lambda compare, success, failure: pb.TxnRequest(compare=compare, success=success, failure=failure),
    st.lists(COMPARES, max_size=2),
    st.lists(OPERATIONS, max_size=2),
    st.lists(OPERATIONS, max_size=2),
)


def put_together(transaction: Transaction) -> Any:
    """The message again."""

    def branch(operations: Any) -> Any:
        return [
            pb.RequestOp()
            if operation.kind == NOTHING
            else pb.RequestOp(request_txn=put_together(operation.request))
            if operation.kind == TXN
            else pb.RequestOp(
                **{
                    {PUT: "request_put", RANGE: "request_range", DELETE_RANGE: "request_delete_range"}[
                        operation.kind
                    ]: operation.request
                }
            )
            for operation in operations
        ]

    compares = [
        pb.Compare(key=one.key, range_end=one.range_end, target=one.target, result=one.result, value=b"v")
        for one in transaction.compares
    ]
    return pb.TxnRequest(compare=compares, success=branch(transaction.success), failure=branch(transaction.failure))


@given(TRANSACTIONS)
def test_nothing_is_lost(request_: Any) -> None:
    transaction = Transaction(request_)
    assert put_together(transaction) == request_
    for compare in transaction.compares:
        assert compare.wanted == (b"v" if compare.target == 3 else 0)


def operations_of(transaction: Transaction) -> int:
    return sum(
        1 + (operations_of(one.request) if one.kind == TXN else 0) for one in transaction.success + transaction.failure
    )


def test_what_is_too_long_is_not_taken_apart() -> None:
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
    assert operations_of(Transaction(pb.TxnRequest(success=[put] * 3), 3)) == 3
    too_long = Transaction(pb.TxnRequest(success=[put] * 4), 3)
    assert too_long.is_too_long
    assert operations_of(too_long) == 0


@pytest.mark.parametrize(("inside", "is_too_long"), [(1, False), (2, False), (3, True)])
def test_one_inside_gets_what_its_parent_leaves(inside: int, is_too_long: bool) -> None:
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
    child = pb.RequestOp(request_txn=pb.TxnRequest(failure=[put] * inside))
    transaction = Transaction(pb.TxnRequest(success=[child]), 3)
    assert not transaction.is_too_long
    assert transaction.success[0].request.is_too_long is is_too_long
