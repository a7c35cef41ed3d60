"""Every cut and every flipped bit of a small log: repaired as torn, or reported; never believed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest

from dualmode.errors import StorageError
from dualmode.storage.wal import LogEntry, WriteAheadLog, read_snapshots
from dualmode.storage.wal.damage import is_torn
from dualmode.storage.wal.replay import Replay
from dualmode.storage.wal.scan import Damage

SEGMENT_BYTES = 4096
METADATA = b"\x08\xf1\x9b\xa0\x9c\xa5\xe4\xbb\xdb\x77\x10\x02"
VOTE = 8634260996663806492


def make_log(directory: Path) -> tuple[list[LogEntry], int]:
    """A log of one segment; its entries, and where its records end."""
    random.seed(3)
    log = WriteAheadLog.create(directory, METADATA, SEGMENT_BYTES)
    entries = [LogEntry(1, 1, 1, b"conf"), LogEntry(0, 2, 2, b"")]
    entries += [LogEntry(0, 2, index, random.randbytes(5 * index + 90)) for index in range(3, 8)]
    log.append(entries[:2], (2, VOTE, 1))
    log.append(entries[2:], (2, VOTE, 2))
    log.append([], (2, VOTE, 7))
    end = log._offset
    log.close()
    return entries, end


def only_segment(directory: Path) -> Path:
    (path,) = directory.glob("*.wal")
    return path


def is_prefix(entries: list[LogEntry], of: list[LogEntry]) -> bool:
    return entries == of[: len(entries)]


class Verdict(NamedTuple):
    """What opening a log with this one segment would come to."""

    entries: list[LogEntry]
    torn_at: int | None
    fault: str | None


def judge(content: bytes) -> Verdict:
    replay = Replay()
    try:
        replay.take(content)
    except Damage as damage:
        assert damage.offset == replay.end  # noqa: PT017
        if is_torn(content, damage, replay.crc or 0):
            return Verdict(replay.entries, damage.offset, None)
        return Verdict(replay.entries, None, damage.reason)
    if replay.metadata is None or not replay.snapshots:
        return Verdict(replay.entries, None, "a record is missing")
    return Verdict(replay.entries, None, None)


@pytest.mark.parametrize("preallocated", [False, True])
def test_a_tail_cut_at_any_byte_is_torn(tmp_path: Path, preallocated: bool) -> None:
    entries, end = make_log(tmp_path / "wal")
    content = only_segment(tmp_path / "wal").read_bytes()[:end]
    read_before = 0
    for cut in range(end + 1):
        verdict = judge(content[:cut] + bytes(SEGMENT_BYTES - cut if preallocated else 0))
        assert is_prefix(verdict.entries, entries)
        assert len(verdict.entries) >= read_before
        read_before = len(verdict.entries)
        if preallocated and has_no_zero_sector(content, cut):
            continue  # etcd's rule cannot tell this from a flipped bit
        assert verdict.fault in (None, "a record is missing")
    assert read_before == len(entries)


@pytest.mark.parametrize("preallocated", [False, True])
def test_a_torn_tail_is_cut_off_and_the_original_kept(tmp_path: Path, preallocated: bool) -> None:
    entries, end = make_log(tmp_path / "wal")
    path = only_segment(tmp_path / "wal")
    content = path.read_bytes()[:end]
    repaired = path.with_name(path.name + ".broken")
    for cut in range(120, end + 1, 31):
        if preallocated and has_no_zero_sector(content, cut):
            continue
        path.write_bytes(content[:cut] + bytes(SEGMENT_BYTES - cut if preallocated else 0))
        repaired.unlink(missing_ok=True)
        log, recovered = WriteAheadLog.open(tmp_path / "wal", segment_bytes=SEGMENT_BYTES)
        assert is_prefix(recovered.entries, entries)
        assert (recovered.repaired is not None) == repaired.exists()
        if recovered.repaired:
            assert str(path) in recovered.repaired
            assert repaired.read_bytes()[:cut] == content[:cut]
        added = LogEntry(0, 2, log.last_index + 1, b"after the crash")
        log.append([added], (2, VOTE, 1))
        log.close()
        again, recovered = WriteAheadLog.open(tmp_path / "wal", segment_bytes=SEGMENT_BYTES)
        again.close()
        assert recovered.entries[-1] == added
        assert recovered.repaired is None


def has_no_zero_sector(content: bytes, cut: int) -> bool:
    """Whether the record that was cut has no sector that the cut left all zero."""
    offset = 0
    while offset < len(content):
        length = int.from_bytes(content[offset : offset + 7], "little")
        end = offset + 8 + length
        following = end + (-length & 7)
        if offset < cut < end:
            if cut < offset + 8:  # in the length field
                return int.from_bytes(content[offset:cut], "little") != 0
            lost = content[:cut] + bytes(end - cut)
            starts = [offset + 8, *range((offset + 8) // 512 * 512 + 512, end, 512)]
            sectors = [lost[start:stop] for start, stop in zip(starts, [*starts[1:], end], strict=True)]
            return all(any(sector) for sector in sectors)
        offset = following
    return False


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    entries, end = make_log(tmp_path / "wal")
    content = only_segment(tmp_path / "wal").read_bytes()
    assert len(content) == SEGMENT_BYTES
    assert judge(content) == (entries, None, None)
    believed = []
    for offset in range(SEGMENT_BYTES):
        for bit in range(8) if offset < end else [offset % 8]:
            damaged = bytearray(content)
            damaged[offset] ^= 1 << bit
            verdict = judge(bytes(damaged))
            if offset < end:
                if verdict.fault is None:
                    believed.append((offset, bit))
            else:
                assert verdict.entries == entries
                assert verdict.fault is not None or verdict.torn_at is not None
    assert believed == []


def test_a_flipped_bit_names_file_and_offset(tmp_path: Path) -> None:
    _, end = make_log(tmp_path / "wal")
    path = only_segment(tmp_path / "wal")
    damaged = bytearray(path.read_bytes())
    damaged[end - 20] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match=rf"{path}: checksum mismatch at offset \d+; restore"):
        WriteAheadLog.open(tmp_path / "wal", segment_bytes=SEGMENT_BYTES)
    assert path.read_bytes() == damaged


def test_damage_before_the_last_segment_is_never_repaired(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    log = WriteAheadLog.create(directory, METADATA, 512)
    for index in range(1, 9):
        log.append([LogEntry(0, 1, index, bytes(200))], (1, VOTE, index))
        log.cut_if_full()
    log.close()
    first, second, *_ = sorted(directory.glob("*.wal"))
    content = first.read_bytes()
    for damaged in (content[:-8], content[:-30], content[:-30] + bytes(30)):
        first.write_bytes(damaged)
        with pytest.raises(StorageError, match=f"{first.name}.* at offset") as raised:
            WriteAheadLog.open(directory, segment_bytes=512)
        assert "snapshot" in str(raised.value)
    first.write_bytes(content)
    content = second.read_bytes()
    second.write_bytes(first.read_bytes())
    with pytest.raises(StorageError, match=second.name):
        WriteAheadLog.open(directory, segment_bytes=512)
    second.unlink()
    with pytest.raises(StorageError, match="missing"):
        WriteAheadLog.open(directory, segment_bytes=512)


def test_looking_at_the_snapshots_of_a_torn_log_changes_nothing(tmp_path: Path) -> None:
    _, end = make_log(tmp_path / "wal")
    path = only_segment(tmp_path / "wal")
    torn = path.read_bytes()[: end - 3]
    path.write_bytes(torn)
    assert read_snapshots(tmp_path / "wal") == [(0, 0)]
    assert path.read_bytes() == torn


def test_a_lost_sector_of_which_the_length_field_is_the_last_part_is_torn(tmp_path: Path) -> None:
    log = WriteAheadLog.create(tmp_path / "wal", METADATA, SEGMENT_BYTES)
    index = 0
    while log._offset % 512 != 504:
        index += 1
        log.append([LogEntry(0, 1, index, b"")], (1, 1, index))
    log.append([LogEntry(0, 1, index + 1, b"x" * 500)])
    log.close()
    path = only_segment(tmp_path / "wal")
    content = bytearray(path.read_bytes())
    offset = content.index(b"x" * 500) // 512 * 512
    content[offset - 8 : offset] = bytes(8)
    verdict = judge(bytes(content))
    assert (len(verdict.entries), verdict.torn_at, verdict.fault) == (index, offset - 8, None)
