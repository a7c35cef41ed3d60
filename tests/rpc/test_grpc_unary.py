"""Unary gRPC calls through their route, over a link in memory."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable

import pytest
import trio

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError, StorageError
from dualmode.http.routing import PeerIdentity
from dualmode.rpc.calls import Kind, Method, UnaryCall, UnaryHandler
from dualmode.rpc.framing import frame
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.grpc_unary import GrpcUnaryRoute
from dualmode.rpc.table import MethodTable, Shared
from tests.rpc.fake_link import FakeLink, grpc_head, present

PATH = b"/etcdserverpb.KV/Put"
GZIP = (b"grpc-encoding", b"gzip")


def table_of(handler: UnaryHandler, shared: Shared | None = None) -> MethodTable:
    return MethodTable([Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, handler)], shared)


def route_of(handler: UnaryHandler, shared: Shared | None = None) -> GrpcUnaryRoute:
    route = grpc_routes(table_of(handler, shared))[PATH]
    assert isinstance(route, GrpcUnaryRoute)
    return route


def echo(call: UnaryCall, message: bytes) -> None:
    call.reply(message)


class Parking:
    """A handler that answers nothing by itself."""

    def __init__(self, at_start: Callable[[UnaryCall], None] = lambda call: None) -> None:
        self.calls: list[UnaryCall] = []
        self._at_start = at_start

    def __call__(self, call: UnaryCall, message: bytes) -> None:
        self._at_start(call)
        self.calls.append(call)


def test_a_call_answered_inline() -> None:
    link = FakeLink()
    route = route_of(echo)
    assert route.serve(link, 1, grpc_head(PATH), frame(b"hello")) is None
    answer = link.answer()
    assert answer.messages == [b"hello"]
    assert answer.grpc_status == (0, "")
    assert answer.field(b":status") == b"200"
    assert answer.field(b"content-type") == b"application/grpc"
    counters = route.entry.counters
    assert (counters.started, counters.ok, counters.messages_received, counters.messages_sent) == (1, 1, 1, 1)
    assert (counters.received_bytes, counters.sent_bytes) == (10, 5)


def test_a_call_answered_later() -> None:
    link = FakeLink()
    handler = Parking()
    route = route_of(handler)
    assert route.serve(link, 1, grpc_head(PATH), frame(b"")) is None
    assert link.answers == {}
    handler.calls[0].reply(b"done")
    assert link.answer().messages == [b"done"]


def test_only_the_first_outcome_counts() -> None:
    link = FakeLink()
    handler = Parking()
    route = route_of(handler)
    route.serve(link, 1, grpc_head(PATH), frame(b""))
    call = handler.calls[0]
    call.reply(b"first")
    call.reply(b"second")
    call.fail(errors.STOPPED)
    assert link.answer().messages == [b"first"]
    assert route.entry.counters.failed == {}


def test_a_handler_sees_metadata_and_peer() -> None:
    link = FakeLink(peer=PeerIdentity("198.51.100.7:9", True, "alice"))
    handler = Parking()
    route_of(handler).serve(link, 1, grpc_head(PATH, (b"token", b"t")), frame(b""))
    assert handler.calls[0].metadata.token == "t"
    assert handler.calls[0].peer.common_name == "alice"


def raising(fault: Exception) -> UnaryHandler:
    def handler(call: UnaryCall, message: bytes) -> None:
        raise fault

    return handler


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (errors.EMPTY_KEY, (3, "etcdserver: key is not provided")),
        (StorageError("wal is full"), (2, "wal is full")),
        (ZeroDivisionError("secret"), (13, "internal error")),
    ],
)
def test_what_a_handler_raises_becomes_the_status(fault: Exception, status: tuple[int, str]) -> None:
    link = FakeLink()
    route = route_of(raising(fault))
    route.serve(link, 1, grpc_head(PATH), frame(b""))
    assert link.answer().grpc_status == status
    assert link.answer().trailers is None, "one header block that ends the stream"
    assert link.answer().body == b""
    assert route.entry.counters.handled(Code(status[0])) == 1


def test_a_fault_after_the_answer_changes_nothing() -> None:
    def handler(call: UnaryCall, message: bytes) -> None:
        call.reply(b"fine")
        raise ZeroDivisionError

    link = FakeLink()
    route_of(handler).serve(link, 1, grpc_head(PATH), frame(b""))
    assert link.answer().messages == [b"fine"]


@pytest.mark.parametrize(
    ("fields", "body", "code"),
    [
        ((), b"", Code.UNIMPLEMENTED),
        ((), frame(b"abc")[:-1], Code.INTERNAL),
        ((), frame(b"a") + frame(b"b"), Code.UNIMPLEMENTED),
        (((b"grpc-encoding", b"br"),), b"\1\0\0\0\1a", Code.UNIMPLEMENTED),
        (((b"grpc-timeout", b"now"),), frame(b""), Code.INTERNAL),
        (((b"client-api-version", b"\xff"),), frame(b""), Code.INVALID_ARGUMENT),
    ],
)
def test_requests_that_no_handler_sees(fields: tuple[tuple[bytes, bytes], ...], body: bytes, code: Code) -> None:
    link = FakeLink()
    handler = Parking()
    route_of(handler).serve(link, 1, grpc_head(PATH, *fields), body)
    assert link.answer().grpc_status[0] == code
    assert handler.calls == []


def test_a_compressed_request() -> None:
    link = FakeLink()
    packed = gzip.compress(b"hello")
    route_of(echo).serve(link, 1, grpc_head(PATH, GZIP), struct.pack(">BI", 1, len(packed)) + packed)
    assert link.answer().messages == [b"hello"]


def test_an_uncompressed_request_of_a_client_that_could_compress() -> None:
    link = FakeLink()
    route_of(echo).serve(link, 1, grpc_head(PATH, GZIP), frame(b"hello"))
    assert link.answer().messages == [b"hello"]


def test_too_large_a_request() -> None:
    link = FakeLink()
    route = route_of(echo, Shared(receive_limit_bytes=10))
    assert route.body_limit == 15
    route.refuse_body(link, 1, grpc_head(PATH), b"\0\0\0\0\x14")
    assert link.answer().grpc_status == (8, "grpc: received message larger than max (20 vs. 10)")
    assert route.entry.counters.handled(Code.RESOURCE_EXHAUSTED) == route.entry.counters.started == 1


def test_the_hook_is_asked_before_the_handler() -> None:
    def refuse(metadata: object, method: Method) -> None:
        raise RpcError(Code.UNAVAILABLE, f"not now, {method.name}")

    link = FakeLink()
    handler = Parking()
    route_of(handler, Shared(before_call=refuse)).serve(link, 1, grpc_head(PATH), frame(b""))
    assert link.answer().grpc_status == (14, "not now, Put")
    assert handler.calls == []


def test_a_parked_call_is_late() -> None:
    link = FakeLink()
    handler = Parking()
    shared = Shared()
    route_of(handler, shared).serve(link, 1, grpc_head(PATH, (b"grpc-timeout", b"1S")), frame(b""))
    shared.deadlines.tick(100.0)
    shared.deadlines.tick(101.0)
    assert link.answers == {}
    shared.deadlines.tick(101.0 + limits.TICK_SECONDS)
    assert link.answer().grpc_status == (4, "etcdserver: context deadline exceeded")
    handler.calls[0].reply(b"too late")


def test_an_answered_call_needs_no_deadline() -> None:
    handler = Parking()
    shared = Shared()
    head = grpc_head(PATH, (b"grpc-timeout", b"1S"))
    route = route_of(handler, shared)
    route.serve(FakeLink(), 1, head, frame(b""))
    route.serve(FakeLink(), 1, head, frame(b""))
    assert len(shared.deadlines) == 2
    handler.calls[0].reply(b"")
    handler.calls[1].fail(errors.STOPPED)
    assert len(shared.deadlines) == 0


def test_a_handler_may_hear_that_its_client_has_gone() -> None:
    heard: list[str] = []
    link = FakeLink()
    route = route_of(Parking(lambda call: call.on_gone(lambda: heard.append("gone"))))
    sink = present(route.serve(link, 1, grpc_head(PATH), frame(b"")))
    sink.on_drained()
    sink.on_reset(8)
    sink.on_reset(8)
    assert heard == ["gone"]
    assert link.answers == {}
    assert route.entry.counters.handled(Code.CANCELLED) == 1


async def test_a_handler_may_start_a_task(nursery: trio.Nursery) -> None:
    async def work(call: UnaryCall, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        call.reply(message + b"!")

    link = FakeLink(nursery)
    route_of(lambda call, message: call.spawn(work, call, message)).serve(link, 1, grpc_head(PATH), frame(b"hi"))
    await trio.testing.wait_all_tasks_blocked()
    assert link.answer().messages == [b"hi!"]


async def test_a_task_that_raises_or_forgets_to_answer(nursery: trio.Nursery) -> None:
    async def work(fault: Exception | None) -> None:
        await trio.lowlevel.checkpoint()
        if fault is not None:
            raise fault

    link = FakeLink(nursery)
    for stream_id, fault in ((1, errors.NO_LEADER), (3, KeyError("x")), (5, None)):
        route = route_of(lambda call, message, fault=fault: call.spawn(work, fault))  # type: ignore[misc]
        route.serve(link, stream_id, grpc_head(PATH), frame(b""))
    await trio.testing.wait_all_tasks_blocked()
    assert link.answer(1).grpc_status == (14, "etcdserver: no leader")
    assert link.answer(3).grpc_status == (13, "internal error")
    assert link.answer(5).grpc_status == (13, "the handler gave no answer")


async def test_a_task_ends_with_its_client(nursery: trio.Nursery) -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("cleaned up")

    link = FakeLink(nursery)
    route = route_of(lambda call, message: call.spawn(wait))
    sink = present(route.serve(link, 1, grpc_head(PATH), frame(b"")))
    await trio.testing.wait_all_tasks_blocked()
    sink.on_reset(8)
    await trio.testing.wait_all_tasks_blocked()
    assert ended == ["cleaned up"]
    assert link.answers == {}


async def test_a_task_ends_at_the_deadline(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    link = FakeLink(nursery)
    route = route_of(lambda call, message: call.spawn(trio.sleep_forever))
    route.serve(link, 1, grpc_head(PATH, (b"grpc-timeout", b"2S")), frame(b""))
    await trio.sleep(1.9)
    assert link.answers == {}
    await trio.sleep(0.2)
    assert link.answer().grpc_status == (4, "etcdserver: context deadline exceeded")
