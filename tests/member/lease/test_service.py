"""The lease calls as clients see them; facts of etcd's `v3rpc/lease.go` and `etcdserver/v3_server.go`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from tests.member.lease.fakes import FakeCall, FakeStream, Scene


def grant(scene: Scene, lease_id: int, ttl: int) -> Any:
    return scene.call(scene.service.grant, pb.LeaseGrantRequest(ID=lease_id, TTL=ttl))


def revoke(scene: Scene, lease_id: int) -> Any:
    return scene.call(scene.service.revoke, pb.LeaseRevokeRequest(ID=lease_id))


def time_to_live(scene: Scene, lease_id: int, keys: bool = False) -> Any:
    return scene.call(scene.service.time_to_live, pb.LeaseTimeToLiveRequest(ID=lease_id, keys=keys))


async def keep_alive(scene: Scene, *lease_ids: int) -> list[tuple[int, int]]:
    stream = FakeStream(*lease_ids)
    await scene.service.keep_alive(stream)
    assert all(answer.header.revision == 5 for answer in stream.answers)
    return [(answer.ID, answer.TTL) for answer in stream.answers]


@pytest.fixture(autouse=True, params=[True, False], ids=["offered", "received"])
def offers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep-alives come to the same whether they are answered at once or by the task."""
    monkeypatch.setattr(FakeStream, "offers", request.param)


async def test_grant(autojump_clock: Any) -> None:
    scene = Scene()
    answer = grant(scene, 9, 1)
    assert (answer.ID, answer.TTL, answer.error, answer.header.revision) == (9, 2, "", 5)
    assert grant(scene, 9, 1) == errors.LEASE_EXISTS
    assert grant(scene, 10, 9_000_000_001) == errors.LEASE_TTL_TOO_LARGE
    assert scene.rows.saved == {9: (2, 0)}


async def test_a_lease_without_an_id_gets_a_free_one(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 77, 60)
    answer = grant(scene, 0, 60)
    assert (answer.ID, answer.TTL) == (78, 60)


async def test_revoke(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 60)
    assert revoke(scene, 9).header.revision == 5
    assert revoke(scene, 9) == errors.LEASE_NOT_FOUND
    assert revoke(scene, 0) == errors.LEASE_NOT_FOUND
    assert scene.rows.saved == {}


async def test_a_request_that_is_none(autojump_clock: Any) -> None:
    scene = Scene()
    with pytest.raises(RpcError) as caught:
        scene.service.grant(FakeCall(), b"\xff")
    assert caught.value.code is Code.INTERNAL


async def test_keep_alive_on_the_leader(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 60)
    await trio.sleep(59)
    assert await keep_alive(scene, 9, 10, 0, 9) == [(9, 60), (10, 0), (0, 0), (9, 60)]
    await trio.sleep(59)
    assert time_to_live(scene, 9).TTL == 1


async def test_keep_alive_of_a_lease_that_was_granted_anew(autojump_clock: Any) -> None:
    """What is remembered of a request is not believed beyond the lease."""
    scene = Scene()
    grant(scene, 9, 60)
    assert await keep_alive(scene, 9, 9) == [(9, 60), (9, 60)]
    revoke(scene, 9)
    assert await keep_alive(scene, 9) == [(9, 0)]
    grant(scene, 9, 70)
    assert await keep_alive(scene, 9, 9) == [(9, 70), (9, 70)]


async def test_keep_alives_beyond_what_is_remembered(autojump_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_KEEP_ALIVES", 2)
    scene = Scene()
    for lease_id in (9, 300, 2**62):
        grant(scene, lease_id, 60)
    asked = (9, 300, 2**62, 300, 9)
    assert await keep_alive(scene, *asked) == [(lease_id, 60) for lease_id in asked]


@pytest.mark.parametrize("message", [b"\x08\x89\x00", b"\x08\x09\x10\x01", b"\x08\x07\x08\x09"])
async def test_a_keep_alive_that_is_written_oddly(autojump_clock: Any, message: bytes) -> None:
    scene = Scene()
    grant(scene, 9, 60)
    stream = FakeStream()
    stream.requests.append(message)
    await scene.service.keep_alive(stream)
    assert [(answer.ID, answer.TTL) for answer in stream.answers] == [(9, 60)]


async def test_keep_alives_of_a_client_that_does_not_read_wait(autojump_clock: Any) -> None:
    """They are left to the task, which waits to send."""
    scene = Scene()
    grant(scene, 9, 60)
    stream = FakeStream(9)
    stream.unsent_bytes = limits.STREAM_UNSENT_BYTES + 1
    frames: list[bytes] = []
    stream.send_frames = lambda data, count: frames.append(data)  # type: ignore[method-assign]
    await scene.service.keep_alive(stream)
    assert [(answer.ID, answer.TTL) for answer in stream.answers] == [(9, 60)]
    assert frames == []


async def test_keep_alive_of_an_expired_lease_waits_for_its_end(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 5)
    await trio.sleep(5)
    answers: list[tuple[int, int]] = []

    async def ask() -> None:
        answers.extend(await keep_alive(scene, 9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        revoke(scene, 9)
    assert answers == [(9, 0)]


async def test_keep_alive_of_an_expired_lease_that_the_next_leader_spares(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 5)
    await trio.sleep(5)
    scene.leader.keep_alive_answer = 5
    answers: list[tuple[int, int]] = []

    async def ask() -> None:
        answers.extend(await keep_alive(scene, 9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        scene.lessor.demote()
    assert answers == [(9, 5)]


async def test_keep_alive_gives_up_after_the_request_timeout(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 5)
    await trio.sleep(5)
    with pytest.raises(RpcError) as caught:
        await keep_alive(scene, 9)
    assert caught.value == errors.TIMEOUT
    assert trio.current_time() >= 12


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(30, [(9, 30)]), (errors.LEASE_NOT_FOUND, [(9, 0)]), (errors.NO_LEADER, errors.NO_LEADER)],
)
async def test_keep_alive_on_a_follower_asks_the_leader(autojump_clock: Any, answer: Any, outcome: Any) -> None:
    scene = Scene(is_primary=False)
    scene.leader.keep_alive_answer = answer
    if isinstance(outcome, RpcError):
        with pytest.raises(RpcError) as caught:
            await keep_alive(scene, 9)
        assert caught.value == outcome
    else:
        assert await keep_alive(scene, 9) == outcome


async def test_keep_alive_asks_a_majority_when_it_is_not_sure_to_lead(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 60)
    scene.leader.is_confirmed = False
    assert await keep_alive(scene, 9) == [(9, 60)]
    assert scene.leader.confirmations == 1
    scene.leader.confirmation = errors.LEADER_CHANGED
    with pytest.raises(RpcError) as caught:
        await keep_alive(scene, 9)
    assert caught.value == errors.LEADER_CHANGED


async def test_keep_alive_clears_a_checkpoint_before_it_answers(autojump_clock: Any) -> None:
    scene = Scene(applies_at_once=False)
    scene.lessor.grant(9, 1000, trio.current_time())
    scene.lessor.checkpoint(9, 600, trio.current_time())
    answers: list[tuple[int, int]] = []

    async def ask() -> None:
        answers.extend(await keep_alive(scene, 9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        scene.apply()
    assert answers == [(9, 1000)]
    lease = scene.lessor.get(9)
    assert lease is not None
    assert lease.remaining_seconds == 0
    assert scene.rows.saved == {9: (1000, 0)}


async def test_keep_alive_fails_when_the_checkpoint_cannot_be_cleared(autojump_clock: Any) -> None:
    scene = Scene(applies_at_once=False)
    scene.lessor.grant(9, 1000, trio.current_time())
    scene.lessor.checkpoint(9, 600, trio.current_time())

    async def lose() -> None:
        await trio.testing.wait_all_tasks_blocked()
        scene.proposed.popleft()[2].fail(errors.TIMEOUT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose)
        with pytest.raises(RpcError) as caught:
            await keep_alive(scene, 9)
    assert caught.value == errors.TIMEOUT


async def test_time_to_live(autojump_clock: Any) -> None:
    scene = Scene()
    grant(scene, 9, 60)
    scene.rows.keys[9] = [b"a", b"b"]
    await trio.sleep(1.5)
    answer = time_to_live(scene, 9)
    assert (answer.ID, answer.TTL, answer.grantedTTL, list(answer.keys)) == (9, 58, 60, [])
    assert answer.header.revision == 5
    assert list(time_to_live(scene, 9, keys=True).keys) == [b"a", b"b"]
    unknown = time_to_live(scene, 10)
    assert (unknown.ID, unknown.TTL, unknown.grantedTTL, unknown.header.revision) == (10, -1, 0, 5)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (pb.LeaseTimeToLiveResponse(ID=9, TTL=3, grantedTTL=60, keys=[b"a"]), (9, 3, 60)),
        (errors.LEASE_NOT_FOUND, (9, -1, 0)),
        (errors.NO_LEADER, errors.NO_LEADER),
    ],
)
async def test_time_to_live_on_a_follower_asks_the_leader(autojump_clock: Any, answer: Any, outcome: Any) -> None:
    scene = Scene(is_primary=False)
    scene.leader.time_to_live_answer = answer
    call, request = FakeCall(), pb.LeaseTimeToLiveRequest(ID=9)
    scene.service.time_to_live(call, request.SerializeToString())
    await call.run_spawned()
    found = scene.outcome(call, request)
    if isinstance(outcome, RpcError):
        assert found == outcome
    else:
        assert (found.ID, found.TTL, found.grantedTTL) == outcome
        assert found.header.revision == 5


async def test_time_to_live_on_a_follower_gives_up(autojump_clock: Any) -> None:
    scene = Scene(is_primary=False)

    async def never(request: Any) -> Any:
        await trio.sleep_forever()

    scene.leader.time_to_live = never  # type: ignore[method-assign]
    call = FakeCall()
    scene.service.time_to_live(call, pb.LeaseTimeToLiveRequest(ID=9).SerializeToString())
    await call.run_spawned()
    assert call.error == errors.TIMEOUT


async def test_leases_are_listed_in_the_order_of_their_end(autojump_clock: Any) -> None:
    scene = Scene()
    for lease_id, ttl in ((1, 60), (2, 30), (3, 90)):
        grant(scene, lease_id, ttl)
    answer = scene.call(scene.service.leases, pb.LeaseLeasesRequest())
    assert [lease.ID for lease in answer.leases] == [2, 1, 3]
    assert answer.header.revision == 5


class Reader:
    """Authentication is on; the caller may read keys that begin with "a"."""

    def check_user(self, call: Any) -> None: ...

    def check_readable(self, call: Any, keys: Iterable[bytes]) -> None:
        if not all(key.startswith(b"a") for key in keys):
            raise errors.PERMISSION_DENIED

    def sees_every_lease(self, call: Any) -> bool:
        return False


async def test_who_may_not_read_the_keys_does_not_hear_of_them(autojump_clock: Any) -> None:
    scene = Scene(guard=Reader())
    for lease_id in (1, 2, 3):
        grant(scene, lease_id, 60)
    scene.rows.keys = {1: [b"a1"], 2: [b"a2", b"b"]}
    assert list(time_to_live(scene, 1, keys=True).keys) == [b"a1"]
    assert time_to_live(scene, 2, keys=True) == errors.PERMISSION_DENIED
    assert time_to_live(scene, 2).TTL == 60
    answer = scene.call(scene.service.leases, pb.LeaseLeasesRequest())
    assert [lease.ID for lease in answer.leases] == [1, 3]


async def test_the_method_table(autojump_clock: Any) -> None:
    assert [method.path for method in Scene().service.methods()] == [
        b"/etcdserverpb.Lease/Lease" + name for name in (b"Grant", b"Revoke", b"KeepAlive", b"TimeToLive", b"Leases")
    ]
