"""Does: a whole run of one seed: a cluster, its clients, its accidents, and at the end the reckoning."""

from __future__ import annotations

import gc
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.sim import loop
from tests.sim.accidents import Accidents
from tests.sim.agreement import agree
from tests.sim.load import Load
from tests.sim.plan import Plan, make_plan
from tests.sim.trace import Trace, Violation
from tests.sim.world import World

#: A run holds some ten megabytes.
_ROOM_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `fault` is None when nothing was wrong."""

    seed: int
    digest: str
    simulated_seconds: float
    counts: dict[str, int]
    fault: str | None
    last_lines: tuple[str, ...]


async def live_through(world: World) -> None:
    """Raises `Violation`, or whatever a member raised."""
    load, accidents = Load(world), Accidents(world)
    async with trio.open_nursery() as world.nursery:
        world.nursery.start_soon(world.network.run)
        accidents.set_weather()
        for node in list(world.nodes.values()):
            world.start(node)
        async with trio.open_nursery() as clients:
            load.start(clients, world.nursery)
            await accidents.run(world.plan.seconds)
            accidents.end()
            world.is_over.set()
        await agree(world, load.operator)
        await load.finish()
        await agree(world, load.operator)
        load.check()
        await _cut_the_power(world)
        await agree(world, load.operator)
        world.nursery.cancel_scope.cancel()


async def _cut_the_power(world: World) -> None:
    """Of everybody at once: what is left is what was durable."""
    world.trace.note("accident", "the power is cut")
    nodes = [life.node for life in world.lives]
    for node in nodes:
        await node.crash()
    for node in nodes:
        world.start(node)


def run_seed(seed: int, echo: Callable[[str], None] | None = None) -> Outcome:
    """One whole run, of what the seed stands for."""
    return run_plan(make_plan(seed), echo)


def run_plan(
    plan: Plan, echo: Callable[[str], None] | None = None, prepare: Callable[[World], None] = lambda world: None
) -> Outcome:
    """The same for a plan, in a folder of its own in memory where there is room for it. `prepare` may spoil the world
    beforehand."""
    trace = Trace(echo)
    folder = Path(tempfile.mkdtemp(prefix=f"sim-{plan.seed}-", dir=_memory()))
    seconds = 0.0

    async def main() -> None:
        nonlocal seconds
        try:
            world = World(plan, folder, trace)
            prepare(world)
            await live_through(world)
        finally:
            seconds = trio.current_time()

    fault = None
    try:
        loop.run(plan.seed, main)
    except (Exception, BaseExceptionGroup) as error:
        fault = "\n".join(_told(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()
    return Outcome(plan.seed, trace.digest, seconds, dict(trace.counts), fault, tuple(trace.last_lines))


def _told(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [line for one in error.exceptions for line in _told(one)]
    if isinstance(error, Violation):
        return [str(error)]
    return traceback.format_exception(error)


def _memory() -> str | None:
    """A file system in memory: syncs cost nothing there. None: wherever temporary files go."""
    memory = Path("/dev/shm")
    try:
        return str(memory) if shutil.disk_usage(memory).free > _ROOM_BYTES else None
    except OSError:
        return None
