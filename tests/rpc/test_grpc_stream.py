"""Streaming gRPC calls through their route, over a link in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.http.interface import STREAMED
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.framing import frame
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.grpc_stream import GrpcStreamRoute
from dualmode.rpc.table import MethodTable, Shared
from tests.rpc.fake_link import FakeLink, grpc_head, present

PATH = b"/etcdserverpb.Watch/Watch"
settle = trio.testing.wait_all_tasks_blocked


def route_of(
    handler: Callable[[ServerStream], Awaitable[None]], shared: Shared | None = None, kind: Kind = Kind.BIDI
) -> GrpcStreamRoute:
    method = Method("etcdserverpb.Watch", "Watch", kind, pb.WatchRequest, pb.WatchResponse, handler)
    route = grpc_routes(MethodTable([method], shared))[PATH]
    assert isinstance(route, GrpcStreamRoute)
    return route


async def echo(stream: ServerStream) -> None:
    while (message := await stream.receive()) is not None:
        stream.send_now(message)


async def test_messages_go_both_ways_until_the_client_ends(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    route = route_of(echo)
    assert route.body_limit == STREAMED
    sink = present(route.serve(link, 1, grpc_head(PATH), b""))
    wire = frame(b"one") + frame(b"") + frame(b"three")
    for byte in wire:
        sink.on_data(bytes([byte]), 1)
        await settle()
    assert link.answer().messages == [b"one", b"", b"three"]
    assert not link.answer().is_ended
    sink.on_end(())
    await settle()
    assert link.answer().is_ended
    assert link.answer().grpc_status == (0, "")
    assert link.acknowledged_bytes == len(wire)
    counters = route.entry.counters
    assert (counters.started, counters.ok) == (1, 1)
    assert (counters.messages_received, counters.messages_sent) == (3, 3)
    assert (counters.received_bytes, counters.sent_bytes) == (8, 8)


async def test_what_can_be_answered_at_once_wakes_no_task(nursery: trio.Nursery) -> None:
    received: list[bytes] = []
    offered: list[list[bytes]] = []

    async def handler(stream: ServerStream) -> None:
        def answer(messages: list[bytes]) -> int:
            offered.append(messages)
            count = [*messages, b"no"].index(b"no")
            if count:
                stream.send_frames(b"".join(map(frame, messages[:count])), count)
            return count

        stream.answer_at_once(answer)
        while (message := await stream.receive()) is not None:
            received.append(message)
            stream.send_now(message)

    link = FakeLink(nursery)
    route = route_of(handler)
    sink = present(route.serve(link, 1, grpc_head(PATH), b""))
    await settle()
    sink.on_data(frame(b"one") + frame(b""), 20)
    assert link.answer().messages == [b"one", b""]
    assert link.acknowledged_bytes == 20
    sink.on_data(frame(b"two") + frame(b"no") + frame(b"three"), 30)
    sink.on_data(frame(b"four"), 10)  # behind those that the task has not taken
    sink.on_end(())
    await settle()
    assert link.answer().messages == [b"one", b"", b"two", b"no", b"three", b"four"]
    assert received == [b"no", b"three", b"four"]
    assert offered == [[b"one", b""], [b"two", b"no", b"three"]]
    assert link.acknowledged_bytes == 60
    counters = route.entry.counters
    assert (counters.messages_received, counters.messages_sent, counters.received_bytes) == (6, 6, 17)


@pytest.mark.parametrize("cut", range(1, 16))
async def test_what_comes_in_pieces_is_received_in_order(nursery: trio.Nursery, cut: int) -> None:
    """Nothing is offered while a message is incomplete, and nothing overtakes it."""

    async def handler(stream: ServerStream) -> None:
        stream.answer_at_once(lambda messages: (stream.send_now(b"at once"), len(messages))[1])
        await echo(stream)

    link = FakeLink(nursery)
    sink = present(route_of(handler).serve(link, 1, grpc_head(PATH), b""))
    await settle()
    wire = frame(b"one") + frame(b"two")
    for part in (wire[:cut], wire[cut:]):
        sink.on_data(part, len(part))
        await settle()
    sink.on_data(frame(b"last"), 9)
    assert link.answer().messages == ([b"at once"] * 3 if cut == 8 else [b"one", b"two", b"at once"])
    assert link.acknowledged_bytes == len(wire) + 9


async def test_a_stream_without_answers_ends_in_one_block(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    sink = present(route_of(echo).serve(link, 1, grpc_head(PATH), b""))
    sink.on_end(())
    await settle()
    assert link.answer().trailers is None
    assert link.answer().grpc_status == (0, "")


async def test_credit_comes_back_when_messages_are_taken(nursery: trio.Nursery) -> None:
    take = trio.Event()

    async def slow(stream: ServerStream) -> None:
        await take.wait()
        await echo(stream)

    link = FakeLink(nursery)
    sink = present(route_of(slow).serve(link, 1, grpc_head(PATH), b""))
    sink.on_data(frame(b"x" * 95), 110)  # ten bytes of it are padding
    sink.on_data(frame(b"y" * 95), 100)
    await settle()
    assert link.acknowledged_bytes == 0
    take.set()
    await settle()
    assert link.acknowledged_bytes == 210
    sink.on_data(frame(b"z" * 95)[:50], 50)
    await settle()
    assert link.acknowledged_bytes == 260, "whoever waits for the rest lets it come"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\0\0\0\0\x0b", Code.RESOURCE_EXHAUSTED), (b"\7\0\0\0\0", Code.INTERNAL), (b"\1\0\0\0\1a", Code.INTERNAL)],
)
async def test_bad_frames_end_the_stream(nursery: trio.Nursery, data: bytes, code: Code) -> None:
    link = FakeLink(nursery)
    sink = present(route_of(echo, Shared(receive_limit_bytes=10)).serve(link, 1, grpc_head(PATH), b""))
    sink.on_data(frame(b"good") + data, 0)
    await settle()
    assert link.answer().messages == [b"good"]
    assert link.answer().grpc_status[0] == code


async def test_an_end_within_a_message(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    sink = present(route_of(echo).serve(link, 1, grpc_head(PATH), b""))
    sink.on_data(b"\0\0", 2)
    sink.on_end(())
    await settle()
    assert link.answer().grpc_status[0] == Code.INTERNAL


async def test_a_request_of_one_message_comes_as_a_whole(nursery: trio.Nursery) -> None:
    async def count(stream: ServerStream) -> None:
        assert await stream.receive() == b"\3"
        assert await stream.receive() is None
        for number in range(3):
            await stream.send(b"%d" % number)

    link = FakeLink(nursery)
    route = route_of(count, Shared(receive_limit_bytes=100), Kind.SERVER_STREAM)
    assert route.body_limit == 105
    present(route.serve(link, 1, grpc_head(PATH), frame(b"\3")))
    await settle()
    assert link.answer().messages == [b"0", b"1", b"2"]
    route.refuse_body(link, 3, grpc_head(PATH), b"\0\0\0\0\x65")
    assert link.answer(3).grpc_status == (8, "grpc: received message larger than max (101 vs. 100)")


async def test_what_a_handler_raises_becomes_the_status(nursery: trio.Nursery) -> None:
    async def in_nursery(stream: ServerStream) -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep_forever)
            inner.start_soon(raises, errors.COMPACTED)

    async def raises(fault: Exception) -> None:
        await trio.lowlevel.checkpoint()
        raise fault

    async def after_a_message(stream: ServerStream) -> None:
        stream.send_now(b"m")
        await raises(ZeroDivisionError())

    link = FakeLink(nursery)
    for stream_id, handler in ((1, in_nursery), (3, after_a_message)):
        route_of(handler).serve(link, stream_id, grpc_head(PATH), b"")
    await settle()
    assert link.answer(1).grpc_status == (11, errors.COMPACTED.message)
    assert link.answer(3).grpc_status == (13, "internal error")
    assert link.answer(3).messages == [b"m"]


async def test_the_handler_ends_with_its_client(nursery: trio.Nursery) -> None:
    told: list[Any] = []

    async def handler(stream: ServerStream) -> None:
        stream.on_gone(lambda: told.append("gone"))
        try:
            await stream.receive()
        finally:
            told.append(stream.is_open)
            stream.send_now(b"into the void")
            with pytest.raises(RpcError) as caught:
                await stream.receive()
            told.append(caught.value.code)

    link = FakeLink(nursery)
    route = route_of(handler)
    sink = present(route.serve(link, 1, grpc_head(PATH), b""))
    await settle()
    sink.on_reset(8)
    sink.on_reset(8)
    await settle()
    assert told == ["gone", False, Code.CANCELLED]
    assert link.answers == {}
    assert route.entry.counters.handled(Code.CANCELLED) == 1


async def test_whoever_asks_late_hears_at_once_that_the_client_has_gone(nursery: trio.Nursery) -> None:
    told: list[str] = []
    streams: list[ServerStream] = []

    async def handler(stream: ServerStream) -> None:
        streams.append(stream)
        await stream.receive()

    sink = present(route_of(handler).serve(FakeLink(nursery), 1, grpc_head(PATH), b""))
    await settle()
    sink.on_reset(8)
    streams[0].on_gone(lambda: told.append("gone"))
    assert told == ["gone"]


async def test_a_client_that_goes_before_the_task_has_started(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    present(route_of(echo).serve(link, 1, grpc_head(PATH), b"")).on_reset(8)
    await settle()
    assert link.answers == {}


async def test_sending_waits_above_the_high_water_mark(nursery: trio.Nursery) -> None:
    sent: list[int] = []

    async def handler(stream: ServerStream) -> None:
        for number in range(2):
            await stream.send(b"m")
            sent.append(number)

    link = FakeLink(nursery)
    link.unsent = limits.STREAM_UNSENT_BYTES + 1
    sink = present(route_of(handler).serve(link, 1, grpc_head(PATH), b""))
    await settle()
    assert sent == []
    sink.on_drained()  # still too much
    await settle()
    assert sent == []
    link.unsent = limits.STREAM_UNSENT_BYTES
    sink.on_drained()
    await settle()
    assert sent == [0, 1]
    assert link.answer().is_ended


async def test_whoever_pushes_hears_of_each_drain(nursery: trio.Nursery) -> None:
    drains: list[int] = []

    async def handler(stream: ServerStream) -> None:
        stream.on_drained(lambda: drains.append(stream.unsent_bytes))
        await stream.receive()

    link = FakeLink(nursery)
    sink = present(route_of(handler).serve(link, 1, grpc_head(PATH), b""))
    await settle()
    for unsent in (5, 7):
        link.unsent = unsent
        sink.on_drained()
    assert drains == [5, 7]
    sink.on_end(())


async def test_a_stream_may_be_ended_from_outside(nursery: trio.Nursery) -> None:
    streams: list[ServerStream] = []

    async def handler(stream: ServerStream) -> None:
        streams.append(stream)
        await stream.receive()

    link = FakeLink(nursery)
    route = route_of(handler)
    route.serve(link, 1, grpc_head(PATH), b"")
    await settle()
    route.serve(link, 3, grpc_head(PATH), b"")
    await settle()
    streams[0].end(errors.NO_LEADER)
    streams[1].end()
    await settle()
    assert link.answer(1).grpc_status == (14, "etcdserver: no leader")
    assert link.answer(3).grpc_status == (0, "")


async def test_a_deadline_ends_the_stream(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    link = FakeLink(nursery)
    route_of(echo).serve(link, 1, grpc_head(PATH, (b"grpc-timeout", b"2S")), b"")
    await trio.sleep(1.9)
    assert link.answers == {}
    await trio.sleep(0.2)
    assert link.answer().grpc_status == (4, "etcdserver: context deadline exceeded")


@pytest.mark.parametrize("fields", [(), ((b"grpc-timeout", b"?"),)])
async def test_the_hook_and_bad_metadata_refuse_before_a_task(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    def refuse(metadata: object, method: Method) -> None:
        raise errors.NOT_SUPPORTED_FOR_LEARNER

    link = FakeLink()  # no nursery: a task would fail
    assert route_of(echo, Shared(before_call=refuse)).serve(link, 1, grpc_head(PATH, *fields), b"") is None
    assert link.answer().grpc_status[0] in (Code.FAILED_PRECONDITION, Code.INTERNAL)


async def test_the_end_of_the_server_is_said(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    async with trio.open_nursery() as inner:
        inner_link = FakeLink(inner)
        inner_link.answers = link.answers
        route_of(echo).serve(inner_link, 1, grpc_head(PATH), b"")
        await settle()
        inner.cancel_scope.cancel()
    assert link.answer().grpc_status == (14, "etcdserver: server stopped")


async def test_a_flood_of_messages_lets_others_run(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    route = route_of(echo)
    sink = present(route.serve(link, 1, grpc_head(PATH), b""))
    flood = frame(b"") * (3 * limits.MESSAGES_PER_TURN)
    sink.on_data(flood, len(flood))
    turns = 0
    while len(link.answer().body) < len(flood):
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns >= 3
