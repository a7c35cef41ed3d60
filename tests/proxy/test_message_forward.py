"""Calls made anew for clients: what goes along, and what is sent a second time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dualmode import limits
from dualmode.errors import Code, RpcError
from dualmode.http.interface import ErrorCode
from dualmode.proxy.message_forward import MessageForward
from dualmode.rpc.metadata import CallMetadata
from tests.proxy.fake_upstreams import FakeUpstreams

RANGE, PUT = b"/etcdserverpb.KV/Range", b"/etcdserverpb.KV/Put"
METADATA = CallMetadata(((b"token", b"t"), (b"grpc-timeout", b"5S"), (b"grpc-encoding", b"gzip")))


class Outcome:
    """Of a task: what it gave, or the error."""

    value: Any = None
    error: RpcError | None = None

    async def of(self, call: Callable[..., Awaitable[Any]], *args: Any) -> None:
        try:
            self.value = await call(*args)
        except RpcError as error:
            self.error = error


@asynccontextmanager
async def asking(upstreams: FakeUpstreams, path: bytes) -> AsyncIterator[Outcome]:
    """A unary call under way, over at the end of the block."""
    outcome = Outcome()
    forward = MessageForward(upstreams)  # type: ignore[arg-type]
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome.of, forward.unary, path, METADATA, b"question")
            await wait_all_tasks_blocked()
            yield outcome
            await wait_all_tasks_blocked()


async def test_an_answer_comes_back_and_metadata_goes_along() -> None:
    upstreams = FakeUpstreams()
    async with asking(upstreams, PUT) as outcome:
        (asked,) = upstreams.asked
        assert (asked.messages, asked.is_ended) == ([b"question"], True)
        assert asked.head.get(b":path") == PUT
        assert asked.head.get(b"token") == b"t"
        assert asked.head.get(b"grpc-timeout") == b"5S"
        assert asked.head.get(b"grpc-encoding") is None
        asked.answer(b"answer")
    assert outcome.value == b"answer"


@pytest.mark.parametrize("path", [RANGE, PUT])
async def test_a_members_error_is_passed_on(path: bytes) -> None:
    """Also one that says the member cannot serve: it has said so."""
    upstreams = FakeUpstreams()
    async with asking(upstreams, path) as outcome:
        upstreams.asked[0].fail(14, b"etcdserver: no leader")
    assert outcome.error == RpcError(Code.UNAVAILABLE, "etcdserver: no leader")
    assert len(upstreams.asked) == 1


@pytest.mark.parametrize(("path", "may_have_left"), [(RANGE, True), (RANGE, False), (PUT, False)])
async def test_a_call_that_may_be_repeated_goes_to_the_next_endpoint(path: bytes, may_have_left: bool) -> None:
    upstreams = FakeUpstreams()
    async with asking(upstreams, path) as outcome:
        upstreams.is_there = False
        upstreams.asked[0].lose(may_have_left)
        await wait_all_tasks_blocked()
        assert len(upstreams.asked) == 1
        upstreams.is_there = True
        upstreams.tell()
        await wait_all_tasks_blocked()
        assert upstreams.asked[1].messages == [b"question"]
        upstreams.asked[1].answer(b"answer")
    assert outcome.value == b"answer"


async def test_a_write_that_may_have_left_is_not_repeated() -> None:
    upstreams = FakeUpstreams()
    async with asking(upstreams, PUT) as outcome:
        upstreams.asked[0].lose(may_have_left=True)
    assert outcome.error is not None
    assert outcome.error.code is Code.UNAVAILABLE
    assert len(upstreams.asked) == 1


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    upstreams = FakeUpstreams()
    async with asking(upstreams, RANGE) as outcome:
        upstreams.asked[0].sink.on_head(200, ())
        upstreams.asked[0].lose(may_have_left=True)
    assert outcome.error is not None
    assert len(upstreams.asked) == 1


async def test_a_read_is_not_repeated_for_ever() -> None:
    upstreams = FakeUpstreams()
    async with asking(upstreams, RANGE) as outcome:
        while outcome.error is None:
            upstreams.asked[-1].lose(may_have_left=True)
            await wait_all_tasks_blocked()
    assert len(upstreams.asked) == limits.PROXY_ATTEMPTS


async def test_without_an_endpoint_the_caller_is_told() -> None:
    upstreams = FakeUpstreams()
    upstreams.is_there = False
    async with asking(upstreams, RANGE) as outcome:
        upstreams.tell()
    assert outcome.error == RpcError(Code.UNAVAILABLE, "no endpoint is available: nobody is there")


async def test_a_call_waits_for_room() -> None:
    upstreams = FakeUpstreams()
    upstreams.can_open_stream = False
    async with asking(upstreams, PUT) as outcome:
        assert upstreams.asked == []
        upstreams.can_open_stream = True
        for call in upstreams.waiting_for_room:
            call()
        await wait_all_tasks_blocked()
        upstreams.asked[0].answer(b"answer")
    assert outcome.value == b"answer"


async def test_a_call_that_is_given_up_is_cancelled_at_the_member() -> None:
    upstreams = FakeUpstreams()
    forward = MessageForward(upstreams)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(forward.unary, PUT, METADATA, b"")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert upstreams.asked[0].reset_code == ErrorCode.CANCEL


async def test_a_stream_is_begun_with_metadata() -> None:
    upstreams = FakeUpstreams()
    with await MessageForward(upstreams).stream(b"/s/m", METADATA) as call:  # type: ignore[arg-type]
        await call.send(b"one")
        asked = upstreams.asked[0]
        assert (asked.messages, asked.is_ended) == ([b"one"], False)
        assert asked.head.get(b"token") == b"t"
        asked.send(b"first")
        assert await call.receive() == b"first"
    assert asked.reset_code == ErrorCode.CANCEL
