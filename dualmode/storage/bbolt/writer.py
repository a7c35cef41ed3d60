"""Decides: the bytes of a new bbolt file, made in one pass from items that come in key order.

Trees are built from the leaves up. Items gather in a leaf until it is full; a full leaf goes out as the next page, and
its first key with its page number goes to the branch above, which does the same. So memory holds one page for each
level, pages leave in the order of their numbers, and none is written that the tree does not reach. The meta pages come
last, at the beginning of the file.

    writer = Writer(file)
    with writer.bucket(b"key") as bucket: bucket.put(b"a", b"1")
    writer.finish()
"""

from __future__ import annotations

from typing import Final, Protocol

from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.pages import ELEMENT_BYTES, HEADER_BYTES, Meta

#: bbolt's bounds.
MAX_KEY_BYTES: Final = 32_768
MAX_VALUE_BYTES: Final = (1 << 31) - 2
#: A branch with one child makes bbolt panic when that child runs empty, so a full branch keeps this many back.
_KEPT_BACK: Final = 1
_FEWEST_CHILDREN: Final = 2
#: The `count` of a page is 16 bits wide, and bbolt keeps the last value for itself.
_MOST_ELEMENTS: Final = 0xFFFE
#: A snapshot has one transaction behind it; the other meta page carries the one before.
_TRANSACTION: Final = 2


class Sink(Protocol):
    """A binary file that can be written from a place on."""

    def write(self, data: bytes, /) -> object: ...

    def seek(self, offset: int, /) -> object: ...


class Writer:
    """One new file. `page_size` is in bytes; `with_freelist` writes an (empty) freelist page, as bbolt itself does and
    etcd does not. Raises what the file raises."""

    def __init__(self, file: Sink, page_size: int = 4096, with_freelist: bool = False) -> None:
        assert page_size in pages.PAGE_SIZES, "no system has such a page size"
        self.page_size = page_size
        self._file = file
        self._next_page = 2
        self._freelist = pages.NO_FREELIST
        self._top = BucketWriter(self, None, b"")
        file.seek(2 * page_size)
        if with_freelist:
            self._freelist = self.write_page(pages.FREELIST, 0, [])

    def bucket(self, name: bytes) -> BucketWriter:
        """Begins a bucket of the top level; their names come in order, one after the other."""
        return self._top.bucket(name)

    def finish(self) -> int:
        """Writes what is left and gives the size of the file in bytes."""
        root = self._top.root_page()
        for page, transaction in ((0, _TRANSACTION), (1, _TRANSACTION - 1)):
            meta = Meta(self.page_size, root, self._freelist, self._next_page, transaction)
            self._file.seek(page * self.page_size)
            self._file.write(meta.encode(page))
        return self._next_page * self.page_size

    def write_page(self, flags: int, count: int, parts: list[bytes]) -> int:
        """Writes the next page, with as many more as it needs, and gives its number."""
        page = self._next_page
        size = HEADER_BYTES + sum(map(len, parts))
        overflow = (size - 1) // self.page_size
        header = pages.PAGE_HEADER.pack(page, flags, count, overflow)
        self._file.write(b"".join((header, *parts, bytes((overflow + 1) * self.page_size - size))))
        self._next_page += overflow + 1
        return page


class BucketWriter:
    """One bucket; a context manager that ends it. Keys, those of buckets within it too, come in ascending order."""

    def __init__(self, writer: Writer, parent: BucketWriter | None, name: bytes) -> None:
        self._writer = writer
        self._parent = parent
        self._name = name
        self._elements: list[tuple[int, bytes, bytes]] = []
        self._bytes = HEADER_BYTES
        self._branches: list[_Branch] = []
        self._last_key = b""
        self._has_buckets = False
        self._is_ended = False

    def put(self, key: bytes, value: bytes) -> None:
        """Adds an item."""
        self._add(0, key, value)

    def bucket(self, name: bytes) -> BucketWriter:
        """Begins a bucket within this one, which must end before anything else is added here."""
        return BucketWriter(self._writer, self, name)

    def end(self) -> None:
        """Ends the bucket."""
        assert not self._is_ended, "a bucket ends once"
        self._is_ended = True
        parent = self._parent
        assert parent is not None, "the top level ends with the file"
        parent._has_buckets = True
        parent._add(pages.IS_BUCKET, self._name, self._value())

    def root_page(self) -> int:
        """Writes what is left and gives the page that the tree hangs on."""
        if not self._branches:
            return self._write_leaf()
        self._push(0, self._elements[0][1], self._write_leaf())
        level = 0
        while True:
            branch = self._branches[level]
            page = branch.write(self._writer, len(branch.children))
            level += 1
            if level == len(self._branches):
                return page
            self._push(level, branch.first_key, page)

    def __enter__(self) -> BucketWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.end()

    def _add(self, flags: int, key: bytes, value: bytes) -> None:
        assert 0 < len(key) <= MAX_KEY_BYTES, "bbolt's bounds of a key"
        assert len(value) <= MAX_VALUE_BYTES, "bbolt's bound of a value"
        assert key > self._last_key, "keys come in order"
        self._last_key = key
        size = ELEMENT_BYTES + len(key) + len(value)
        elements = self._elements
        if elements and (self._bytes + size > self._writer.page_size or len(elements) == _MOST_ELEMENTS):
            self._push(0, elements[0][1], self._write_leaf())
            self._elements = elements = []
            self._bytes = HEADER_BYTES
        elements.append((flags, key, value))
        self._bytes += size

    def _value(self) -> bytes:
        """The bucket as a leaf value. A small one goes whole into it, by bbolt's rule: one leaf without buckets that
        takes at most a quarter of a page."""
        is_small = self._bytes <= self._writer.page_size // 4
        if is_small and not self._branches and not self._has_buckets:
            header = pages.PAGE_HEADER.pack(0, pages.LEAF, len(self._elements), 0)
            return b"".join((pages.BUCKET_HEADER.pack(0, 0), header, *_leaf_parts(self._elements)))
        return pages.BUCKET_HEADER.pack(self.root_page(), 0)

    def _write_leaf(self) -> int:
        return self._writer.write_page(pages.LEAF, len(self._elements), _leaf_parts(self._elements))

    def _push(self, level: int, key: bytes, page: int) -> None:
        """A page of `level` (0: leaves) has been written: the branch above takes it, and goes out itself when full."""
        if level == len(self._branches):
            self._branches.append(_Branch(key))
        branch = self._branches[level]
        branch.add(key, page)
        ready = len(branch.children) - _KEPT_BACK - 1
        if branch.bytes > self._writer.page_size and ready >= _FEWEST_CHILDREN:
            first_key = branch.first_key
            written = branch.write(self._writer, ready)
            self._push(level + 1, first_key, written)


class _Branch:
    """The branch page of one level that is being filled."""

    def __init__(self, first_key: bytes) -> None:
        self.first_key = first_key
        self.children: list[tuple[bytes, int]] = []
        self.bytes = HEADER_BYTES

    def add(self, key: bytes, page: int) -> None:
        if not self.children:
            self.first_key = key
        self.children.append((key, page))
        self.bytes += ELEMENT_BYTES + len(key)

    def write(self, writer: Writer, count: int) -> int:
        """Writes the first `count` children as a page; the others stay."""
        written, self.children = self.children[:count], self.children[count:]
        if self.children:
            self.first_key = self.children[0][0]
        self.bytes = HEADER_BYTES + sum(ELEMENT_BYTES + len(key) for key, _ in self.children)
        return writer.write_page(pages.BRANCH, count, _branch_parts(written))


def _leaf_parts(elements: list[tuple[int, bytes, bytes]]) -> list[bytes]:
    """Elements, then their keys and values: all parts of a leaf behind its header."""
    pack = pages.LEAF_ELEMENT.pack
    heads: list[bytes] = []
    data: list[bytes] = []
    offset = ELEMENT_BYTES * len(elements)
    for flags, key, value in elements:
        heads.append(pack(flags, offset, len(key), len(value)))
        data += (key, value)
        offset += len(key) + len(value) - ELEMENT_BYTES
    return heads + data


def _branch_parts(children: list[tuple[bytes, int]]) -> list[bytes]:
    pack = pages.BRANCH_ELEMENT.pack
    heads: list[bytes] = []
    offset = ELEMENT_BYTES * len(children)
    for key, page in children:
        heads.append(pack(offset, len(key), page))
        offset += len(key) - ELEMENT_BYTES
    return heads + [key for key, _ in children]
