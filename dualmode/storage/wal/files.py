"""Does: what the write-ahead log needs of the file system: segments found, locked, preallocated, written, synced."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dualmode.errors import StorageError
from dualmode.storage.wal.records import parse_segment_name


@dataclass(slots=True)
class Segment:
    """One open segment file."""

    sequence: int
    index: int  #: the first log index that may be in it
    path: Path
    descriptor: int


def list_segments(directory: Path) -> list[tuple[int, int, Path]]:
    """(sequence, first index, path) of the segments in a directory, in order."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot read {directory}: {error}") from error
    parsed = ((parse_segment_name(name), name) for name in names)
    return [(*numbers, directory / name) for numbers, name in parsed if numbers is not None]


def segments_from(directory: Path, snapshot_index: int) -> list[tuple[int, int, Path]]:
    """The segments to read for a snapshot: from the last one that begins at or before it."""
    found = list_segments(directory)
    if not found:
        raise StorageError(f"there is no write-ahead log in {directory}")
    start = None
    for number, (_, index, _) in enumerate(found):
        if index <= snapshot_index:
            start = number
    if start is None:
        raise StorageError(f"{directory}: all segments begin behind the snapshot at index {snapshot_index}")
    return consecutive(found[start:])


def consecutive(found: list[tuple[int, int, Path]]) -> list[tuple[int, int, Path]]:
    """The same segments. Raises `StorageError` when one in the middle is missing."""
    for (sequence, _, _), (following, _, path) in itertools.pairwise(found):
        if following != sequence + 1:
            raise StorageError(f"the write-ahead log segment before {path} is missing")
    return found


def newest_run(found: list[tuple[int, int, Path]]) -> list[tuple[int, int, Path]]:
    """The segments behind the last hole: what is before it was released and left over, so nothing reads it."""
    start = 0
    for number, ((sequence, _, _), (following, _, _)) in enumerate(itertools.pairwise(found), 1):
        if following != sequence + 1:
            start = number
    return found[start:]


def new_segment(path: Path, size: int) -> int:
    """Descriptor of a new file, locked, with room for `size` bytes. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        preallocate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_locked(path: Path) -> int:
    """Descriptor of an existing segment, locked. Raises `StorageError` when another process has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error}") from error
    try:
        _lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    """The lock etcd takes too (of the open file, not of the process), so that neither opens what the other one has."""
    whole_file = struct.pack("hhqqixxxx", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole_file)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise StorageError(f"{path} is in use by another process; stop it, or use another data directory") from None
        raise StorageError(f"cannot lock {path}: {error}") from error


def preallocate(descriptor: int, size: int) -> None:
    """Room on the disk beforehand, so that appending neither moves the file's end nor runs out of space half-way."""
    if os.fstat(descriptor).st_size >= size:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(descriptor, size)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Writes all of `data` at `offset`. Raises `OSError`, possibly after a part was written."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


@contextmanager
def made_aside(directory: Path, suffix: str) -> Iterator[Path]:
    """For making a log: a folder of another name beside it, which gets the log's own name once the block has ended, so
    that a half-made log is never opened. Raises `StorageError` for what the disk refuses."""
    making = directory.with_name(directory.name + suffix)
    try:
        shutil.rmtree(making, ignore_errors=True)
        yield making
        if directory.exists():
            directory.rmdir()  # an empty one, made by whoever prepared the data directory
        making.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise StorageError(f"cannot make a write-ahead log in {directory}: {error}") from error


def sync_directory(directory: Path) -> None:
    """Makes names in a directory last. Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
