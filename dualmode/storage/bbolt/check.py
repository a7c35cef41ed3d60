"""Decides: whether a bbolt file is whole: what bbolt's own Check says, and that every element lies where it may.

Every page below the high-water mark is a meta page, the freelist, free, or reached once by the tree of a bucket. Files
without a freelist (etcd's) have no list of free pages: there, what is not reached is free.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.reader import BboltFile

_IN_USE, _FREE = 1, 2
#: Told after this many pages, so that the telling costs nothing.
_TOLD_PAGES = 4096


def check(file: BboltFile, told: Callable[[int], None] = lambda pages_seen: None) -> None:
    """Walks the whole file. Raises `StorageError` with the number of the first page that is wrong.

    `told` hears now and then how many elements were looked at.
    """
    seen = bytearray(file.meta.high_water)
    seen[0] = seen[1] = _IN_USE
    if file.meta.freelist != pages.NO_FREELIST:
        _take_freelist(file, seen)
    _check_buckets(file, seen, told)
    if file.meta.freelist != pages.NO_FREELIST:
        unreached = seen.find(0)
        if unreached >= 0:
            raise StorageError(f"page {unreached}: unreachable unfreed")


def _check_buckets(file: BboltFile, seen: bytearray, told: Callable[[int], None]) -> None:
    # The walk of each bucket, innermost last; how deep they lie in each other is bounded.
    walks = [file.walk(file.meta.root, seen)]
    count = 0
    while walks:
        for flags, _, start, length in walks[-1]:
            count += 1
            if not count % _TOLD_PAGES:
                told(count)
            if not flags & pages.IS_BUCKET:
                if len(walks) == 1:
                    raise StorageError(f"page {start // file.meta.page_size}: an item that is no bucket at the top")
            else:
                if len(walks) > limits.BBOLT_BUCKET_DEPTH:
                    raise StorageError(f"page {start // file.meta.page_size}: buckets lie too deep in each other")
                walks.append(file.walk_bucket(start, length, seen))
                break
        else:
            walks.pop()


def _take_freelist(file: BboltFile, seen: bytearray) -> None:
    """Marks the page itself and all free pages, so that a tree which reaches one of them is found out."""
    page = file.meta.freelist
    flags, count, begin, end = file.open_page(page, seen)
    if flags != pages.FREELIST:
        raise StorageError(f"page {page}: flags {flags:#x} in the place of the freelist")
    if count == 0xFFFF:  # more than the field holds: the number stands in front of the list
        (count,) = struct.unpack("<Q", file.data[begin : begin + 8])
        begin += 8
    if count > (end - begin) // 8:
        raise StorageError(f"page {page}: {count} free pages do not fit into it")
    for (free,) in struct.iter_unpack("<Q", file.data[begin : begin + 8 * count]):
        if not 2 <= free < file.meta.high_water:
            raise StorageError(f"page {free}: out of bounds, the file has {file.meta.high_water} pages")
        if seen[free]:
            raise StorageError(
                f"page {free}: already freed" if seen[free] == _FREE else f"page {free}: reachable freed"
            )
        seen[free] = _FREE
