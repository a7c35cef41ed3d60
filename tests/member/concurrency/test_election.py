"""Elections: who leads, with which value, and who is told of it."""

from typing import Any

import trio

from dualmode import errors
from dualmode.api import v3electionpb as pb
from dualmode.errors import Code, RpcError
from tests.member.concurrency.conftest import Caller, Stream

NOT_LEADER = RpcError(Code.UNKNOWN, "election: not leader")


async def grant(caller: Caller, lease: int) -> int:
    await caller.call("LeaseGrant", ID=lease, TTL=60)
    return lease


async def campaign(caller: Caller, lease: int, value: bytes, name: bytes = b"e") -> Any:
    return (await caller.call("Campaign", name=name, lease=await grant(caller, lease), value=value)).leader


async def test_campaign(caller: Caller) -> None:
    lease = await grant(caller, 0xAB)
    answer = await caller.call("Campaign", name=b"e", lease=lease, value=b"v")
    assert answer.leader == pb.LeaderKey(name=b"e", key=b"e/ab", rev=2, lease=0xAB)
    assert answer.header.revision == 2
    kv = (await caller.call("Leader", name=b"e")).kv
    assert (kv.key, kv.value, kv.lease) == (b"e/ab", b"v", 0xAB)


async def test_campaign_without_a_lease(caller: Caller) -> None:
    leader = (await caller.call("Campaign", name=b"e", value=b"v")).leader
    assert (await caller.call("LeaseTimeToLive", ID=leader.lease)).grantedTTL == 60


async def test_campaigning_again_changes_the_value_but_not_the_place(caller: Caller) -> None:
    leader = await campaign(caller, 1, b"a")
    again = await caller.call("Campaign", name=b"e", lease=1, value=b"b")
    assert again.leader == leader
    kv = (await caller.call("Leader", name=b"e")).kv
    assert (kv.value, kv.create_revision, kv.version) == (b"b", 2, 2)


async def test_the_next_leads_when_the_leader_resigns(caller: Caller) -> None:
    leader = await campaign(caller, 1, b"a")
    waiting = caller.begin("Campaign", name=b"e", lease=await grant(caller, 2), value=b"b")
    await caller.until_keys(2)
    assert (await caller.call("Leader", name=b"e")).kv.value == b"a"
    await caller.call("Resign", leader=leader)
    assert (await caller.answer("Campaign", waiting)).leader.lease == 2
    assert (await caller.call("Leader", name=b"e")).kv.value == b"b"


async def test_a_candidate_who_goes_does_not_stand_any_more(caller: Caller) -> None:
    await campaign(caller, 1, b"a")
    waiting = caller.begin("Campaign", name=b"e", lease=await grant(caller, 2), value=b"b")
    await caller.until_keys(2)
    waiting.go()
    assert await caller.until_keys(1) == [b"e/1"]


async def test_proclaim(caller: Caller) -> None:
    leader = await campaign(caller, 1, b"a")
    answer = await caller.call("Proclaim", leader=leader, value=b"b")
    assert answer.header.revision == 3
    assert (await caller.call("Leader", name=b"e")).kv.value == b"b"
    leader.rev += 1
    assert await caller.refused("Proclaim", leader=leader, value=b"c") == NOT_LEADER


async def test_resigning_twice_is_no_error(caller: Caller) -> None:
    leader = await campaign(caller, 1, b"a")
    for revision in (3, 3):
        assert (await caller.call("Resign", leader=leader)).header.revision == revision
    assert await caller.refused("Leader", name=b"e") == RpcError(Code.UNKNOWN, "election: no leader")


async def test_errors_are_etcds(caller: Caller) -> None:
    missing = RpcError(Code.UNKNOWN, '"leader" field must be provided')
    assert await caller.refused("Proclaim", value=b"v") == missing
    assert await caller.refused("Resign") == missing
    leader = pb.LeaderKey(name=b"e", rev=1, lease=1)
    assert await caller.refused("Resign", leader=leader) == RpcError(Code.UNKNOWN, errors.EMPTY_KEY.message)
    no_lease = RpcError(Code.UNKNOWN, errors.LEASE_NOT_FOUND.message)
    assert await caller.refused("Campaign", name=b"e", lease=9) == no_lease


async def test_elections_of_other_names_are_other_elections(caller: Caller) -> None:
    await campaign(caller, 1, b"a", name=b"e")
    await campaign(caller, 2, b"b", name=b"e0")
    await campaign(caller, 3, b"c", name=b"d")
    assert (await caller.call("Leader", name=b"e")).kv.value == b"a"


async def test_observing(caller: Caller) -> None:
    stream: Any = Stream(pb.LeaderRequest(name=b"e").SerializeToString())

    async def heard(count: int) -> list[tuple[bytes, bytes, int]]:
        with trio.fail_after(5):
            while len(stream.sent) < count:
                await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        answers = [pb.LeaderResponse.FromString(one) for one in stream.sent]
        return [(one.kv.key, one.kv.value, one.header.revision) for one in answers]

    observe: Any = caller.method("Observe").handler
    caller.nursery.start_soon(observe, stream)
    await trio.testing.wait_all_tasks_blocked()
    await caller.call("Put", key=b"ea")
    first = await campaign(caller, 1, b"a")
    expected = [(b"e/1", b"a", 3)]
    assert await heard(1) == expected
    waiting = caller.begin("Campaign", name=b"e", lease=await grant(caller, 2), value=b"b")
    await caller.until_keys(3)
    await caller.call("Proclaim", leader=first, value=b"c")
    expected.append((b"e/1", b"c", 5))
    assert await heard(2) == expected
    await caller.call("Resign", leader=first)
    second = (await caller.answer("Campaign", waiting)).leader
    expected.append((b"e/2", b"b", 6))
    assert await heard(3) == expected
    await caller.call("Resign", leader=second)
    await campaign(caller, 3, b"d")
    expected.append((b"e/3", b"d", 8))
    assert await heard(4) == expected
