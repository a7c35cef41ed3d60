"""Calls to other members: what they say, what they refuse, and what else may come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from dualmode import errors, limits
from dualmode.errors import PeerError, RpcError
from dualmode.peer.client import PeerClient
from dualmode.peer.interface import KvHash
from dualmode.peer.member import Member
from tests.peer.fakes import CLUSTER, End, speaking


@pytest.fixture
async def end(tmp_path: Path) -> AsyncIterator[End]:
    async with speaking(0xA, tmp_path) as end:
        yield end


async def test_what_is_answered(end: End) -> None:
    client, url = PeerClient(None), end.url
    assert await client.members(url) == (CLUSTER, end.service.members())
    assert (await client.version(url))["etcdcluster"] == "3.6.0"
    assert await client.is_downgrade_enabled(url)
    assert await client.keep_alive(url, 5) == 60
    answer = await client.time_to_live(url, 5, True)
    assert (answer.ID, answer.TTL, answer.grantedTTL, list(answer.keys)) == (5, 9, 60, [b"k"])
    assert await client.hash_kv(url, 3, CLUSTER) == KvHash(9, 0xFFFFFFFF, -1, 3)
    assert await client.promote(url, 7) == [Member(7, ("http://b:1",))]
    assert await client.promote(url, 2**64 - 1) == [Member(2**64 - 1, ("http://b:1",))]


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (errors.LEASE_NOT_FOUND, errors.LEASE_NOT_FOUND),
        (errors.NOT_LEADER, errors.NOT_LEADER),
        (errors.TIMEOUT_WAIT_APPLIED, errors.TIMEOUT_WAIT_APPLIED),
        (errors.NO_LEADER, errors.NOT_LEADER),
    ],
)
async def test_refusals_of_lease_calls_arrive_as_what_they_were(end: End, told: RpcError, heard: RpcError) -> None:
    end.service.refusal = told
    for ask in (PeerClient(None).keep_alive(end.url, 5), PeerClient(None).time_to_live(end.url, 5, False)):
        with pytest.raises(RpcError) as caught:
            await ask
        assert caught.value == heard


@pytest.mark.parametrize("refusal", [errors.MEMBER_NOT_FOUND, errors.MEMBER_NOT_LEARNER, errors.LEARNER_NOT_READY])
async def test_refusals_of_promotions_arrive_as_what_they_were(end: End, refusal: RpcError) -> None:
    end.service.refusal = refusal
    with pytest.raises(RpcError) as caught:
        await PeerClient(None).promote(end.url, 7)
    assert caught.value == refusal
    end.service.refusal = errors.NOT_ENOUGH_STARTED
    with pytest.raises(PeerError, match="500"):
        await PeerClient(None).promote(end.url, 7)


@pytest.mark.parametrize("refusal", [errors.COMPACTED, errors.FUTURE_REVISION])
async def test_refusals_of_hashes_arrive_as_what_they_were(end: End, refusal: RpcError) -> None:
    end.service.refusal = refusal
    with pytest.raises(RpcError) as caught:
        await PeerClient(None).hash_kv(end.url, 7, CLUSTER)
    assert caught.value == refusal


async def test_a_hash_of_another_cluster(end: End) -> None:
    with pytest.raises(RpcError) as caught:
        await PeerClient(None).hash_kv(end.url, 7, CLUSTER + 1)
    assert caught.value == errors.CLUSTER_ID_MISMATCH


async def every_call(url: str) -> list[str]:
    """The faults that calls end with; of all of them when nobody gives a good answer."""
    client = PeerClient(None, timeout_seconds=1.0)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.members(url),
        lambda: client.version(url),
        lambda: client.keep_alive(url, 5),
        lambda: client.time_to_live(url, 5, False),
        lambda: client.hash_kv(url, 3, CLUSTER),
        lambda: client.promote(url, 7),
    ]
    faults = []
    for call in calls:
        try:
            await call()
        except PeerError as fault:
            faults.append(str(fault))
    return faults


async def test_nobody_there() -> None:
    faults = await every_call("http://127.0.0.1:1")
    assert len(faults) == 6
    assert all("127.0.0.1:1" in fault for fault in faults)
    assert all("attempts to connect" in fault or "refused" in fault for fault in faults)


async def test_a_path_that_is_not_there(end: End) -> None:
    with pytest.raises(PeerError, match="404"):
        await PeerClient(None).members(f"{end.url}/elsewhere")


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """The URL of somebody who answers everything with this, and says no more."""

    async def say(stream: trio.SocketStream) -> None:
        try:
            await stream.receive_some(65536)
            await stream.send_all(answer)
            await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, say, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def answered(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d OK\r\nx-etcd-cluster-id: c1\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        b"rubbish\r\n\r\n",
        answered(b"\xff\xff"),
        answered(b"3"),
        answered(b'["a"]'),
        answered(b'[{"id":"x"}]'),
        answered(b"[" * 50_000),
        answered(b'{"header":3}'),
        answered(b"no", 500),
        answered(b"no", 301),
    ],
)
async def test_rubbish_is_one_clear_error(answer: bytes) -> None:
    async with saying(answer) as url:
        faults = await every_call(url)
        assert len(faults) >= 4, "some rubbish is a good answer to somebody, and an empty message is one in protobuf"
        assert all(url in fault for fault in faults)


async def test_who_does_not_answer_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\n") as url:
        with pytest.raises(PeerError, match=r"no answer within 0\.05 s"):
            await PeerClient(None, timeout_seconds=0.05).members(url)


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEER_ANSWER_BYTES", 1000)
    async with saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as url:
        with pytest.raises(PeerError, match="more than 1000 bytes"):
            await PeerClient(None).members(url)
