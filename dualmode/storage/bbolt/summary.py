"""Decides: what `snapshot status` tells of a file: a hash of everything in it, the newest revision, counts and sizes.

The hash is etcd's: CRC-32C over the name of every bucket, then its keys and values in order. etcd 3.5 counts the items
of all buckets as keys, and so do we.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from google_crc32c import extend as extend_crc

from dualmode.errors import StorageError
from dualmode.storage.bbolt.reader import BboltFile
from dualmode.storage.mvcc import rows

_REVISION_BYTES = 17
_TOLD_ITEMS = 4096


class Summary(NamedTuple):
    """One file."""

    hash: int
    revision: int
    total_keys: int
    total_bytes: int


def summarise(file: BboltFile, told: Callable[[int], None] = lambda items: None) -> Summary:
    """Reads the whole file. Raises `StorageError`. `told` hears now and then how many items were read."""
    crc = revision = count = 0
    for name in file.buckets():
        crc = extend_crc(crc, name)
        for key, value in file.items(name):
            crc = extend_crc(extend_crc(crc, key), value)
            count += 1
            if name == b"key":
                revision = max(revision, revision_of(key)[0])
            if not count % _TOLD_ITEMS:
                told(count)
    return Summary(crc, revision, count, file.meta.high_water * file.meta.page_size)


def revision_of(key: bytes) -> tuple[int, int, bool]:
    """(main, sub, is deletion) of a key of bucket `key`. Raises `StorageError` for one that is none."""
    is_deletion = len(key) == _REVISION_BYTES + 1
    if key[8:9] != b"_" or not (len(key) == _REVISION_BYTES or (is_deletion and key[17:] == rows.TOMBSTONE_MARK)):
        raise StorageError(f"bucket key: {key.hex()} is no revision")
    main = int.from_bytes(key[:8], "big")
    if main >> 63:
        raise StorageError(f"bucket key: {key.hex()} is no revision")
    return main, int.from_bytes(key[9:17], "big"), is_deletion
