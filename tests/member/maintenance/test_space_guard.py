"""The guard of the quota: one alarm at a time, and again when it did not get through."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.alarms import NOSPACE, Alarms
from dualmode.member.maintenance.quota import Quota
from dualmode.member.maintenance.space_guard import SpaceGuard
from dualmode.rpc.calls import Reply
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store

MEMBER = 5
PUT = pb.PutRequest(key=b"k", value=b"v" * 1000)


class Log:
    """Takes alarms, and keeps who proposed them waiting."""

    def __init__(self) -> None:
        self.alarms: list[Any] = []
        self.replies: list[Reply] = []
        self.refusal: RpcError | None = None

    def propose(self, kind: int, message: bytes, request: Any, reply: Reply) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert kind == requests.ALARM
        assert pb.AlarmRequest.FromString(message) == request
        self.alarms.append(request)
        self.replies.append(reply)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def guard(store: Store, log: Log) -> SpaceGuard:
    return SpaceGuard(Quota(1000), store, Alarms(store), MEMBER, log.propose)


def refuse(guard: SpaceGuard) -> None:
    with pytest.raises(RpcError) as caught:
        guard.admit(requests.PUT, PUT)
    assert caught.value == errors.NO_SPACE


def test_what_fits_is_admitted(guard: SpaceGuard, log: Log) -> None:
    guard.admit(requests.PUT, pb.PutRequest(key=b"k"))
    guard.admit(requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"k"))
    assert log.alarms == []


def test_the_alarm_is_proposed_once_while_it_is_on_its_way(guard: SpaceGuard, log: Log) -> None:
    refuse(guard)
    refuse(guard)
    (alarm,) = log.alarms
    assert (alarm.action, alarm.memberID, alarm.alarm) == (pb.AlarmRequest.ACTIVATE, MEMBER, NOSPACE)


def test_it_is_tried_again_when_it_did_not_get_through(guard: SpaceGuard, log: Log) -> None:
    refuse(guard)
    log.replies[0].fail(errors.TIMEOUT)
    log.refusal = errors.NO_LEADER
    refuse(guard)
    log.refusal = None
    refuse(guard)
    assert len(log.alarms) == 2


def test_an_alarm_that_is_raised_is_not_raised_again_until_it_is_taken_back(store: Store, log: Log) -> None:
    alarms = Alarms(store)
    guard = SpaceGuard(Quota(1000), store, alarms, MEMBER, log.propose)
    refuse(guard)
    store.begin_pass()
    alarms.apply(log.alarms[0])
    log.replies[0].reply(b"")
    refuse(guard)
    assert len(log.alarms) == 1
    alarms.apply(pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=MEMBER, alarm=NOSPACE))
    refuse(guard)
    assert len(log.alarms) == 2


def test_the_alarm_of_another_member_is_not_ours(store: Store, log: Log) -> None:
    alarms = Alarms(store)
    store.begin_pass()
    alarms.apply(pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=MEMBER + 1, alarm=NOSPACE))
    refuse(SpaceGuard(Quota(1000), store, alarms, MEMBER, log.propose))
    assert len(log.alarms) == 1
