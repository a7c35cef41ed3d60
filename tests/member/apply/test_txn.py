"""Transactions: compares against the state before, all or nothing, one revision."""

from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from dualmode.member.apply.transaction import Transaction
from tests.member.apply.conftest import Bench

EQUAL, GREATER, LESS, NOT_EQUAL = range(4)
VERSION, CREATE, MOD, VALUE, LEASE = range(5)


def put(key: bytes, value: bytes = b"", **fields: Any) -> Any:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, **fields))


def get(key: bytes, **fields: Any) -> Any:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, **fields))


def delete(key: bytes, **fields: Any) -> Any:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, **fields))


def nested(**fields: Any) -> Any:
    return pb.RequestOp(request_txn=pb.TxnRequest(**fields))


def run(bench: Bench, *then: Any, compare: Any = (), otherwise: Any = ()) -> Any:
    request = pb.TxnRequest(compare=compare, success=then, failure=otherwise)
    return bench.apply(requests.TXN, request, pb.TxnResponse)


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """a=1 at revisions 2 and 3 (version 2), b=2 at revision 4."""
    for key, value in ((b"a", b"0"), (b"a", b"1"), (b"b", b"2")):
        bench.apply(requests.PUT, pb.PutRequest(key=key, value=value), pb.PutResponse)
    return bench


COMPARES = [
    ({"key": b"a", "target": VERSION, "result": EQUAL, "version": 2}, True),
    ({"key": b"a", "target": VERSION, "result": GREATER, "version": 2}, False),
    ({"key": b"a", "target": CREATE, "result": EQUAL, "create_revision": 2}, True),
    ({"key": b"a", "target": MOD, "result": LESS, "mod_revision": 4}, True),
    ({"key": b"a", "target": VALUE, "result": EQUAL, "value": b"1"}, True),
    ({"key": b"a", "target": VALUE, "result": GREATER, "value": b"0"}, True),
    ({"key": b"a", "target": LEASE, "result": NOT_EQUAL, "lease": 0}, False),
    # A missing key is all zero, but has no value.
    ({"key": b"x", "target": VERSION, "result": EQUAL, "version": 0}, True),
    ({"key": b"x", "target": CREATE, "result": LESS, "create_revision": 1}, True),
    ({"key": b"x", "target": VALUE, "result": EQUAL, "value": b""}, False),
    ({"key": b"x", "target": VALUE, "result": NOT_EQUAL, "value": b"1"}, False),
    # A value wanted of another target counts as zero.
    ({"key": b"a", "target": VERSION, "result": GREATER, "mod_revision": 9}, True),
    # A range holds if every key does; an empty one is compared as a missing key.
    ({"key": b"a", "range_end": b"c", "target": CREATE, "result": GREATER, "create_revision": 1}, True),
    ({"key": b"a", "range_end": b"c", "target": VERSION, "result": EQUAL, "version": 2}, False),
    ({"key": b"x", "range_end": b"z", "target": VERSION, "result": EQUAL, "version": 0}, True),
    ({"key": b"a", "range_end": b"\0", "target": MOD, "result": GREATER, "mod_revision": 2}, True),
]


@pytest.mark.parametrize(("compare", "holds"), COMPARES)
def test_compares(filled: Bench, compare: dict[str, Any], holds: bool) -> None:
    assert run(filled, compare=[pb.Compare(**compare)]).succeeded is holds


def test_all_compares_must_hold(filled: Bench) -> None:
    yes = pb.Compare(key=b"a", target=VERSION, result=EQUAL, version=2)
    no = pb.Compare(key=b"b", target=VERSION, result=EQUAL, version=2)
    answer = run(filled, put(b"then"), compare=[yes, no], otherwise=[put(b"else")])
    assert not answer.succeeded
    assert filled.store.get(b"then") is None
    assert filled.store.get(b"else") is not None


def test_writes_share_a_revision_and_reads_see_earlier_writes(filled: Bench) -> None:
    answer = run(filled, get(b"c"), put(b"c", b"3"), get(b"c"), delete(b"a"), get(b"\0", range_end=b"\0"))
    assert answer.header.revision == 5
    before, _, after, deleted, everything = answer.responses
    assert before.response_range.count == 0
    assert before.response_range.header.revision == 4
    assert after.response_range.kvs[0].mod_revision == 5
    assert after.response_range.header.revision == 5
    assert deleted.response_delete_range.deleted == 1
    assert [kv.key for kv in everything.response_range.kvs] == [b"b", b"c"]
    assert filled.store.revision == 5


def test_without_a_write_the_revision_stays(filled: Bench) -> None:
    assert run(filled, get(b"a"), delete(b"x")).header.revision == 4


def test_nested_compares_see_the_state_before_the_transaction(filled: Bench) -> None:
    is_new = pb.Compare(key=b"c", target=VERSION, result=EQUAL, version=0)
    inner = nested(compare=[is_new], success=[put(b"d", b"new")], failure=[put(b"d", b"old")])
    answer = run(filled, put(b"c"), inner)
    assert answer.responses[1].response_txn.succeeded
    assert answer.header.revision == 5
    assert filled.store.select(b"d", b"", 0, 0)[0].endswith(b"new")


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (put(b"z", lease=5), errors.LEASE_NOT_FOUND),
        (put(b"z", ignore_value=True), errors.KEY_NOT_FOUND),
        (get(b"z", revision=99), errors.FUTURE_REVISION),
        (nested(success=[put(b"z", lease=5)]), errors.LEASE_NOT_FOUND),
    ],
)
def test_one_operation_that_cannot_be_done_undoes_all(filled: Bench, operation: Any, error: errors.RpcError) -> None:
    assert run(filled, put(b"c"), operation) == error
    assert filled.store.get(b"c") is None
    assert filled.store.revision == 4


def test_a_bad_put_is_told_before_a_bad_range_wherever_they_stand(filled: Bench) -> None:
    assert run(filled, get(b"z", revision=99), nested(success=[put(b"z", lease=5)])) == errors.LEASE_NOT_FOUND


def test_a_kept_value_that_the_transaction_deleted_is_empty(filled: Bench) -> None:
    answer = run(filled, delete(b"a", range_end=b"\0"), put(b"b", ignore_value=True))
    assert answer.responses[0].response_delete_range.deleted == 2
    assert run(filled, get(b"b")).responses[0].response_range.kvs[0].value == b""


def test_a_read_only_transaction_answers_without_the_log(filled: Bench) -> None:
    answer = pb.TxnResponse.FromString(
        filled.applier.read_only_txn(Transaction(pb.TxnRequest(success=[get(b"a"), get(b"x")])))
    )
    assert [one.response_range.count for one in answer.responses] == [1, 0]
    assert answer.header.revision == 4


def test_watchers_hear_of_the_record_before_the_transaction(filled: Bench) -> None:
    """etcd looks it up at the revision before; what a transaction overwrites of its own nobody ever saw."""
    filled.store.begin_pass()
    request = pb.TxnRequest(success=[put(b"a", b"2"), delete(b"\0", range_end=b"\0"), put(b"b", b"3")])
    filled.applier.apply(requests.TXN, Transaction(request))
    [commit] = filled.store.end_pass(99, 1)
    told = [(change.key, change.is_delete, change.previous and change.previous[-1:]) for change in commit.changes]
    assert told == [(b"a", False, b"1"), (b"a", True, b"1"), (b"b", True, b"2"), (b"b", False, None)]


def test_what_is_read_back_from_history_tells_the_same(filled: Bench) -> None:
    filled.store.begin_pass()
    request = pb.TxnRequest(success=[put(b"a", b"2"), delete(b"\0", range_end=b"\0"), put(b"b", b"3")])
    filled.applier.apply(requests.TXN, Transaction(request))
    [told] = filled.store.end_pass(99, 1)
    [read] = filled.store.changes(told.revision, told.revision, b"\0", b"\0", with_previous=True)
    assert [(one.key, one.kv, one.is_delete, one.previous) for one in read.changes] == [
        (one.key, one.kv, one.is_delete, one.previous) for one in told.changes
    ]
