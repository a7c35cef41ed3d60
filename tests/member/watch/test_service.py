"""The Watch call: what is read when, and how it ends."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.leader_streams import LeaderStreams
from dualmode.member.watch.service import WatchService
from dualmode.rpc.calls import ServerStream
from tests.member.watch.fakes import FakeStream, Scene


class LiveStream(FakeStream):
    """A stream whose client can be played: `request` sends, `half_close` says that it has no more to say."""

    def __init__(self) -> None:
        super().__init__()
        self._to_server, self._inbox = trio.open_memory_channel[bytes](math.inf)
        self.received = 0

    def request(self, **fields: Any) -> None:
        self._to_server.send_nowait(pb.WatchRequest(**fields).SerializeToString())

    def half_close(self) -> None:
        self._to_server.close()

    async def receive(self) -> bytes | None:
        try:
            message = await self._inbox.receive()
        except trio.EndOfChannel:
            return None
        self.received += 1
        return message


class Stage:
    """A service that runs, and one call of it."""

    def __init__(self, nursery: trio.Nursery, authorize: Any = None, has_leader: bool = False) -> None:
        self.scene = Scene()
        options = {"authorize": authorize} if authorize else {}
        self.leader_streams = LeaderStreams()
        self.service = WatchService(self.scene.hub, self.leader_streams, **options)
        self.stream = LiveStream()
        self.stream.metadata.has_leader = has_leader
        self.outcome: Any = None
        nursery.start_soon(self.service.run)
        nursery.start_soon(self._call)

    async def _call(self) -> None:
        try:
            await self.service.watch(self.stream)
            self.outcome = "ended"
        except RpcError as error:
            self.outcome = error

    async def settle(self) -> list[Any]:
        """Waits until nothing moves; gives what the client was sent."""
        await trio.testing.wait_all_tasks_blocked(0.01)
        return self.stream.take()


@asynccontextmanager
async def stage(**options: Any) -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        yield Stage(nursery, **options)
        nursery.cancel_scope.cancel()


async def test_create_hear_cancel(autojump_clock: Any) -> None:
    async with stage() as one:
        one.stream.request(create_request={"key": b"a"})
        (created,) = await one.settle()
        assert created.created
        one.scene.put(b"a")
        (event,) = await one.settle()
        assert event.events[0].kv.key == b"a"
        one.stream.request(progress_request={})
        one.stream.request(cancel_request={"watch_id": 0})
        one.stream.request()
        progress, canceled = await one.settle()
        assert (progress.watch_id, canceled.canceled) == (-1, True)


async def test_history_is_caught_up_with_by_the_task(autojump_clock: Any) -> None:
    async with stage() as one:
        for _ in range(3 * limits.WATCH_SLICE_CHANGES):
            one.scene.put(b"a")
        one.stream.request(create_request={"key": b"a", "start_revision": 2})
        created, *responses = await one.settle()
        assert created.created
        assert sum(len(response.events) for response in responses) == 3 * limits.WATCH_SLICE_CHANGES
        one.stream.request(create_request={"key": b"a", "start_revision": 3 * limits.WATCH_SLICE_CHANGES})
        assert len(await one.settle()) == 2, "it works again after it has had nothing to do"


async def test_a_client_that_has_half_closed_still_hears(autojump_clock: Any) -> None:
    async with stage() as one:
        one.stream.request(create_request={"key": b"a"})
        one.stream.half_close()
        await one.settle()
        one.scene.put(b"a")
        assert len(await one.settle()) == 1
        assert not one.outcome
        one.stream.go()
        await one.settle()
        assert one.outcome == "ended"
        assert one.scene.hub.streams == 0


async def test_a_client_that_does_not_read_is_not_read_from(autojump_clock: Any) -> None:
    async with stage() as one:
        one.stream.request(create_request={"key": b"a"})
        await one.settle()
        one.stream.is_stalled = True
        while one.stream.unsent_bytes <= limits.WATCH_STREAM_UNSENT_BYTES:
            one.scene.put(b"a", b"v" * 100_000)
        received = one.stream.received
        for _ in range(10):
            one.stream.request(progress_request={})
        await one.settle()
        assert one.stream.received == received + 1
        one.stream.drain()
        await one.settle()
        assert one.stream.received == received + 10
        one.stream.is_stalled = True
        one.stream.unsent_bytes = 2 * limits.WATCH_STREAM_UNSENT_BYTES
        one.stream.request(progress_request={})
        await one.settle()
        one.stream.go()
        one.stream.half_close()
        await one.settle()
        assert one.outcome == "ended"


async def test_progress_is_notified_by_the_clock(autojump_clock: Any) -> None:
    async with stage() as one:
        one.stream.request(create_request={"key": b"a", "progress_notify": True})
        await one.settle()
        await trio.sleep(601)
        (progress,) = one.stream.take()
        assert (progress.watch_id, progress.header.revision, len(progress.events)) == (0, 1, 0)


async def test_a_refused_watch_leaves_the_stream_open(autojump_clock: Any) -> None:
    asked: list[tuple[bytes, bytes]] = []

    def authorize(stream: ServerStream, key: bytes, range_end: bytes) -> None:
        asked.append((key, range_end))
        if range_end:
            raise errors.PERMISSION_DENIED

    async with stage(authorize=authorize) as one:
        # From-key watches must be asked about as what they are (GHSA-xg4h-6gfc-h4m8).
        one.stream.request(create_request={"key": b"a", "range_end": b"\0"})
        one.stream.request(create_request={"key": b"", "range_end": b""})
        refused, created = await one.settle()
        assert asked == [(b"a", b"\0"), (b"\0", b"")]
        assert (refused.watch_id, refused.created, refused.canceled) == (-1, True, True)
        assert refused.cancel_reason == "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        assert (created.watch_id, created.created, created.canceled) == (0, True, False)


@pytest.mark.parametrize("has_leader", [True, False])
async def test_the_leader_is_lost(autojump_clock: Any, has_leader: bool) -> None:
    async with stage(has_leader=has_leader) as one:
        await one.settle()
        one.leader_streams.leader_lost()
        assert one.stream.ended_with == (errors.NO_LEADER if has_leader else None)


async def test_bytes_that_are_no_request_end_the_call(autojump_clock: Any) -> None:
    async with stage() as one:
        one.stream._to_server.send_nowait(b"\xff")
        await one.settle()
        assert isinstance(one.outcome, RpcError)
        assert one.outcome.message.startswith("grpc: error unmarshalling request")
        assert one.scene.hub.streams == 0


async def test_the_method_table(autojump_clock: Any) -> None:
    async with stage() as one:
        assert [method.path for method in one.service.methods()] == [b"/etcdserverpb.Watch/Watch"]


async def test_ten_thousand_watches_on_one_stream(autojump_clock: Any) -> None:
    async with stage() as one:
        for number in range(10_000):
            one.stream.request(create_request={"key": b"k%d" % number})
        responses = await one.settle()
        assert [response.watch_id for response in responses] == list(range(10_000))
        one.scene.put(b"k7777")
        (response,) = await one.settle()
        assert response.watch_id == 7777
