"""The Maintenance service on a whole member."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.facts import MemberFacts
from dualmode.member.server import MemberServer
from dualmode.rpc.local import AwaitableReply, call_unary
from tests.member.conftest import running_member

GET, ACTIVATE, DEACTIVATE = range(3)
VALIDATE, ENABLE, CANCEL = range(3)
NOSPACE = 1


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[MemberServer]:
    async with running_member(tmp_path) as running:
        yield running


async def call(member: MemberServer, name: str, **fields: Any) -> Any:
    """Calls a method of the service by its name, as a client would."""
    method = next(one for one in member.methods() if one.name == name)
    with trio.fail_after(20):
        answer = await call_unary(method.handler, method.request(**fields).SerializeToString())  # type: ignore[arg-type]
    return method.response.FromString(answer)


async def refused(member: MemberServer, name: str, **fields: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await call(member, name, **fields)
    return caught.value


async def test_status(member: MemberServer) -> None:
    await call(member, "Put", key=b"a", value=b"1")
    status = await call(member, "Status")
    assert status.header.revision == 2
    assert status.leader == status.header.member_id
    assert status.raftIndex == status.raftAppliedIndex
    assert status.dbSize == member.opened.store.total_size
    assert status.dbSizeQuota == 2 * 1024**3
    assert list(status.errors) == []
    assert not status.isLearner


async def test_status_names_alarms(member: MemberServer) -> None:
    await call(member, "Alarm", action=ACTIVATE, memberID=5, alarm=NOSPACE)
    await call(member, "Alarm", action=ACTIVATE, alarm=2)  # of no member: a text format leaves a zero out
    await call(member, "Alarm", action=ACTIVATE, memberID=7, alarm=9)  # a kind that nobody knows is raised like others
    assert set((await call(member, "Status")).errors) == {
        "memberID:5 alarm:NOSPACE ",
        "alarm:CORRUPT ",
        "memberID:7 alarm:9 ",
    }
    assert sorted(MemberFacts(member.replica).alarms) == ["CORRUPT", "NOSPACE", "UNKNOWN"]


async def test_the_quota_raises_the_alarm_and_taking_it_back_restores(tmp_path: Path) -> None:
    async with running_member(tmp_path, quota_bytes=4000) as member:
        value = b"v" * 1000
        error = None
        while error is None:
            try:
                await call(member, "Put", key=b"a", value=value)
            except RpcError as raised:
                error = raised
        assert error == errors.NO_SPACE
        alarms = (await call(member, "Alarm", action=GET)).alarms
        assert [one.alarm for one in alarms] == [NOSPACE]
        # Even what would fit is refused now, by the alarm; room can be made.
        assert await refused(member, "Put", key=b"a") == errors.NO_SPACE
        assert await refused(member, "LeaseGrant", TTL=5) == errors.NO_SPACE
        await call(member, "DeleteRange", key=b"a")
        await call(member, "Compact", revision=member.opened.store.revision, physical=True)
    async with running_member(tmp_path, quota_bytes=4000) as member:
        assert await refused(member, "Put", key=b"a") == errors.NO_SPACE
        await call(member, "Alarm", action=DEACTIVATE, memberID=alarms[0].memberID, alarm=NOSPACE)
        await call(member, "Put", key=b"a", value=value)


async def test_a_batch_that_passes_the_quota_is_answered_so_and_applied(tmp_path: Path) -> None:
    async with running_member(tmp_path, quota_bytes=3000) as member:
        replies = [AwaitableReply() for _ in range(4)]
        for number, reply in enumerate(replies):
            put = pb.PutRequest(key=b"%d" % number, value=b"v" * 1000)
            member.replica.intake.propose(requests.PUT, put.SerializeToString(), put, reply)
        for reply in replies[:2]:
            await reply.result()
        # All were admitted while the store was empty; those past the quota are in it and were told of no space.
        for reply in replies[2:]:
            with pytest.raises(RpcError) as caught:
                await reply.result()
            assert caught.value == errors.NO_SPACE
        assert member.opened.store.count(b"\0", b"\0") == 4
        with trio.fail_after(20):
            while not member.replica.applier.alarms.is_raised(NOSPACE):
                await trio.testing.wait_all_tasks_blocked()


async def test_without_a_quota_nothing_is_refused(tmp_path: Path) -> None:
    async with running_member(tmp_path, quota_bytes=None) as member:
        await call(member, "Put", key=b"a")
        assert (await call(member, "Status")).dbSizeQuota == -1


async def test_hash_kv_in_steps_is_the_hash_at_once(member: MemberServer) -> None:
    for number in range(300):
        await call(member, "Put", key=b"%d" % (number % 7), value=b"v" * number)
    await call(member, "Compact", revision=100, physical=True)
    for revision in (0, 100, 200):
        answer = await call(member, "HashKV", revision=revision)
        expected = member.opened.store.hash_by_revision(revision)
        assert (answer.hash, answer.compact_revision) == (expected.hash, 100)
        assert answer.hash_revision == (revision or 301)
        assert answer.header.revision == 301
    assert await refused(member, "HashKV", revision=99) == errors.COMPACTED
    assert await refused(member, "HashKV", revision=999) == errors.FUTURE_REVISION


async def test_hash_is_of_everything(member: MemberServer) -> None:
    empty = (await call(member, "Hash")).hash
    assert (await call(member, "Hash")).hash == empty
    await call(member, "LeaseGrant", ID=7, TTL=50)
    leased = (await call(member, "Hash")).hash
    await call(member, "Put", key=b"a")
    assert len({empty, leased, (await call(member, "Hash")).hash}) == 3


async def test_defragmentation_is_announced_and_keeps_what_is_there(member: MemberServer) -> None:
    heard: list[bool] = []
    member.maintenance.on_defragmentation = heard.append
    await call(member, "Put", key=b"a", value=b"1")
    answer = await call(member, "Defragment")
    assert not answer.HasField("header")
    assert heard == [True, False]
    assert (await call(member, "Range", key=b"a")).kvs[0].value == b"1"


async def test_moving_the_leader_of_one_member(member: MemberServer) -> None:
    own_id = member.opened.member_id
    assert await refused(member, "MoveLeader", targetID=own_id + 1) == errors.BAD_LEADER_TRANSFEREE
    assert await refused(member, "MoveLeader") == errors.BAD_LEADER_TRANSFEREE
    assert not (await call(member, "MoveLeader", targetID=own_id)).HasField("header")


async def test_downgrade(member: MemberServer) -> None:
    member.replica.applying.in_pass(lambda store: member.replica.applier.membership.set_cluster_version("3.6.0"))
    assert await refused(member, "Downgrade", action=VALIDATE, version="x") == errors.WRONG_DOWNGRADE_VERSION_FORMAT
    assert await refused(member, "Downgrade", action=VALIDATE, version="3.4") == errors.INVALID_DOWNGRADE_TARGET
    assert (await call(member, "Downgrade", action=VALIDATE, version="3.5.0")).version == "3.6"
    assert (await call(member, "Downgrade", action=ENABLE, version="3.5")).version == "3.6"
    info = (await call(member, "Status")).downgradeInfo
    assert (info.enabled, info.targetVersion) == (True, "3.5.0")
    assert await refused(member, "Downgrade", action=ENABLE, version="3.5.0") == errors.DOWNGRADE_IN_PROCESS
    for _ in range(2):  # canceling what does not run is answered well too
        assert (await call(member, "Downgrade", action=CANCEL)).version == "3.6"
        assert not (await call(member, "Status")).downgradeInfo.enabled
    assert "unknown method" in (await refused(member, "Downgrade", action=9)).message
