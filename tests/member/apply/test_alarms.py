"""Alarms and the quota, where entries are applied."""

from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.alarms import CORRUPT, NOSPACE, Alarms
from dualmode.member.maintenance.quota import Quota
from tests.member.apply.conftest import Bench

GET, ACTIVATE, DEACTIVATE = range(3)
PUT_OP = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
DELETE_OP = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a"))

#: (kind, request, class of the answer, refused under NOSPACE, refused under CORRUPT)
REQUESTS = [
    (requests.PUT, pb.PutRequest(key=b"a"), pb.PutResponse, True, True),
    (requests.TXN, pb.TxnRequest(failure=[PUT_OP]), pb.TxnResponse, True, True),
    (
        requests.TXN,
        pb.TxnRequest(success=[pb.RequestOp(request_txn=pb.TxnRequest(success=[PUT_OP]))]),
        pb.TxnResponse,
        True,
        True,
    ),
    (requests.TXN, pb.TxnRequest(success=[DELETE_OP]), pb.TxnResponse, False, True),
    (requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"a"), pb.DeleteRangeResponse, False, True),
    (requests.COMPACTION, pb.CompactionRequest(revision=1), pb.CompactionResponse, False, True),
    (requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=8, TTL=5), pb.LeaseGrantResponse, True, True),
    (requests.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=7), pb.LeaseRevokeResponse, False, True),
]


def alarm(bench: Bench, action: int, kind: int, member_id: int = 2) -> list[tuple[int, int]]:
    request = pb.AlarmRequest(action=action, memberID=member_id, alarm=kind)
    answer = bench.apply(requests.ALARM, request, pb.AlarmResponse)
    return [(one.memberID, one.alarm) for one in answer.alarms]


@pytest.fixture
def leased(bench: Bench) -> Bench:
    """Has lease 7."""
    bench.apply(requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=7, TTL=5), pb.LeaseGrantResponse)
    return bench


@pytest.mark.parametrize(("kind", "request_", "response", "no_space", "corrupt"), REQUESTS)
def test_what_alarms_refuse(
    leased: Bench, kind: int, request_: Any, response: Any, no_space: bool, corrupt: bool
) -> None:
    revision = leased.store.revision
    alarm(leased, ACTIVATE, CORRUPT)
    alarm(leased, ACTIVATE, NOSPACE)
    assert leased.apply(kind, request_, response) == errors.CORRUPT
    alarm(leased, DEACTIVATE, CORRUPT)
    refused = leased.apply(kind, request_, response)
    assert (refused == errors.NO_SPACE) is no_space
    assert leased.store.revision == revision
    if no_space:
        alarm(leased, DEACTIVATE, NOSPACE)
        assert not isinstance(leased.apply(kind, request_, response), RpcError)


def test_asking_raising_and_taking_back(bench: Bench) -> None:
    assert alarm(bench, GET, 0) == []
    assert alarm(bench, ACTIVATE, NOSPACE, 3) == [(3, NOSPACE)]
    assert alarm(bench, ACTIVATE, NOSPACE, 3) == [(3, NOSPACE)]
    assert alarm(bench, ACTIVATE, CORRUPT, 0) == [(0, CORRUPT)]
    assert alarm(bench, GET, 0) == [(0, CORRUPT), (3, NOSPACE)]
    assert alarm(bench, GET, NOSPACE) == [(3, NOSPACE)]
    assert alarm(bench, DEACTIVATE, NOSPACE, 4) == []
    assert alarm(bench, DEACTIVATE, NOSPACE, 3) == [(3, NOSPACE)]
    assert alarm(bench, GET, 0) == [(0, CORRUPT)]


def test_an_alarm_of_one_member_ends_nothing_that_another_has_raised(bench: Bench) -> None:
    alarm(bench, ACTIVATE, NOSPACE, 3)
    alarm(bench, ACTIVATE, NOSPACE, 4)
    alarm(bench, DEACTIVATE, NOSPACE, 3)
    assert bench.apply(requests.PUT, pb.PutRequest(key=b"a"), pb.PutResponse) == errors.NO_SPACE


def test_alarms_survive_a_restart(bench: Bench) -> None:
    alarm(bench, ACTIVATE, NOSPACE, 3)
    again = Alarms(bench.store)
    assert again.has(3, NOSPACE)
    assert not again.is_quiet
    assert again.refusal(requests.PUT, grows=True) == errors.NO_SPACE


def test_what_passes_the_quota_is_applied_and_answered_with_no_space(bench: Bench) -> None:
    told = []
    bench.applier.quota = Quota(600)
    bench.applier.on_no_room = lambda: told.append(bench.store.revision)
    put = pb.PutRequest(key=b"a", value=b"v" * 200)
    assert not isinstance(bench.apply(requests.PUT, put, pb.PutResponse), RpcError)
    assert told == []
    assert bench.apply(requests.PUT, put, pb.PutResponse) == errors.NO_SPACE
    assert bench.store.revision == 3
    assert told == [3]
    deletion = bench.apply(requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"a"), pb.DeleteRangeResponse)
    assert deletion.deleted == 1


def test_what_fails_is_not_said_to_have_had_no_room(bench: Bench) -> None:
    bench.applier.quota = Quota(1)
    bench.applier.on_no_room = lambda: pytest.fail("nothing was written")
    put = pb.PutRequest(key=b"a", lease=9)
    assert bench.apply(requests.PUT, put, pb.PutResponse) == errors.LEASE_NOT_FOUND
