"""Locks: one holder at a time, in the order of coming; who goes or whose lease ends drops out."""

import pytest

from dualmode import errors
from dualmode.errors import Code, RpcError
from tests.member.concurrency.conftest import Caller


async def test_the_first_has_it_at_once(caller: Caller) -> None:
    await caller.call("LeaseGrant", ID=0xAB, TTL=60)
    answer = await caller.call("Lock", name=b"m", lease=0xAB)
    assert answer.key == b"m/ab"
    assert answer.header.revision == 2
    assert answer.header.member_id == caller.member.opened.member_id
    kv = (await caller.call("Range", key=b"m/ab")).kvs[0]
    assert (kv.lease, kv.value) == (0xAB, b"")


async def test_a_lease_is_granted_for_who_has_none(caller: Caller) -> None:
    answer = await caller.call("Lock", name=b"m")
    (lease,) = (await caller.call("LeaseLeases")).leases
    assert answer.key == b"m/%x" % lease.ID
    life = await caller.call("LeaseTimeToLive", ID=lease.ID, keys=True)
    assert (life.grantedTTL, list(life.keys)) == (60, [answer.key])


async def test_the_holder_may_lock_again(caller: Caller) -> None:
    await caller.call("LeaseGrant", ID=1, TTL=60)
    first = await caller.call("Lock", name=b"m", lease=1)
    assert await caller.call("Lock", name=b"m", lease=1) == first


async def test_others_wait_in_the_order_of_coming(caller: Caller) -> None:
    for lease in (3, 2, 1):
        await caller.call("LeaseGrant", ID=lease, TTL=60)
    assert (await caller.call("Lock", name=b"m", lease=3)).key == b"m/3"
    second = caller.begin("Lock", name=b"m", lease=2)
    await caller.until_keys(2)
    third = caller.begin("Lock", name=b"m", lease=1)
    await caller.until_keys(3)
    await caller.call("Unlock", key=b"m/3")
    assert (await caller.answer("Lock", second)).key == b"m/2"
    assert not third.is_over
    await caller.call("LeaseRevoke", ID=2)
    answer = await caller.answer("Lock", third)
    assert answer.key == b"m/1"
    assert answer.header.revision == caller.member.opened.store.revision


async def test_one_in_the_middle_who_gives_up_lets_nobody_in(caller: Caller) -> None:
    await caller.call("Lock", name=b"m")
    second = caller.begin("Lock", name=b"m")
    await caller.until_keys(2)
    third = caller.begin("Lock", name=b"m")
    keys = await caller.until_keys(3)
    second.go()
    left = await caller.until_keys(2)
    assert not third.is_over
    await caller.call("Unlock", key=left[0])
    assert (await caller.answer("Lock", third)).key == keys[2]


async def test_who_goes_while_getting_in_leaves_no_key(caller: Caller) -> None:
    call = caller.begin("Lock", name=b"m")
    call.go()
    await caller.until_keys(0)
    with_lease = caller.begin("Lock", name=b"m")
    while len((await caller.call("LeaseLeases")).leases) < 1:
        pass
    with_lease.go()
    await caller.until_keys(0)


async def test_a_lease_that_ends_while_waiting(caller: Caller) -> None:
    holder = await caller.call("Lock", name=b"m")
    await caller.call("LeaseGrant", ID=7, TTL=60)
    waiting = caller.begin("Lock", name=b"m", lease=7)
    await caller.until_keys(2)
    await caller.call("LeaseRevoke", ID=7)
    await caller.call("Unlock", key=holder.key)
    with pytest.raises(RpcError) as caught:
        await caller.answer("Lock", waiting)
    assert caught.value == RpcError(Code.UNKNOWN, "mutex: session is expired")


async def test_errors_are_etcds(caller: Caller) -> None:
    assert await caller.refused("Lock", name=b"m", lease=9) == RpcError(Code.UNKNOWN, errors.LEASE_NOT_FOUND.message)
    assert await caller.refused("Unlock") == RpcError(Code.UNKNOWN, errors.EMPTY_KEY.message)
    assert (await caller.call("Unlock", key=b"nothing")).header.revision == 1


async def test_a_compaction_between_does_not_end_the_wait(caller: Caller) -> None:
    holder = await caller.call("Lock", name=b"m")
    waiting = caller.begin("Lock", name=b"m")
    await caller.until_keys(2)
    for _ in range(3):
        await caller.call("Put", key=b"other")
    await caller.call("Compact", revision=caller.member.opened.store.revision, physical=True)
    assert not waiting.is_over
    await caller.call("Unlock", key=holder.key)
    await caller.answer("Lock", waiting)
