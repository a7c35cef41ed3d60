"""Does: reads the segments of a log back, and repairs the tail that a crash tore.

Shared by opening a log for appending and by looking into one without changing it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dualmode.errors import StorageError
from dualmode.storage.wal.damage import is_torn
from dualmode.storage.wal.files import Segment, list_segments, newest_run
from dualmode.storage.wal.replay import Replay
from dualmode.storage.wal.scan import Damage


def replay_segments(segments: list[Segment], replay: Replay, repair: bool = True) -> tuple[Replay, str | None]:
    """Reads the segments into `replay`; repairs a torn tail and says so."""
    for segment in segments:
        content = _read_all(segment)
        try:
            replay.take(content)
        except Damage as damage:
            if segment is segments[-1] and is_torn(content, damage, replay.crc or 0):
                if not repair:
                    return replay, None
                return replay, _repair(segment, damage)
            raise StorageError(
                f"{segment.path}: {damage.reason} at offset {damage.offset}; restore this member from a snapshot, "
                "or remove it and add it again"
            ) from None
    return replay, None


def read_snapshots(directory: str | os.PathLike[str]) -> list[tuple[int, int]]:
    """(index, term) of the committed snapshot records, oldest first: snapshot files without one are not to be used.

    Reads the whole log, as far as it hangs together, without changing it. Raises `StorageError` as `open` does.
    """
    segments: list[Segment] = []
    try:
        for sequence, index, path in newest_run(list_segments(Path(directory))):
            try:
                segments.append(Segment(sequence, index, path, os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
            except OSError as error:
                raise StorageError(f"cannot read {path}: {error}") from error
        replay, _ = replay_segments(segments, Replay(-1, 0, keep_entries=False), repair=False)
    finally:
        for segment in segments:
            os.close(segment.descriptor)
    committed = replay.hard_state[2] if replay.hard_state else 0
    return [snapshot for snapshot in replay.snapshots if snapshot[0] <= committed]


def _repair(segment: Segment, damage: Damage) -> str:
    broken = segment.path.with_name(segment.path.name + ".broken")
    try:
        shutil.copyfile(segment.path, broken)
        os.ftruncate(segment.descriptor, damage.offset)
        os.fsync(segment.descriptor)
    except OSError as error:
        raise StorageError(f"cannot repair {segment.path}: {error}") from error
    return f"{segment.path} was torn at offset {damage.offset} ({damage.reason}); the original is kept as {broken.name}"


def _read_all(segment: Segment) -> bytes:
    try:
        size = os.fstat(segment.descriptor).st_size
        content = os.pread(segment.descriptor, size, 0)
        while len(content) < size and (piece := os.pread(segment.descriptor, size - len(content), len(content))):
            content += piece
    except OSError as error:
        raise StorageError(f"cannot read {segment.path}: {error}") from error
    return content
