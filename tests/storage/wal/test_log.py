"""The log's files: appended, synced, cut, released, locked, and what happens when the disk says no."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualmode.errors import NoSpaceError, StorageError
from dualmode.storage.wal import LogEntry, WriteAheadLog, read_snapshots
from dualmode.storage.wal import log as log_module

SEGMENT_BYTES = 4096
METADATA = b"\x08\x01\x10\x02"


def entries(first: int, last: int, term: int = 1) -> list[LogEntry]:
    return [LogEntry(0, term, index, b"entry %d" % index) for index in range(first, last + 1)]


def create(directory: Path) -> WriteAheadLog:
    return WriteAheadLog.create(directory, METADATA, SEGMENT_BYTES)


def reopen(directory: Path, index: int = 0, term: int = 0) -> tuple[list[LogEntry], tuple[int, int, int] | None]:
    log, recovered = WriteAheadLog.open(directory, index, term, SEGMENT_BYTES)
    log.close()
    assert recovered.metadata == METADATA
    return recovered.entries, recovered.hard_state


def test_a_new_log_is_empty_and_private(tmp_path: Path) -> None:
    create(tmp_path / "wal").close()
    assert reopen(tmp_path / "wal") == ([], None)
    assert os.listdir(tmp_path) == ["wal"]
    (path,) = (tmp_path / "wal").iterdir()
    assert path.name == "0000000000000000-0000000000000000.wal"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == SEGMENT_BYTES
    with pytest.raises(StorageError, match="already"):
        create(tmp_path / "wal")


def test_a_log_half_made_by_a_crash_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "wal.tmp").mkdir()
    (tmp_path / "wal.tmp" / "0000000000000000-0000000000000000.wal").write_bytes(b"half")
    (tmp_path / "wal").mkdir()
    create(tmp_path / "wal").close()
    assert reopen(tmp_path / "wal") == ([], None)


@pytest.mark.parametrize("missing", ["nothing", "empty"])
def test_no_log(tmp_path: Path, missing: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="no write-ahead log"):
        WriteAheadLog.open(tmp_path / missing)


def test_what_needs_a_sync(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    assert log.append([], (0, 0, 0)) is False
    assert log.append([], (1, 9, 0)) is True
    assert log.append([], (1, 9, 0)) is False
    assert log.append([], (1, 9, 5)) is False
    assert log.append(entries(1, 1), (1, 9, 5)) is True
    assert log.append([], (2, 9, 5)) is True
    assert log.append([], None) is False
    log.close()
    assert reopen(tmp_path / "wal") == (entries(1, 1), (2, 9, 5))


def test_an_overruled_tail_is_replaced(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 6, term=1), (1, 9, 0))
    log.append(entries(3, 4, term=2), (2, 9, 0))
    log.close()
    assert reopen(tmp_path / "wal")[0] == entries(1, 2, term=1) + entries(3, 4, term=2)


def test_segments_are_cut_and_read_from_a_snapshot_on(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    snapshots = [(0, 0)]
    for index in range(1, 301):
        log.append(entries(index, index), (1, 9, index))
        assert log.is_full == log.cut_if_full()
        if index % 100 == 0:
            log.save_snapshot(index, 1, b"conf")
            snapshots.append((index, 1))
    log.close()
    names = sorted(path.name for path in (tmp_path / "wal").iterdir())
    assert len(names) > 4
    assert not any(name.endswith(".tmp") for name in names)
    assert reopen(tmp_path / "wal") == (entries(1, 300), (1, 9, 300))
    assert reopen(tmp_path / "wal", 200, 1) == (entries(201, 300), (1, 9, 300))
    assert read_snapshots(tmp_path / "wal") == snapshots
    with pytest.raises(StorageError, match="index 150"):
        WriteAheadLog.open(tmp_path / "wal", 150, 1)
    with pytest.raises(StorageError, match="has term 1"):
        WriteAheadLog.open(tmp_path / "wal", 200, 7)


def test_a_record_of_a_snapshot_from_before_its_segment_is_no_gap(tmp_path: Path) -> None:
    # A snapshot is recorded when the store has flushed; entries, and a cut, may have come in between.
    log, index = create(tmp_path / "wal"), 0
    while not log.is_full:
        index += 1
        log.append(entries(index, index), (1, 9, index))
    assert log.cut_if_full()
    log.save_snapshot(index - 1, 1)
    log.append(entries(index + 1, index + 3), (1, 9, index + 3))
    log.save_snapshot(index + 2, 1)
    log.close()
    assert reopen(tmp_path / "wal", index + 2, 1) == (entries(index + 3, index + 3), (1, 9, index + 3))


def test_snapshot_records_that_are_not_committed_are_not_given(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 4), (1, 9, 2))
    log.save_snapshot(3, 1)
    log.close()
    assert read_snapshots(tmp_path / "wal") == [(0, 0)]


def test_a_snapshot_from_the_leader_lets_the_log_jump(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 4), (1, 9, 2))
    log.save_snapshot(1000, 3)
    log.append(entries(1001, 1002, term=3), (3, 9, 1000))
    log.close()
    assert reopen(tmp_path / "wal", 1000, 3) == (entries(1001, 1002, term=3), (3, 9, 1000))


def test_a_gap_is_damage(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 4), (1, 9, 2))
    log.append(entries(6, 6), (1, 9, 2))
    log.close()
    with pytest.raises(StorageError, match="entry 6 follows entry 4"):
        WriteAheadLog.open(tmp_path / "wal")


def test_a_term_that_goes_backwards_is_damage(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 4), (3, 9, 2))
    log.append([], (2, 9, 2))
    log.close()
    with pytest.raises(StorageError, match="goes backwards"):
        WriteAheadLog.open(tmp_path / "wal")


def test_an_entry_of_an_older_term_than_the_one_before_it_is_damage(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 4, term=3), (3, 9, 2))
    log.append(entries(5, 5, term=2), (3, 9, 2))
    log.close()
    with pytest.raises(StorageError, match="older term"):
        WriteAheadLog.open(tmp_path / "wal")


def test_released_segments_are_deleted_but_for_the_newest(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    log = create(directory)
    for index in range(1, 401):
        log.append(entries(index, index), (1, 9, index))
        log.cut_if_full()
    log.save_snapshot(350, 1)
    before = sorted(path.name for path in directory.iterdir())
    assert log.release(0, keep=1) == []
    deleted = log.release(350, keep=3)
    assert deleted == before[: len(deleted)]
    assert len(deleted) >= 3
    after = sorted(path.name for path in directory.iterdir())
    assert after == before[len(deleted) :]
    assert len(after) >= 3
    log.append(entries(401, 401), (1, 9, 400))
    assert log.release(350, keep=0) != []
    log.close()
    assert reopen(directory, 350, 1)[0] == entries(351, 401)
    with pytest.raises(StorageError, match="all segments begin behind"):
        WriteAheadLog.open(directory, 0, 0)
    assert read_snapshots(directory) == [(350, 1)]


def filled(directory: Path, last: int) -> None:
    log = create(directory)
    for index in range(1, last + 1):
        log.append(entries(index, index), (1, 9, index))
        log.cut_if_full()
        if index % 100 == 0:
            log.save_snapshot(index, 1)
    log.close()


def test_segments_that_a_start_did_not_read_are_released_too(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    filled(directory, 400)
    before = sorted(path.name for path in directory.iterdir())
    log, _ = WriteAheadLog.open(
        directory, 300, 1, SEGMENT_BYTES
    )  # the first segments are still there, as after a crash
    deleted = log.release(400, keep=1)
    log.close()
    assert deleted == before[:-1]
    assert [path.name for path in directory.iterdir()] == before[-1:]


def test_of_segments_that_a_start_did_not_read_as_many_are_kept_as_wanted(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    filled(directory, 400)
    before = sorted(path.name for path in directory.iterdir())
    log, _ = WriteAheadLog.open(directory, 400, 1, SEGMENT_BYTES)
    assert log.release(400, keep=3) == before[:-3]
    assert log.release(400, keep=3) == []
    log.close()
    assert read_snapshots(directory)[-1] == (400, 1)


def test_snapshot_records_are_read_behind_a_segment_that_was_left_over(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    filled(directory, 400)
    segments = sorted(directory.iterdir())
    for path in segments[1:-3]:
        path.unlink()
    assert read_snapshots(directory)[-1] == (400, 1)


def test_an_empty_last_segment_is_begun_again(tmp_path: Path) -> None:
    """Not what a crash leaves (the head is synced under another name), but what some file systems make of one."""
    directory = tmp_path / "wal"
    log = create(directory)
    log.append(entries(1, 100), (1, 9, 50))
    while not log.cut_if_full():
        log.append(entries(log.last_index + 1, log.last_index + 1))
    last = log.last_index
    log.close()
    newest = max(directory.iterdir())
    for size in (0, 16, 30):
        os.truncate(newest, size)
        log, recovered = WriteAheadLog.open(directory, segment_bytes=SEGMENT_BYTES)
        assert recovered.entries == entries(1, last)
        assert recovered.hard_state == (1, 9, 50)
        log.close()
    log, _ = WriteAheadLog.open(directory, segment_bytes=SEGMENT_BYTES)
    log.append(entries(last + 1, last + 1))
    log.close()
    assert reopen(directory)[0] == entries(1, last + 1)


def test_two_processes_cannot_have_one_log(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    with pytest.raises(StorageError, match="in use by another process"):
        WriteAheadLog.open(tmp_path / "wal")
    script = f"from dualmode.storage.wal import WriteAheadLog; WriteAheadLog.open({str(tmp_path / 'wal')!r})"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "in use by another process" in child.stderr
    log.close()
    assert reopen(tmp_path / "wal") == ([], None)


def test_a_closed_log_says_so(tmp_path: Path) -> None:
    log = create(tmp_path / "wal")
    log.close()
    with pytest.raises(StorageError, match="closed"):
        log.append(entries(1, 1))


# --- A disk that says no ---------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 3), (1, 9, 1))

    def half_then_full(descriptor: int, data: bytes, offset: int) -> None:
        os.pwrite(descriptor, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log_module, "write_all", half_then_full)
        for _ in range(2):
            with pytest.raises(NoSpaceError, match="no room"):
                log.append(entries(4, 4), (2, 9, 3))
        with pytest.raises(NoSpaceError):
            log.save_snapshot(2, 1)
    assert log.last_index == 3
    assert log.append(entries(4, 5), (2, 9, 3)) is True
    log.close()
    assert reopen(tmp_path / "wal") == (entries(1, 5), (2, 9, 3))


def test_a_full_disk_at_a_cut_leaves_the_old_segment_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "wal"
    log = create(directory)
    while not log.is_full:
        log.append(entries(log.last_index + 1, log.last_index + 1))

    def full(path: Path, size: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log_module, "new_segment", full)
        with pytest.raises(NoSpaceError, match="no room for a new segment"):
            log.cut_if_full()
    log.append(entries(log.last_index + 1, log.last_index + 1))
    assert log.cut_if_full() is True
    last = log.last_index
    log.close()
    assert reopen(directory)[0] == entries(1, last)
    assert len(os.listdir(directory)) == 2


def test_a_sync_that_failed_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = create(tmp_path / "wal")
    log.append(entries(1, 1))

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(StorageError, match="unknown: stop"):
            log.sync()
    for call in (log.sync, lambda: log.append(entries(2, 2)), lambda: log.save_snapshot(1, 1)):
        with pytest.raises(StorageError, match="unknown: stop"):
            call()
    log.close()


def test_a_write_error_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = create(tmp_path / "wal")

    def broken(descriptor: int, data: bytes, offset: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(log_module, "write_all", broken)
        with pytest.raises(StorageError, match="cannot write"):
            log.append(entries(1, 1))
    with pytest.raises(StorageError, match="cannot write"):
        log.append(entries(1, 1))
    log.close()
    assert reopen(tmp_path / "wal") == ([], None)
