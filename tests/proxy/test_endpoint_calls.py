"""The proxy's own calls wait for an endpoint and for room on it, and no longer than they may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from dualmode.client.status import CallError
from dualmode.errors import Code
from dualmode.proxy.endpoint_calls import EndpointCalls, ready_connection


class FakeConnection:
    """Full until `make_room`."""

    def __init__(self) -> None:
        self.can_open_stream = False
        self._waiting: list[Callable[[], None]] = []

    def when_room(self, call: Callable[[], None]) -> None:
        self._waiting.append(call)

    def make_room(self) -> None:
        self.can_open_stream = True
        for call in self._waiting:
            call()


class FakeUpstreams:
    """No endpoint until `find`."""

    fault = "nobody is there"

    def __init__(self) -> None:
        self.ready: Any = None
        self._waiting: list[Any] = []

    def when_ready(self, call: Any) -> None:
        self._waiting.append(call)

    def find(self, told: Any, ready: Any) -> None:
        """`told` was found by the round; `ready` is what there is by the time somebody looks."""
        self.ready = ready
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call(told)


async def test_an_endpoint_is_waited_for_then_room_on_it() -> None:
    upstreams, connection, found = FakeUpstreams(), FakeConnection(), list[Any]()

    async def wait() -> None:
        found.append(await ready_connection(upstreams))  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        upstreams.find(FakeConnection(), None)  # found, and lost again before anybody looked
        await trio.testing.wait_all_tasks_blocked()
        upstreams.find(connection, connection)
        await trio.testing.wait_all_tasks_blocked()
        assert found == []
        connection.make_room()
    assert found == [connection]


async def test_no_endpoint_is_told_at_the_end_of_the_round() -> None:
    upstreams = FakeUpstreams()

    async def end_round() -> None:
        await trio.testing.wait_all_tasks_blocked()
        upstreams.find(None, None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_round)
        with pytest.raises(CallError) as raised:
            await EndpointCalls(upstreams).unary("/a/b", b"", timeout=5)  # type: ignore[arg-type]
    assert (raised.value.code, raised.value.may_have_left) == (Code.UNAVAILABLE, False)
    assert "nobody is there" in raised.value.message


async def test_the_wait_has_an_end(autojump_clock: trio.testing.MockClock) -> None:
    calls = EndpointCalls(FakeUpstreams())  # type: ignore[arg-type]
    for call in (calls.unary("/a/b", b"", timeout=5), calls.stream("/a/b", timeout=5)):
        with pytest.raises(CallError) as raised:
            await call
        assert (raised.value.code, raised.value.may_have_left) == (Code.DEADLINE_EXCEEDED, False)
    assert trio.current_time() == 10
