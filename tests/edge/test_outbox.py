"""When marked connections are flushed."""

import trio
import trio.testing

from dualmode.edge.outbox import Outbox


class Recorder:
    """A connection that notes its flushes."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes, self.is_dirty = name, notes, False

    def flush(self) -> None:
        self.is_dirty = False
        self.notes.append(self.name)


async def test_a_connection_is_flushed_once_however_often_it_is_marked() -> None:
    notes: list[str] = []
    outbox, a, b = Outbox(), Recorder("a", notes), Recorder("b", notes)
    with outbox:
        for connection in (a, b, a, a, b):
            outbox.mark(connection)
        assert notes == []
    assert notes == ["a", "b"]
    outbox.flush()
    assert notes == ["a", "b"]


async def test_what_a_task_marks_leaves_when_the_turn_is_over(nursery: trio.Nursery) -> None:
    notes: list[str] = []
    outbox, a = Outbox(), Recorder("a", notes)
    outbox.start(nursery)
    outbox.start(nursery)  # a second start does nothing
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(3):
        outbox.mark(a)
        outbox.mark(a)
        assert notes == []
        await trio.testing.wait_all_tasks_blocked()
        assert notes == ["a"]
        notes.clear()


async def test_what_was_marked_before_the_task_ran_is_not_forgotten(nursery: trio.Nursery) -> None:
    notes: list[str] = []
    outbox, a = Outbox(), Recorder("a", notes)
    outbox.start(nursery)
    outbox.mark(a)
    await trio.testing.wait_all_tasks_blocked()
    assert notes == ["a"]


async def test_gathering_does_not_wake_the_task(nursery: trio.Nursery) -> None:
    notes: list[str] = []
    outbox, a = Outbox(), Recorder("a", notes)
    outbox.start(nursery)
    await trio.testing.wait_all_tasks_blocked()
    with outbox:
        outbox.mark(a)
    assert notes == ["a"]
    await trio.testing.wait_all_tasks_blocked()
    assert notes == ["a"]


async def test_what_a_flush_marks_is_flushed_too() -> None:
    notes: list[str] = []
    outbox, b = Outbox(), Recorder("b", notes)

    class Chained(Recorder):
        def flush(self) -> None:
            super().flush()
            outbox.mark(b)

    outbox.mark(Chained("a", notes))
    outbox.flush()
    assert notes == ["a", "b"]


async def test_the_block_flushes_even_when_it_raises() -> None:
    notes: list[str] = []
    outbox, a = Outbox(), Recorder("a", notes)
    try:
        with outbox:
            outbox.mark(a)
            raise ValueError
    except ValueError:
        pass
    assert notes == ["a"]
    assert not outbox.is_gathering


async def test_an_outbox_can_be_started_again_after_its_nursery() -> None:
    notes: list[str] = []
    outbox, a = Outbox(), Recorder("a", notes)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            outbox.start(nursery)
            outbox.mark(a)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert notes == ["a", "a"]
