"""The folders of a store that takes a snapshot: whatever a crash leaves, the next start finds one store that fits."""

from pathlib import Path

import pytest

from dualmode.member.snapshots import places
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import WriteAheadLog


def make_store(directory: Path, index: int) -> None:
    backend = Backend.open(directory)
    store = Store(backend)
    store.begin_pass()
    store.end_pass(index, 1)
    backend.flush()
    backend.close()


def index_of(directory: Path) -> int:
    backend = Backend.open(directory)
    try:
        return Store(backend).applied_index
    finally:
        backend.close()


def names(member_dir: Path) -> set[str]:
    return {path.name for path in member_dir.iterdir() if path.name.startswith("store")}


@pytest.fixture
def member_dir(tmp_path: Path) -> Path:
    """A member whose store has applied 5, with a log and a snapshot of 20 that waits to be taken."""
    directory = tmp_path / "member"
    directory.mkdir()
    WriteAheadLog.create(directory / "wal", b"metadata").close()
    make_store(directory / "store", 5)
    make_store(places.incoming(directory, 20), 20)
    return directory


def record(member_dir: Path, index: int, commit: int) -> None:
    wal, _ = WriteAheadLog.open(member_dir / "wal")
    wal.save_snapshot(index, 1)
    wal.append([], (1, 0, commit))
    wal.sync()
    wal.close()


def settled(member_dir: Path) -> Path:
    found = places.settle(member_dir, member_dir / "wal")
    assert names(member_dir) == {found.name}
    return found


def test_a_snapshot_that_the_log_does_not_know_is_dropped(member_dir: Path) -> None:
    assert settled(member_dir) == member_dir / "store"
    assert index_of(member_dir / "store") == 5


def test_a_record_that_is_not_committed_does_not_count(member_dir: Path) -> None:
    record(member_dir, 20, commit=10)
    assert settled(member_dir) == member_dir / "store"


def test_a_snapshot_that_the_log_has_recorded_is_taken(member_dir: Path) -> None:
    record(member_dir, 20, commit=20)
    taken = settled(member_dir)
    assert index_of(taken) == 20
    assert settled(member_dir) == taken  # and stays


def test_half_made_and_former_stores_are_dropped(member_dir: Path) -> None:
    places.loading(member_dir).mkdir()
    record(member_dir, 20, commit=20)
    taken = places.take(member_dir, 20)
    assert (member_dir / "store").exists()  # in use until the new one is open
    assert places.current(member_dir) == taken
    assert settled(member_dir) == taken


def test_the_newest_of_several(member_dir: Path) -> None:
    record(member_dir, 20, commit=20)
    places.take(member_dir, 20)
    make_store(places.incoming(member_dir, 30), 30)
    make_store(places.incoming(member_dir, 40), 40)
    record(member_dir, 30, commit=30)
    assert index_of(settled(member_dir)) == 30


def test_one_that_is_overtaken_by_the_log_is_dropped(member_dir: Path) -> None:
    record(member_dir, 20, commit=20)
    places.drop_older(member_dir, 25)
    assert names(member_dir) == {"store"}


def test_a_new_member_has_none(tmp_path: Path) -> None:
    assert places.settle(tmp_path, tmp_path / "wal") == tmp_path / "store"
