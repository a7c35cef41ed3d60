"""The event that can be waited for again and again."""

import trio
import trio.testing

from dualmode.rpc.signal import Signal


async def test_everybody_who_waits_is_woken_each_time(nursery: trio.Nursery) -> None:
    signal, woken = Signal(), []

    async def look(name: str) -> None:
        for number in range(2):
            await signal.wait()
            woken.append((name, number))

    signal.set()  # for nobody: who comes later does not see it
    for name in "ab":
        nursery.start_soon(look, name)
    await trio.testing.wait_all_tasks_blocked()
    assert woken == []
    signal.set()
    signal.set()  # before anybody has run: once more is not owed
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(woken) == [("a", 0), ("b", 0)]
    signal.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(woken) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


async def test_who_gives_up_is_forgotten() -> None:
    signal = Signal()
    with trio.move_on_after(0):
        await signal.wait()
    signal.set()
    with trio.move_on_after(0) as scope:
        await signal.wait()
    assert scope.cancelled_caught
