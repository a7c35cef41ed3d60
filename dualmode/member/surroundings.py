"""Does: everything a member takes from the machine that a simulation gives it differently: chance, the date, threads.

The loop's clock is trio's, which a simulation replaces as a whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import trio

from dualmode.member.disk_door import DiskDoor


class Door(Protocol):
    """The way to the disk (see `disk_door.DiskDoor`)."""

    @property
    def is_quick(self) -> bool: ...

    def sync_inline(self, sync: Callable[[], None]) -> None: ...

    async def sync(self, sync: Callable[[], None]) -> None: ...

    async def run(self, function: Callable[[], object]) -> None: ...

    def close(self) -> None: ...


class RunBlocking(Protocol):
    """Runs a function that blocks, while the loop goes on; gives and raises what it does."""

    async def __call__(self, function: Callable[..., Any], /, *arguments: Any) -> Any: ...


async def run_in_thread(function: Callable[..., Any], /, *arguments: Any) -> Any:
    """In one of trio's threads."""
    return await trio.to_thread.run_sync(function, *arguments)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The defaults are the machine's own."""

    dice: random.Random = field(default_factory=random.SystemRandom)
    unix_seconds: Callable[[], float] = time.time
    make_door: Callable[[Callable[[float], None]], Door] = DiskDoor
    run_blocking: RunBlocking = run_in_thread
