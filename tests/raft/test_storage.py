"""The in-memory storage."""

from __future__ import annotations

import pytest

from dualmode.raft import (
    NO_LIMIT,
    Compacted,
    ConfState,
    Entry,
    HardState,
    MemoryStorage,
    SnapshotOutOfDate,
    Unavailable,
)
from dualmode.raft.types import entry_size
from tests.raft.recording import entry, snapshot_of


def _filled() -> MemoryStorage:
    storage = MemoryStorage()
    storage.apply_snapshot(snapshot_of((1, 2), index=3, term=2))
    storage.append([entry(4, 2), entry(5, 3), entry(6, 3)])
    return storage


def test_an_empty_storage() -> None:
    storage = MemoryStorage()
    assert (storage.first_index(), storage.last_index(), storage.term(0)) == (1, 0, 0)
    assert storage.initial_state() == (HardState(), ConfState())
    with pytest.raises(Unavailable):
        storage.term(1)
    with pytest.raises(Unavailable):
        storage.entries(1, 1)
    storage.append([])
    assert storage.last_index() == 0


def test_a_snapshot_is_where_the_log_begins() -> None:
    storage = _filled()
    storage.set_hard_state(HardState(3, 1, 5))
    assert storage.initial_state() == (HardState(3, 1, 5), ConfState(voters=(1, 2)))
    assert (storage.first_index(), storage.last_index()) == (4, 6)
    assert [storage.term(index) for index in (3, 4, 5, 6)] == [2, 2, 3, 3]
    with pytest.raises(Compacted):
        storage.term(2)
    with pytest.raises(Compacted):
        storage.entries(3, 5)
    with pytest.raises(AssertionError):
        storage.entries(5, 8)


def test_entries_are_limited_by_size_but_never_none() -> None:
    storage = _filled()
    size = entry_size(entry(4, 2))
    assert len(storage.entries(4, 7, NO_LIMIT)) == 3
    assert len(storage.entries(4, 7, 2 * size)) == 2
    assert len(storage.entries(4, 7, 2 * size - 1)) == 1
    assert len(storage.entries(4, 7, 0)) == 1


@pytest.mark.parametrize(
    ("appended", "terms"),
    [
        ([entry(7, 4)], [2, 3, 3, 4]),
        ([entry(5, 4)], [2, 4]),
        ([entry(2, 9), entry(3, 9), entry(4, 9)], [9]),
        ([entry(2, 9), entry(3, 9)], [2, 3, 3]),
    ],
)
def test_appending_overwrites(appended: list[Entry], terms: list[int]) -> None:
    storage = _filled()
    storage.append(appended)
    assert [item.term for item in storage.entries(4, storage.last_index() + 1)] == terms


def test_a_gap_is_ours_to_blame() -> None:
    with pytest.raises(AssertionError, match="missing log entry"):
        _filled().append([entry(8)])


def test_compacting_keeps_the_term() -> None:
    storage = _filled()
    storage.compact(5)
    assert (storage.first_index(), storage.last_index(), storage.term(5)) == (6, 6, 3)
    with pytest.raises(Compacted):
        storage.compact(5)
    with pytest.raises(AssertionError):
        storage.compact(7)
    storage.compact(6)
    assert (storage.first_index(), storage.last_index()) == (7, 6)


def test_an_older_snapshot_is_refused() -> None:
    storage = _filled()
    with pytest.raises(SnapshotOutOfDate):
        storage.apply_snapshot(snapshot_of((1,), index=3))
    storage.apply_snapshot(snapshot_of((1,), index=5, term=3))
    assert (storage.first_index(), storage.last_index()) == (6, 5)


def test_creating_a_snapshot_does_not_touch_the_log() -> None:
    storage = _filled()
    made = storage.create_snapshot(5, ConfState(voters=(1,)), b"data")
    assert (made.metadata.index, made.metadata.term, made.data) == (5, 3, b"data")
    assert storage.snapshot() is made
    assert storage.first_index() == 4
    with pytest.raises(SnapshotOutOfDate):
        storage.create_snapshot(5, ConfState(), b"")
    with pytest.raises(AssertionError):
        storage.create_snapshot(7, ConfState(), b"")
