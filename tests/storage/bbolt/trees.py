"""Files made by our writer from plain dictionaries, and read back into such."""

from __future__ import annotations

import io

from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.check import check
from dualmode.storage.bbolt.reader import BboltFile
from dualmode.storage.bbolt.writer import BucketWriter, Writer

#: A bucket: keys to values, or to buckets.
Tree = dict[bytes, "bytes | Tree"]


def written(tree: Tree, page_size: int = 4096, with_freelist: bool = False) -> bytes:
    """The file of these buckets (all items of the top level are buckets)."""
    file = io.BytesIO()
    writer = Writer(file, page_size, with_freelist)
    for name in sorted(tree):
        content = tree[name]
        assert isinstance(content, dict)
        with writer.bucket(name) as bucket:
            _fill(bucket, content)
    size = writer.finish()
    assert size == len(file.getvalue())
    return file.getvalue()


def _fill(bucket: BucketWriter, tree: Tree) -> None:
    for key in sorted(tree):
        value = tree[key]
        if isinstance(value, bytes):
            bucket.put(key, value)
        else:
            with bucket.bucket(key) as nested:
                _fill(nested, value)


def read(data: bytes) -> Tree:
    """What the file holds."""
    file = BboltFile(data)
    return {name: _read(data, file, (name,)) for name in file.buckets()}


def _read(data: bytes, file: BboltFile, path: tuple[bytes, ...]) -> Tree:
    tree: Tree = dict(file.items(*path))
    place = file.find_bucket(path)
    assert place is not None
    for flags, key, _, _ in file.walk_bucket(*place):
        if flags & pages.IS_BUCKET:
            tree[key] = _read(data, file, (*path, key))
    return tree


def checked(data: bytes) -> Tree:
    """The same, of a file that has passed the check."""
    check(BboltFile(data))
    return read(data)
