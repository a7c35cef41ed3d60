"""What the writer writes the reader reads, for trees of any shape; and the shape is one that bbolt can work with."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.reader import BboltFile
from dualmode.storage.bbolt.writer import MAX_KEY_BYTES, Writer
from tests.storage.bbolt.trees import Tree, checked, written

KEYS = st.binary(min_size=1, max_size=40) | st.integers(1, 700).map(lambda size: b"k" * size)
VALUES = st.binary(max_size=60) | st.integers(0, 5000).map(lambda size: b"v" * size)
BUCKETS = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=60),
    lambda inner: st.dictionaries(KEYS, VALUES | inner, max_size=8),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, BUCKETS, max_size=8), st.sampled_from(pages.PAGE_SIZES[:5]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tree: Tree, page_size: int, with_freelist: bool) -> None:
    assert checked(written(tree, page_size, with_freelist)) == tree


def branch_counts(data: bytes) -> list[int]:
    """Numbers of children of all branch pages."""
    file = BboltFile(data)
    found = []
    page = 2
    while page < file.meta.high_water:
        _, flags, count, overflow = pages.PAGE_HEADER.unpack_from(data, page * file.meta.page_size)
        if flags == pages.BRANCH:
            found.append(count)
        page += overflow + 1
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 29, 30, 31, 32, 33, 100, 700, 5000])
def test_every_branch_has_two_children_at_least(count: int) -> None:
    """bbolt panics when the only child of a branch loses its last key."""
    tree: Tree = {b"key": {struct.pack(">Q", number): b"x" * 13 for number in range(count)}}
    data = written(tree, 512)
    assert checked(data) == tree
    assert all(children >= 2 for children in branch_counts(data))


def test_long_keys_still_leave_two_children_in_each_branch() -> None:
    tree: Tree = {b"key": {struct.pack(">Q", number) + b"k" * 2000: b"" for number in range(40)}}
    data = written(tree, 512)
    assert checked(data) == tree
    assert all(children >= 2 for children in branch_counts(data))
    assert len(branch_counts(data)) > 10


def test_a_small_bucket_stands_in_its_parent_and_an_empty_top_level_is_one_leaf() -> None:
    assert BboltFile(written({b"a": {}, b"b": {b"k": b"v" * 900}})).meta.high_water == 3
    assert BboltFile(written({b"a": {}, b"b": {b"k": b"v" * 1000}})).meta.high_water == 4
    assert checked(written({})) == {}


def test_a_freelist_takes_a_page() -> None:
    meta = BboltFile(written({}, with_freelist=True)).meta
    assert (meta.freelist, meta.root, meta.high_water) == (2, 3, 4)


def test_both_meta_pages_tell_of_the_same_tree() -> None:
    data = written({b"a": {b"k": b"v"}})
    first, second = pages.decode_meta(data[:128], 0), pages.decode_meta(data[4096:4224], 1)
    assert (first.root, first.high_water) == (second.root, second.high_water)
    assert first.transaction == second.transaction + 1
    assert first.transaction % 2 == 0


@pytest.mark.parametrize(
    "items", [[(b"b", b""), (b"a", b"")], [(b"a", b""), (b"a", b"")], [(b"", b"")], [(b"k" * (MAX_KEY_BYTES + 1), b"")]]
)
def test_keys_out_of_order_and_out_of_bounds_are_our_fault(items: list[tuple[bytes, bytes]]) -> None:
    bucket = Writer(io.BytesIO()).bucket(b"b")
    for item in items[:-1]:
        bucket.put(*item)
    with pytest.raises(AssertionError):
        bucket.put(*items[-1])
