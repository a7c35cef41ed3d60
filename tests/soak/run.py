"""Does: a member and its load on a clock that jumps as soon as everybody waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio
import trio.testing

from tests.member.conftest import running_member
from tests.soak.load import Load
from tests.soak.measure import Figures

MEASURED_MINUTES: Final = 30
#: The clock also jumps while a thread syncs a file, so nothing may hang on a second more or less; a log that is cut
#: often, since a day of it would otherwise not fill the one that a member keeps.
OPTIONS: Final[dict[str, Any]] = {
    "heartbeat_seconds": 10.0,
    "election_seconds": 100.0,
    "fsync": False,
    "snapshot_count": 2000,
    "snapshot_catch_up_entries": 500,
    "auto_compaction_mode": "periodic",
    "auto_compaction_seconds": 3600.0,
}


@dataclass
class Result:
    figures: list[Figures] = field(default_factory=list)
    operations: int = 0
    event_bytes: int = 0


def run(directory: Path, hours: float, seed: int, show: Callable[[Figures], None] = lambda figures: None) -> Result:
    """Figures are taken twice an hour."""
    result = Result()

    async def soak() -> None:
        async with running_member(directory, **OPTIONS) as member, trio.open_nursery() as nursery:
            load = Load(member, nursery, seed)
            for minute in range(int(hours * 60)):
                await load.minute(minute)
                if minute % MEASURED_MINUTES == MEASURED_MINUTES - 1:
                    result.figures.append(Figures.take((minute + 1) / 60, member))
                    show(result.figures[-1])
            result.operations, result.event_bytes = load.operations, load.event_bytes
            nursery.cancel_scope.cancel()

    trio.run(soak, clock=trio.testing.MockClock(autojump_threshold=0))
    return result
