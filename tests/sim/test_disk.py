"""The disk: what a crash leaves."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from dualmode.member.opening import Bootstrap, open_member
from dualmode.raft import Entry, HardState
from tests.sim.disk import SECTOR_BYTES, Disk

#: The simulation puts methods of its own into what the members are made of.
pytestmark = pytest.mark.plain

BOOTSTRAP = Bootstrap("m0", {"m0": ("http://m0:2380",)}, "token")


def crashed(parent: Path, seed: int) -> tuple[int, list[int], int]:
    """(bytes of the log that were synced, indexes that a start finds, bytes lost): two entries synced, three not."""
    parent.mkdir()
    disk = Disk(parent, random.Random(seed), 1.0, 0.001)
    opened = open_member(disk.folder / "member", disk.folder / "member" / "wal", BOOTSTRAP, segment_bytes=100_000)
    disk.attach(opened)
    wal: Any = opened.wal
    for index in range(2, 7):
        opened.wal.append([Entry(term=1, index=index, data=b"%d" % index * 400)], HardState(1, 0, 1))
        if index == 3:
            opened.wal.sync()
            synced = wal._offset
    disk.crash(opened)
    wal.close()
    again = open_member(disk.folder / "member", disk.folder / "member" / "wal", BOOTSTRAP, segment_bytes=100_000)
    found = [entry.index for entry in again.raft_storage.entries(2, again.raft_storage.last_index() + 1)]
    again.close()
    return synced, found, disk.unsynced_bytes_lost


async def test_what_was_synced_is_there_and_of_the_rest_a_beginning(tmp_path: Path) -> None:
    lengths = set()
    for seed in range(40):
        synced, found, lost = crashed(tmp_path / str(seed), seed)
        assert synced % SECTOR_BYTES
        assert found == list(range(2, 2 + len(found)))
        assert 2 <= len(found) <= 5
        assert (lost == 0) == (len(found) == 5)
        lengths.add(len(found))
    assert lengths == {2, 3, 4, 5}


async def test_nothing_is_durable_before_a_sync_has_taken_its_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    disk = Disk(tmp_path, random.Random(1), 1.0, 0.5)
    disk.stalled_until = 3.0
    assert not disk.is_quick
    await disk.wait()
    assert trio.current_time() >= 3.0
