"""Decides: what a bbolt file holds, read from its bytes with nothing taken on faith.

A file may come from anybody, so before a byte is used: page numbers lie within the file, a page says of itself the
number it was asked for, elements lie within their page one behind the other (as bbolt writes them), keys ascend and lie
within what the branch above promises, no page is met twice in one walk, and depth is bounded. Whatever is not so raises
`StorageError` with the page's number, and no walk takes longer than the file is long.

`data` is bytes, or a memory map: pages are looked at where they are, keys and values are copied out.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.pages import ELEMENT_BYTES, HEADER_BYTES, Meta

Data = bytes | mmap.mmap
Element = tuple[int, bytes, int, int]  #: flags, key, where the value begins in the file, its size


class BboltFile:
    """One file. Raises `StorageError` when there is no valid meta page or the file is shorter than it says."""

    def __init__(self, data: Data, size: int | None = None) -> None:
        """`size` in bytes when something stands behind the database (the hash of a snapshot)."""
        self.data = data
        self.size = len(data) if size is None else size
        self.meta = find_meta(data[: min(self.size, _META_SEARCH_BYTES)])
        page_size, high_water = self.meta.page_size, self.meta.high_water
        if high_water * page_size > self.size:
            raise StorageError(
                f"the file ends early: {self.size} bytes where its meta page tells of {high_water} pages of {page_size}"
            )

    def buckets(self) -> list[bytes]:
        """Names of the buckets of the top level, in order."""
        return [key for flags, key, _, _ in self.walk(self.meta.root) if flags & pages.IS_BUCKET]

    def items(self, *path: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The (key, value) pairs of a bucket, found through the buckets it lies in, in key order; buckets in it are
        left out, a bucket that is not there has no items. Read as they are asked for."""
        place = self.find_bucket(path)
        if place is not None:
            data = self.data
            for flags, key, start, length in self.walk_bucket(*place):
                if not flags & pages.IS_BUCKET:
                    yield key, data[start : start + length]

    def find_bucket(self, path: tuple[bytes, ...]) -> tuple[int, int] | None:
        """Where the value of that bucket stands (start, size), None when there is none."""
        walk = self.walk(self.meta.root)
        place: tuple[int, int] | None = None
        for name in path:
            place = next(
                ((start, length) for flags, key, start, length in walk if key == name and flags & pages.IS_BUCKET), None
            )
            if place is None:
                return None
            walk = self.walk_bucket(*place)
        return place

    def walk_bucket(self, start: int, length: int, seen: bytearray | None = None) -> Iterator[Element]:
        """The elements of the bucket whose value is there."""
        root, inline = self.bucket_root(start, length)
        if inline is None:
            return self.walk(root, seen)
        return self._inline_elements(inline, start + length)

    def bucket_root(self, start: int, length: int) -> tuple[int, int | None]:
        """(root page, None), or (0, where the inline page begins)."""
        page = start // self.meta.page_size
        if length < pages.BUCKET_HEADER.size:
            raise StorageError(f"page {page}: a bucket of {length} bytes")
        root, _ = pages.BUCKET_HEADER.unpack(self.data[start : start + pages.BUCKET_HEADER.size])
        if root:
            return root, None
        if length < pages.BUCKET_HEADER.size + HEADER_BYTES:
            raise StorageError(f"page {page}: an inline bucket of {length} bytes")
        return 0, start + pages.BUCKET_HEADER.size

    def walk(self, root: int, seen: bytearray | None = None) -> Iterator[Element]:
        """The elements of the leaves below `root`, in key order. `seen` marks pages that were met (one byte each)."""
        if seen is None:
            seen = bytearray(self.meta.high_water)
        # A stack of what is still to be visited: page, and the keys its own must lie between.
        waiting: list[tuple[int, int, bytes, bytes | None]] = [(root, 0, b"", None)]
        while waiting:
            page, depth, low, high = waiting.pop()
            flags, count, begin, end = self.open_page(page, seen)
            if flags == pages.LEAF:
                if not count and page != root:
                    raise StorageError(f"page {page}: an empty leaf below a branch")
                yield from self._leaf_elements(page, count, begin, end, low, high)
            elif flags == pages.BRANCH:
                if depth == limits.BBOLT_TREE_DEPTH:
                    raise StorageError(f"page {page}: the tree is deeper than {depth} branches")
                children = self._children(page, count, begin, end, low, high)
                bounds = [key for key, _ in children[1:]]
                highs = [*bounds, high]
                waiting += [
                    (child, depth + 1, key, upper) for (key, child), upper in zip(children, highs, strict=True)
                ][::-1]
            else:
                raise StorageError(f"page {page}: flags {flags:#x} in the place of a branch or leaf")

    def open_page(self, page: int, seen: bytearray) -> tuple[int, int, int, int]:
        """(flags, count, where its elements begin, where it ends) of a page; marks it and its overflow as met."""
        page_size, high_water = self.meta.page_size, self.meta.high_water
        if not 2 <= page < high_water:
            raise StorageError(f"page {page}: out of bounds, the file has {high_water} pages")
        begin = page * page_size
        number, flags, count, overflow = pages.PAGE_HEADER.unpack(self.data[begin : begin + HEADER_BYTES])
        if number != page:
            raise StorageError(f"page {page}: it says that it is page {number}")
        if overflow >= high_water - page:
            raise StorageError(f"page {page}: {overflow} overflow pages reach behind the end")
        for one in range(page, page + overflow + 1):
            if seen[one]:
                raise StorageError(f"page {one}: multiple references")
            seen[one] = 1
        end = begin + (overflow + 1) * page_size
        if flags in (pages.LEAF, pages.BRANCH) and begin + HEADER_BYTES + count * ELEMENT_BYTES > end:
            raise StorageError(f"page {page}: {count} elements do not fit into it")
        return flags, count, begin + HEADER_BYTES, end

    def _inline_elements(self, begin: int, end: int) -> Iterator[Element]:
        number, flags, count, overflow = pages.PAGE_HEADER.unpack(self.data[begin : begin + HEADER_BYTES])
        page = begin // self.meta.page_size
        fits = begin + HEADER_BYTES + count * ELEMENT_BYTES <= end
        if number or flags != pages.LEAF or overflow or not fits:
            raise StorageError(f"page {page}: an inline bucket that is no leaf page")
        used = begin + HEADER_BYTES + count * ELEMENT_BYTES
        for flags, key, start, length in self._leaf_elements(page, count, begin + HEADER_BYTES, end, b"", None):
            used = start + length
            yield flags, key, start, length
        if used != end:
            raise StorageError(f"page {page}: an inline bucket with {end - used} bytes too many")

    def _leaf_elements(
        self, page: int, count: int, begin: int, end: int, low: bytes, high: bytes | None
    ) -> Iterator[Element]:
        """`low` is the least key there may be here, `high` is above all of them (None: no bound)."""
        data = self.data
        element = begin
        data_begin = expected = begin + count * ELEMENT_BYTES
        last: bytes | None = None
        for flags, offset, key_bytes, value_bytes in pages.LEAF_ELEMENT.iter_unpack(data[begin:data_begin]):
            start = element + offset
            value_start = start + key_bytes
            if start != expected or value_start + value_bytes > end or not key_bytes:
                raise StorageError(f"page {page}: element {(element - begin) // 16} is not where it belongs")
            key = data[start:value_start]
            if (last is not None and key <= last) or key < low or (high is not None and key >= high):
                raise StorageError(f"page {page}: key {(element - begin) // 16} is out of order")
            if flags > pages.IS_BUCKET:
                raise StorageError(f"page {page}: element {(element - begin) // 16} has flags {flags:#x}")
            last = key
            expected = value_start + value_bytes
            yield flags, key, value_start, value_bytes
            element += ELEMENT_BYTES

    def _children(
        self, page: int, count: int, begin: int, end: int, low: bytes, high: bytes | None
    ) -> list[tuple[bytes, int]]:
        data = self.data
        element = begin
        data_begin = expected = begin + count * ELEMENT_BYTES
        children: list[tuple[bytes, int]] = []
        for offset, key_bytes, child in pages.BRANCH_ELEMENT.iter_unpack(data[begin:data_begin]):
            start = element + offset
            if start != expected or start + key_bytes > end or not key_bytes:
                raise StorageError(f"page {page}: element {(element - begin) // 16} is not where it belongs")
            key = data[start : start + key_bytes]
            if (children and key <= children[-1][0]) or key < low or (high is not None and key >= high):
                raise StorageError(f"page {page}: key {(element - begin) // 16} is out of order")
            children.append((key, child))
            expected = start + key_bytes
            element += ELEMENT_BYTES
        if not children:
            raise StorageError(f"page {page}: an empty branch")
        return children


#: Meta page 1 stands behind page 0, wherever the page size puts it.
_META_SEARCH_BYTES = pages.PAGE_SIZES[-1] + 128


def find_meta(head: bytes) -> Meta:
    """The meta page in force, from the beginning of a file: of the valid ones that with the higher transaction id.

    When page 0 is damaged nobody knows where page 1 begins, so it is looked for at every page size.
    """
    found: list[Meta] = []
    fault: StorageError | None = None
    try:
        found.append(pages.decode_meta(head[:128], 0))
    except StorageError as error:
        fault = error
    for page_size in [found[0].page_size] if found else pages.PAGE_SIZES:
        try:
            meta = pages.decode_meta(head[page_size : page_size + 128], 1)
        except StorageError:
            continue
        if meta.page_size == page_size:
            found.append(meta)
            break
    if not found:
        assert fault is not None, "page 0 is either good or bad"
        raise StorageError(f"invalid database: {fault}")
    return max(found, key=lambda meta: meta.transaction)
