"""Errors are values that are raised again and again: none may keep what was refused with it."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.http.interface import ErrorCode, RequestHead
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.faults import status_of
from dualmode.rpc.framing import frame
from dualmode.rpc.gateway import json_routes
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.local import call_unary
from dualmode.rpc.table import MethodTable
from tests.rpc.fake_link import FakeLink


class Held:
    """Something that a frame holds."""


held: list[weakref.ref[Held]] = []


def refuse(call: UnaryCall, message: bytes) -> None:
    thing = Held()
    held.append(weakref.ref(thing))
    raise errors.EMPTY_KEY


async def refuse_stream(stream: ServerStream) -> None:
    thing = Held()
    held.append(weakref.ref(thing))
    await stream.receive()
    raise errors.EMPTY_KEY


PUT = Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, refuse)
WATCH = Method("etcdserverpb.Watch", "Watch", Kind.BIDI, pb.WatchRequest, pb.WatchResponse, refuse_stream)
GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


@pytest.fixture(autouse=True)
def nothing_held() -> None:
    held.clear()


def assert_let_go() -> None:
    assert held
    assert not any(one() for one in held)
    for error in (errors.EMPTY_KEY, errors.REQUEST_CANCELED):
        assert error.__traceback__ is error.__context__ is None


def test_a_unary_call() -> None:
    for routes, body in ((grpc_routes, frame(b"")), (json_routes, b"{}")):
        for path, route in routes(MethodTable([PUT])).items():
            head = RequestHead(b"POST", b"http", b"h", path, GRPC if routes is grpc_routes else (), b"2")
            link = FakeLink()
            route.serve(link, 1, head, body)
            assert link.answer().is_ended
    assert_let_go()


@pytest.mark.parametrize("is_cut", [False, True])
async def test_a_stream_that_is_refused_or_cut(nursery: trio.Nursery, is_cut: bool) -> None:
    (path, route), *_ = grpc_routes(MethodTable([WATCH])).items()
    link = FakeLink(nursery)
    sink: Any = route.serve(link, 1, RequestHead(b"POST", b"http", b"h", path, GRPC, b"2"), b"")
    await trio.testing.wait_all_tasks_blocked()
    if is_cut:
        sink.on_reset(ErrorCode.CANCEL)
    else:
        sink.on_data(frame(b""), 5)
    await trio.testing.wait_all_tasks_blocked()
    del sink, link
    assert_let_go()


async def test_a_call_of_this_process() -> None:
    with pytest.raises(RpcError) as caught:
        await call_unary(wrapped, b"")
    status_of(caught.value, "x")
    del caught
    assert_let_go()


def wrapped(call: UnaryCall, message: bytes) -> None:
    try:
        refuse(call, message)
    except RpcError as error:
        call.fail(error)
