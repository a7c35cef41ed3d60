"""A watch of this process itself."""

from typing import Any

import pytest
import trio

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.member.concurrency import recipes
from dualmode.member.concurrency.local_watch import LocalWatch
from tests.member.concurrency.conftest import Caller


async def test_it_tells_what_happens_from_a_revision_on(caller: Caller) -> None:
    for value in (b"1", b"2"):
        await caller.call("Put", key=b"a", value=value)
    hub = caller.member.watch_hub
    with LocalWatch(hub, recipes.watch(b"a", 3)) as watch, trio.fail_after(5):
        (event,) = (await watch.next()).events
        assert (event.kv.value, event.kv.mod_revision) == (b"2", 3)
        await caller.call("DeleteRange", key=b"a")
        (event,) = (await watch.next()).events
        assert event.type == 1
    assert (hub.streams, hub.watchers) == (0, 0)


async def test_it_ends_with_its_block(caller: Caller) -> None:
    with pytest.raises(ValueError, match="x"), LocalWatch(caller.member.watch_hub, recipes.watch(b"a", 1)):
        raise ValueError("x")
    assert caller.member.watch_hub.streams == 0


async def test_what_is_compacted_cannot_be_told(caller: Caller) -> None:
    for _ in range(3):
        await caller.call("Put", key=b"a")
    await caller.call("Compact", revision=4)
    with LocalWatch(caller.member.watch_hub, recipes.watch(b"a", 2)) as watch, pytest.raises(RpcError) as caught:
        await watch.next()
    assert caught.value == errors.COMPACTED


async def test_a_watch_that_is_refused_says_why(caller: Caller) -> None:
    request = recipes.watch(b"b", 1)
    request.range_end = b"a"
    with LocalWatch(caller.member.watch_hub, request) as watch, pytest.raises(RpcError, match="range is empty"):
        await watch.next()


async def test_who_does_not_read_for_long_misses_nothing(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_STREAM_UNSENT_BYTES", 5000)
    with LocalWatch(caller.member.watch_hub, recipes.watch(b"a", 1)) as watch:
        for number in range(50):
            await caller.call("Put", key=b"a", value=b"%d" % number + b"." * 1000)
        seen: list[Any] = []
        with trio.fail_after(5):
            while len(seen) < 50:
                seen += (await watch.next()).events
    assert [event.kv.mod_revision for event in seen] == list(range(2, 52))
