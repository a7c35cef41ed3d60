"""Decides: whether figures taken along a run stay flat. Does: takes them, of this process and a member in it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from dualmode.member.server import MemberServer

_STATUS: Final = Path("/proc/self/status")
#: The run fills caches and pools at first; what it comes to afterwards it must keep to.
WARM_UP_SHARE: Final = 0.25
#: Of the last third against the first one behind the warm-up.
GROWTH_ALLOWED: Final = 0.03


@dataclass(frozen=True, slots=True)
class Figures:
    """At one moment. `objects` are those the garbage collector knows, `blocks` all that Python's allocator gave out;
    `resident_bytes` has the store's memory in it too."""

    hour: float
    objects: int
    blocks: int
    resident_bytes: int
    leases: int
    watchers: int
    streams: int
    revision: int
    compacted: int

    @classmethod
    def take(cls, hour: float, member: MemberServer) -> Figures:
        gc.collect()
        return cls(
            hour,
            len(gc.get_objects()),
            sys.getallocatedblocks(),
            resident_bytes(),
            len(member.lessor),
            member.watch_hub.watchers,
            member.watch_hub.streams,
            member.store.revision,
            member.store.compacted,
        )

    def __str__(self) -> str:
        return (
            f"{self.hour:5.1f} h {self.objects:9,d} objects {self.blocks:10,d} blocks "
            f"{self.resident_bytes / 2**20:7.1f} MiB  {self.leases:6,d} leases {self.watchers:6,d} watchers "
            f"{self.streams:4d} streams  revision {self.revision:,d}, compacted {self.compacted:,d}"
        )


def resident_bytes() -> int:
    """What the kernel counts for this process."""
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def growth(values: Sequence[float]) -> float:
    """The share by which the last third lies above the first, both behind the warm-up, by their medians."""
    settled = values[int(len(values) * WARM_UP_SHARE) :]
    third = max(1, len(settled) // 3)
    first, last = median(settled[:third]), median(settled[-third:])
    return last / first - 1


def faults(figures: Sequence[Figures]) -> list[str]:
    """What grew, and by how much; none when memory is flat."""
    grown = {name: growth([getattr(one, name) for one in figures]) for name in ("objects", "blocks", "resident_bytes")}
    return [f"{name} grew by {share:.1%}" for name, share in grown.items() if share > GROWTH_ALLOWED]
