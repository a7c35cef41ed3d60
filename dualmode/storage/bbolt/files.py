"""Does: bbolt files on the disk: mapped into memory, locked against a running etcd, their SHA-256 looked after.

`snapshot save` puts the SHA-256 of the database behind it. Pages are multiples of 512 bytes, so a file whose size is 32
more than such a multiple has one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.bbolt.reader import BboltFile

HASH_BYTES: Final = 32
_SECTOR_BYTES: Final = 512


class MappedFile:
    """An open file: its bytes as a map, and what they are read as."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.has_hash = has_hash(len(data))
        size = len(data) - HASH_BYTES if self.has_hash else len(data)
        self.bbolt = BboltFile(data, size)

    def check_hash(self) -> None:
        """Raises `StorageError` when there is no hash or it does not fit."""
        if not self.has_hash:
            raise StorageError("snapshot missing hash but --skip-hash-check=false")
        digest = hashlib.sha256()
        size = self.bbolt.size
        for start in range(0, size, limits.SNAPSHOT_READ_BYTES):
            digest.update(self.data[start : min(start + limits.SNAPSHOT_READ_BYTES, size)])
        expected = self.data[size:]
        if digest.digest() != expected:
            raise StorageError(f"expected sha256 {_numbers(expected)}, got {_numbers(digest.digest())}")


def _numbers(data: bytes) -> str:
    """As Go prints bytes."""
    return f"[{' '.join(map(str, data))}]"


def has_hash(size: int) -> bool:
    """Whether a file of that size ends with a hash."""
    return size % _SECTOR_BYTES == HASH_BYTES


@contextmanager
def open_mapped(path: Path, lock: bool = False) -> Iterator[MappedFile]:
    """Opens a file to read. `lock`: against etcd, which holds the file of a data dir while it runs.

    Raises `StorageError` for a file that is not there, cannot be read, is in use, or is no database.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise StorageError(f"stat {path}: {(error.strerror or '').lower()}") from error
    with file:
        if lock:
            _lock(file, path)
        data = _map(file, path)
        try:
            try:
                mapped = MappedFile(path, data)
            except StorageError as error:
                raise StorageError(f"{path}: {error}") from None
            yield mapped
        finally:
            data.close()


def _map(file: BinaryIO, path: Path) -> mmap.mmap:
    try:
        if not os.fstat(file.fileno()).st_size:
            raise StorageError(f"{path}: invalid database: the file is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from error


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise StorageError(f"{path} is in use by a running etcd: stop it first") from None
        raise StorageError(f"cannot lock {path}: {error}") from error
