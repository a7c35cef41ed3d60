"""Does: one member's disk: real files, of which the simulation knows what was synced and what a crash may take.

A crash leaves a copy of the folder as it is, but for the tail of the write-ahead log that was appended and not synced:
of its 512-byte sectors some are there and some are as before (a disk writes a sector whole or not at all). RocksDB
runs without a log of its own, so what is in its memory is lost with the process, and its files are what it synced.

A sync takes its time as the plan says; until that is over nothing has become durable. Crashes come while members wait,
so between an append and the end of its sync, and between a sync and whatever was to follow.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from dualmode.member.opening import OpenMember

SECTOR_BYTES = 512


class Disk:
    """What is slow and what is durable on one machine. `folder` is where its files are now."""

    def __init__(self, parent: Path, dice: random.Random, slow_syncs: float, sync_seconds: float) -> None:
        self._parent = parent
        self._dice = dice
        self._slow_syncs = slow_syncs
        self._sync_seconds = sync_seconds
        self._generation = 0
        self.folder = self._former = parent / "0"
        (self.folder / "member").mkdir(parents=True)
        #: Times the usual, during an accident.
        self.slowness = 1.0
        self.stalled_until = 0.0
        #: A disk that says it has synced and has not: for tests of the checkers.
        self.lies = False
        self._wal: Any = None
        self._synced: tuple[str, int] = ("", 0)
        self.unsynced_bytes_lost = 0

    # --- What the member does -----------------------------------------------------------------------------------

    def attach(self, opened: OpenMember) -> None:
        """A member has opened its log: everything in it is durable now."""
        wal: Any = opened.wal
        self._wal = wal
        self._note_synced()
        sync, cut = wal.sync, wal.cut_if_full

        def tracked_sync() -> None:
            sync()
            self._note_synced()

        def tracked_cut() -> bool:
            done: bool = cut()
            if done:
                self._note_synced()
            return done

        wal.sync, wal.cut_if_full = tracked_sync, tracked_cut

    def _note_synced(self) -> None:
        wal = self._wal
        name = wal._segments[-1].path.name
        if not self.lies or name != self._synced[0]:
            self._synced = (name, wal._offset)

    @property
    def is_quick(self) -> bool:
        """Whether the next sync is done without anybody noticing."""
        is_troubled = self.slowness > 1 or trio.current_time() < self.stalled_until
        return not is_troubled and self._dice.random() >= self._slow_syncs

    async def wait(self) -> None:
        """As long as a sync takes."""
        await trio.sleep(self._dice.expovariate(1 / self._sync_seconds) * self.slowness)
        await trio.sleep(max(0.0, self.stalled_until - trio.current_time()))

    # --- What happens to it -------------------------------------------------------------------------------------

    def crash(self, opened: OpenMember) -> None:
        """The power goes while the member is at work: from now on `folder` is what is left."""
        database: Any = opened.store.backend._database
        # Its background work copies nothing that was not durable before; it only must not move files meanwhile.
        database.cancel_all_background(True)
        self._generation += 1
        left = self._parent / str(self._generation)
        shutil.copytree(self.folder, left)
        segment = left / "member" / "wal" / self._synced[0]
        end = self._wal._offset
        if end > self._synced[1]:
            self._tear(segment, self._synced[1], end)
        self._former, self.folder = self.folder, left

    def _tear(self, segment: Path, synced: int, end: int) -> None:
        content = bytearray(segment.read_bytes())
        sectors = range(synced - synced % SECTOR_BYTES, end, SECTOR_BYTES)
        kept = self._kept(len(sectors))
        for sector, is_kept in zip(sectors, kept, strict=True):
            if not is_kept:
                low, high = max(sector, synced), min(sector + SECTOR_BYTES, end)
                content[low:high] = bytes(high - low)
                self.unsynced_bytes_lost += high - low
        segment.write_bytes(content)

    def _kept(self, count: int) -> list[bool]:
        """Which sectors of an unsynced tail have reached the disk: none, all, the first ones, or any."""
        how = self._dice.randrange(4)
        if how < 2:
            return [how == 1] * count
        if how == 2:
            first = self._dice.randrange(count + 1)
            return [number < first for number in range(count)]
        return [self._dice.random() < 0.5 for _ in range(count)]

    def drop_former(self) -> None:
        """The files of the process that is gone."""
        shutil.rmtree(self._former, ignore_errors=True)


class SimulatedDoor:
    """See surroundings.Door. Unlike the real one it can be cancelled: that is a crash."""

    def __init__(self, disk: Disk, observe: Callable[[float], None]) -> None:
        self._disk = disk
        self._observe = observe

    @property
    def is_quick(self) -> bool:
        return self._disk.is_quick

    def sync_inline(self, sync: Callable[[], None]) -> None:
        began = time.perf_counter()
        sync()
        self._observe(time.perf_counter() - began)

    async def sync(self, sync: Callable[[], None]) -> None:
        await self.run(sync)

    async def run(self, function: Callable[[], object]) -> None:
        await self._disk.wait()
        function()
        await self._disk.wait()

    def close(self) -> None:
        """There is no thread."""


def make_run_blocking(disk: Disk) -> Any:
    """See surroundings.RunBlocking: inline, between two waits."""

    async def run_blocking(function: Callable[..., Any], /, *arguments: Any) -> Any:
        await disk.wait()
        outcome = function(*arguments)
        await disk.wait()
        return outcome

    return run_blocking
