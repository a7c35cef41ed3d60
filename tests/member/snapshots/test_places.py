"""The folders of a store, at every point where a crash may leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualmode.errors import StorageError
from dualmode.member.snapshots import places
from dualmode.raft import HardState
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import WriteAheadLog

INDEX = 0x1F


def make_store(directory: Path, applied_index: int) -> None:
    backend = Backend.open(directory)
    store = Store(backend)
    store.begin_pass()
    store.end_pass(applied_index, 1)
    backend.flush()
    backend.close()


def applied_index(directory: Path) -> int:
    backend = Backend.open(directory)
    try:
        return Store(backend).applied_index
    finally:
        backend.close()


@pytest.fixture
def member_dir(tmp_path: Path) -> Path:
    """A member with a log, and a store that has applied up to 5."""
    WriteAheadLog.create(tmp_path / "wal", b"").close()
    make_store(tmp_path / "store", 5)
    return tmp_path


def record(member_dir: Path, index: int = INDEX) -> None:
    """What the log says once the snapshot is to be taken."""
    wal, _ = WriteAheadLog.open(member_dir / "wal")
    wal.save_snapshot(index, 2, b"")
    wal.append([], HardState(2, 0, index))
    wal.sync()
    wal.close()


def settled(member_dir: Path) -> tuple[Path, int]:
    """What a start finds, which a second start finds again: (folder, applied index)."""
    found = places.settle(member_dir, member_dir / "wal")
    assert places.settle(member_dir, member_dir / "wal") == found
    assert {path.name for path in member_dir.iterdir()} == {"wal", found.name}
    return found, applied_index(found)


def test_without_a_snapshot_nothing_changes(member_dir: Path) -> None:
    assert settled(member_dir) == (member_dir / "store", 5)


def test_a_store_that_was_being_filled_is_dropped(member_dir: Path) -> None:
    make_store(places.loading(member_dir), INDEX)
    assert settled(member_dir) == (member_dir / "store", 5)


def test_a_store_that_the_log_has_not_recorded_is_dropped(member_dir: Path) -> None:
    make_store(places.incoming(member_dir, INDEX), INDEX)
    assert settled(member_dir) == (member_dir / "store", 5)


def test_a_record_that_was_cut_does_not_count(member_dir: Path) -> None:
    """The record is there, the commit of its index is not: the crash came in between."""
    make_store(places.incoming(member_dir, INDEX), INDEX)
    wal, _ = WriteAheadLog.open(member_dir / "wal")
    wal.save_snapshot(INDEX, 2, b"")
    wal.sync()
    wal.close()
    assert settled(member_dir) == (member_dir / "store", 5)


def test_a_store_that_the_log_has_recorded_is_taken(member_dir: Path) -> None:
    make_store(places.incoming(member_dir, INDEX), INDEX)
    record(member_dir)
    assert settled(member_dir) == (member_dir / f"store-{INDEX:016x}", INDEX)


def test_the_newest_recorded_one_is_taken(member_dir: Path) -> None:
    for index in (8, INDEX, 0x30):
        make_store(places.incoming(member_dir, index), index)
    record(member_dir, 8)
    record(member_dir, INDEX)
    assert settled(member_dir) == (member_dir / f"store-{INDEX:016x}", INDEX)


def test_after_it_was_taken_the_former_store_goes(member_dir: Path) -> None:
    make_store(places.incoming(member_dir, INDEX), INDEX)
    record(member_dir)
    assert places.take(member_dir, INDEX) == member_dir / f"store-{INDEX:016x}"
    assert (member_dir / "store").exists()  # the crash came before it was removed
    assert settled(member_dir) == (member_dir / f"store-{INDEX:016x}", INDEX)


def test_a_former_store_that_is_half_removed_is_removed(member_dir: Path) -> None:
    make_store(places.incoming(member_dir, INDEX), INDEX)
    record(member_dir)
    places.take(member_dir, INDEX)
    (member_dir / "store" / "CURRENT").unlink()
    assert settled(member_dir) == (member_dir / f"store-{INDEX:016x}", INDEX)


def test_a_second_snapshot_follows_the_first(member_dir: Path) -> None:
    for index in (INDEX, 0x40):
        make_store(places.incoming(member_dir, index), index)
        record(member_dir, index)
        places.take(member_dir, index)
    assert settled(member_dir) == (member_dir / f"store-{0x40:016x}", 0x40)


def test_an_old_snapshot_is_not_taken_over_a_store_that_has_applied_more(member_dir: Path) -> None:
    make_store(places.incoming(member_dir, 3), 3)
    record(member_dir, 3)
    assert settled(member_dir) == (member_dir / "store", 5)


def test_only_what_is_older_is_dropped(member_dir: Path) -> None:
    for index in (3, 5, 9):
        places.incoming(member_dir, index).mkdir()
    places.drop_older(member_dir, 5)
    assert not places.incoming(member_dir, 3).exists()
    assert not places.incoming(member_dir, 5).exists()
    assert places.incoming(member_dir, 9).exists()


@pytest.mark.parametrize("name", ["store-backup", "store.incoming-old", "store-1f", "store-000000000000001f.bak"])
def test_a_folder_of_somebody_else_is_left_alone(member_dir: Path, name: str) -> None:
    (member_dir / name).mkdir()
    assert places.settle(member_dir, member_dir / "wal") == member_dir / "store"
    assert (member_dir / name).exists()


def test_a_store_that_is_not_there_cannot_be_taken(member_dir: Path) -> None:
    with pytest.raises(StorageError, match="cannot put the snapshot in place"):
        places.take(member_dir, INDEX)
