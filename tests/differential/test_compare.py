"""The comparison sees what it must see, and overlooks only what is every server's own."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from dualmode.api import etcdserverpb, mvccpb
from tests.differential.compare import Outcome, differences
from tests.differential.history import line_of, operation_of
from tests.differential.operation import Operation
from tests.differential.operations import Draw, World


def kv(key: bytes, version: int = 1, value: bytes = b"", mod_revision: int = 5, lease: int = 0) -> Any:
    return mvccpb.KeyValue(key=key, version=version, value=value, mod_revision=mod_revision, lease=lease)


def range_response(*kvs: Any, revision: int = 9, **fields: Any) -> Outcome:
    header = etcdserverpb.ResponseHeader(cluster_id=Random().getrandbits(60), raft_term=2, revision=revision)
    return Outcome(etcdserverpb.RangeResponse(header=header, kvs=kvs, **fields))


def faults(request: Any, a: Outcome, b: Outcome, lease_ids: dict[int, int] | None = None) -> list[str]:
    return differences(Operation("Range", request), a, b, lease_ids or {})


RANGE = etcdserverpb.RangeRequest(key=b"a", range_end=b"z")
BY_VERSION = etcdserverpb.RangeRequest(key=b"a", range_end=b"z", sort_target=1, sort_order=2)


def test_identity_is_overlooked() -> None:
    assert faults(RANGE, range_response(kv(b"a")), range_response(kv(b"a"))) == []


@pytest.mark.parametrize(
    ("b", "fault"),
    [
        (range_response(kv(b"a"), revision=10), "header.revision: 9 != 10"),
        (range_response(kv(b"a", version=2)), "kvs[0].version: 1 != 2"),
        (range_response(), "kvs count: 1 != 0"),
        (range_response(kv(b"a"), more=True), "more: False != True"),
        (range_response(kv(b"a", lease=3)), "kvs[0].lease: 0 != 3"),
    ],
)
def test_every_field_counts(b: Outcome, fault: str) -> None:
    assert faults(RANGE, range_response(kv(b"a")), b) == [fault]


def test_errors_are_compared_by_code_and_text() -> None:
    refused = Outcome(code=3, text="etcdserver: key is not provided")
    assert faults(RANGE, refused, refused) == []
    assert faults(RANGE, refused, Outcome(code=3, text="key is not provided")) != []
    assert faults(RANGE, refused, Outcome(code=2, text=refused.text)) != []
    assert faults(RANGE, refused, range_response()) != []


def test_chosen_lease_ids_are_mapped() -> None:
    a, b = range_response(kv(b"a", lease=77)), range_response(kv(b"a", lease=88))
    assert faults(RANGE, a, b, {77: 88}) == []
    assert faults(RANGE, a, b, {77: 89}) == ["kvs[0].lease: 89 != 88"]


def test_ties_of_a_sort_may_stand_in_any_order() -> None:
    a = range_response(kv(b"c", 2), kv(b"a"), kv(b"b"))
    assert faults(BY_VERSION, a, range_response(kv(b"c", 2), kv(b"b"), kv(b"a"))) == []
    assert faults(BY_VERSION, a, range_response(kv(b"a"), kv(b"c", 2), kv(b"b"))) != []
    assert faults(BY_VERSION, a, range_response(kv(b"c", 2), kv(b"b"), kv(b"b"))) != []


def test_which_ties_a_limit_keeps_is_open() -> None:
    a = range_response(kv(b"c", 2), kv(b"a"), more=True)
    assert faults(BY_VERSION, a, range_response(kv(b"c", 2), kv(b"b"), more=True)) == []
    assert faults(BY_VERSION, a, range_response(kv(b"d", 2), kv(b"a"), more=True)) != []


def test_answers_in_a_transaction_are_compared_by_their_own_requests() -> None:
    request = etcdserverpb.TxnRequest(success=[etcdserverpb.RequestOp(request_range=BY_VERSION)])

    def answer(*kvs: Any) -> Outcome:
        inner = etcdserverpb.ResponseOp(response_range=etcdserverpb.RangeResponse(kvs=kvs))
        return Outcome(etcdserverpb.TxnResponse(succeeded=True, responses=[inner]))

    operation = Operation("Txn", request)
    assert differences(operation, answer(kv(b"a"), kv(b"b")), answer(kv(b"b"), kv(b"a")), {}) == []
    assert differences(operation, answer(kv(b"a"), kv(b"b")), answer(kv(b"a"), kv(b"b", 2)), {}) != []


def test_histories_are_read_back_as_they_were_written() -> None:
    draw = Draw(Random(5), World(revision=50, compacted=7))
    for _ in range(500):
        for operation in draw.operations():
            assert operation_of(line_of(operation)) == operation


@pytest.mark.parametrize("line", ["Putt key: 'a'", "Put keys: 'a'", "Put@x key: 'a'"])
def test_a_bad_history_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        operation_of(line)


def test_the_same_seed_draws_the_same_operations() -> None:
    first, second = (Draw(Random(3), World()) for _ in range(2))
    for _ in range(300):
        assert first.operations() == second.operations()
