"""Decides: the layout of a bbolt file: pages, their elements, and the two meta pages.

    file    = page*                               every page `page_size` bytes, the number of a page is its place
    page    = id u64, flags u16, count u16, overflow u32, body       little-endian; `overflow` more pages belong to it
    meta    = magic, version, page size, flags (u32 each), root page, root sequence, freelist page, high water,
              transaction id (u64 each), FNV-1a of all that             pages 0 and 1
    leaf    = element*, then keys and values      element: flags, offset of the key from here, key size, value size
    branch  = element*, then keys                 element: offset of the key from here, key size, page u64
    bucket  = root page u64, sequence u64         a leaf value with flag 1; root 0: a small leaf page follows inline

A bucket is a tree of its own, and the top level is one too. Pages are written anew by every transaction, which ends
with the meta page whose turn it is (transaction id modulo 2): the valid one with the higher id says where the tree is.
Facts: the public sources of go.etcd.io/bbolt (page.go, meta.go, node.go).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from dualmode.errors import StorageError

MAGIC: Final = 0xED0CDAED
VERSION: Final = 2
#: As the freelist page of a file that keeps none (etcd's do not): what no tree reaches is free.
NO_FREELIST: Final = (1 << 64) - 1

BRANCH: Final = 0x01
LEAF: Final = 0x02
META: Final = 0x04
FREELIST: Final = 0x10

#: In the flags of a leaf element: the value is a bucket.
IS_BUCKET: Final = 0x01

PAGE_HEADER: Final = struct.Struct("<QHHI")
LEAF_ELEMENT: Final = struct.Struct("<IIII")
BRANCH_ELEMENT: Final = struct.Struct("<IIQ")
BUCKET_HEADER: Final = struct.Struct("<QQ")
META_BODY: Final = struct.Struct("<IIIIQQQQQ")
CHECKSUM: Final = struct.Struct("<Q")
HEADER_BYTES: Final = PAGE_HEADER.size
ELEMENT_BYTES: Final = 16

#: bbolt takes the system's; these are the ones that systems have, and the smallest that holds a meta page comfortably.
PAGE_SIZES: Final = tuple(1 << power for power in range(9, 17))


@dataclass(frozen=True, slots=True)
class Meta:
    """What a meta page says."""

    page_size: int
    root: int
    freelist: int
    high_water: int  #: number of pages in use: all ids are below
    transaction: int

    def encode(self, page: int) -> bytes:
        """The whole meta page, header included, filled up with zeros."""
        body = META_BODY.pack(
            MAGIC, VERSION, self.page_size, 0, self.root, 0, self.freelist, self.high_water, self.transaction
        )
        filled = PAGE_HEADER.pack(page, META, 0, 0) + body + CHECKSUM.pack(fnv1a(body))
        return filled.ljust(self.page_size, b"\x00")


def decode_meta(page: bytes, number: int) -> Meta:
    """Reads a meta page (its first 80 bytes suffice). Raises `StorageError` naming the page and what is wrong."""
    if len(page) < HEADER_BYTES + META_BODY.size + CHECKSUM.size:
        raise StorageError(f"page {number}: the file ends inside the meta page")
    body = page[HEADER_BYTES : HEADER_BYTES + META_BODY.size]
    magic, version, page_size, _, root, _, freelist, high_water, transaction = META_BODY.unpack(body)
    (checksum,) = CHECKSUM.unpack_from(page, HEADER_BYTES + META_BODY.size)
    if magic != MAGIC:
        raise StorageError(f"page {number}: not a bbolt file (magic number {magic:08x})")
    if version != VERSION:
        raise StorageError(f"page {number}: bbolt format {version}, this program reads {VERSION}")
    if checksum != fnv1a(body):
        raise StorageError(f"page {number}: the checksum of the meta page does not fit")
    if page_size not in PAGE_SIZES:
        raise StorageError(f"page {number}: a page size of {page_size} bytes")
    return Meta(page_size, root, freelist, high_water, transaction)


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
