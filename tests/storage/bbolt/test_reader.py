"""Damaged and malicious files are refused with the page named, and no byte makes the reader do anything else."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode.errors import StorageError
from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.reader import BboltFile
from tests.storage.bbolt.trees import Tree, checked, read, written

PAGE = 512
TREE: Tree = {
    b"auth": {b"authRevision": b"12345678"},
    b"key": {struct.pack(">Q", number): b"value %d" % number for number in range(24)},
    b"nested": {b"inner": {b"a": b"b"}, b"large": {b"c": b"d" * 800}, b"plain": b"e"},
}


def outcome(data: bytes) -> Tree | str:
    try:
        return checked(data)
    except StorageError as error:
        return str(error)


def test_every_flipped_byte_is_refused_or_harmless() -> None:
    """Harmless: a key or a value reads differently, the last items of one page are missing (bbolt has no checksum over
    either: that is what the hash of a snapshot is for), or the other meta page serves."""
    data = written(TREE, PAGE, with_freelist=True)
    refused = 0
    for place in range(len(data)):
        for flip in (0x01, 0xFF):
            damaged = bytearray(data)
            damaged[place] ^= flip
            found = outcome(bytes(damaged))
            if isinstance(found, str):
                refused += 1
                assert "page " in found
            else:
                assert count(TREE) - 20 < count(found) <= count(TREE)
    assert refused > 500


def count(tree: Tree) -> int:
    return sum(count(value) + 1 if isinstance(value, dict) else 1 for value in tree.values())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_place_of_some_end_in_a_tree_or_a_storage_error(data: st.DataObject) -> None:
    file = bytearray(written(TREE, PAGE))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(2 * PAGE, len(file) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=24))
        file[start : start + len(piece)] = piece
    outcome(bytes(file))


def test_a_file_cut_anywhere_is_refused() -> None:
    data = written(TREE, PAGE)
    for size in range(0, len(data), 7):
        with pytest.raises(StorageError, match=r"invalid database|ends early"):
            BboltFile(data[:size])


@pytest.mark.parametrize("page_size", pages.PAGE_SIZES)
def test_the_second_meta_page_serves_when_the_first_is_damaged(page_size: int) -> None:
    data = bytearray(written(TREE, page_size))
    data[20] ^= 1
    assert checked(bytes(data)) == TREE
    data[page_size + 20] ^= 1
    with pytest.raises(StorageError, match="invalid database: page 0"):
        BboltFile(bytes(data))


def page_of(data: bytes, flags: int) -> int:
    file = BboltFile(data)
    for page in range(2, file.meta.high_water):
        number, found, *_ = pages.PAGE_HEADER.unpack_from(data, page * PAGE)
        if (number, found) == (page, flags):
            return page
    raise AssertionError("no such page")


def test_a_branch_that_leads_back_to_itself_is_found_out() -> None:
    data = bytearray(written(TREE, PAGE))
    branch = page_of(bytes(data), pages.BRANCH)
    struct.pack_into("<Q", data, branch * PAGE + 16 + 8, branch)
    with pytest.raises(StorageError, match=f"page {branch}: multiple references"):
        checked(bytes(data))


def test_two_buckets_that_share_a_page_are_found_out() -> None:
    data = bytearray(written({b"a": {b"k": b"v" * 300}, b"b": {b"k": b"v" * 300}}, PAGE))
    assert outcome(bytes(data)) != ""
    root = BboltFile(bytes(data)).meta.root
    first = data.find(struct.pack("<QQ", 2, 0), root * PAGE)
    second = data.find(struct.pack("<QQ", 3, 0), root * PAGE)
    assert min(first, second) > 0
    struct.pack_into("<Q", data, second, 2)
    with pytest.raises(StorageError, match="page 2: multiple references"):
        checked(bytes(data))


@pytest.mark.parametrize(
    ("offset", "replacement", "complaint"),
    [
        (0, struct.pack("<Q", 99), "it says that it is page 99"),
        (8, struct.pack("<H", 7), "flags 0x7"),
        (8, struct.pack("<H", pages.META), "flags 0x4"),
        (10, struct.pack("<H", 0xFFFF), "65535 elements do not fit"),
        (12, struct.pack("<I", 0xFFFFFFFF), "reach behind the end"),
        (16, struct.pack("<I", 2), "element 0 has flags 0x2"),
        (20, struct.pack("<I", 0xFFFFFFFF), "element 0 is not where"),
        (20, struct.pack("<I", 0), "element 0 is not where"),
        (24, struct.pack("<I", 0), "element 0 is not where"),
        (24, struct.pack("<I", 0xFFFFFFFF), "element 0 is not where"),
        (28, struct.pack("<I", 0xFFFFFFFF), "element 0 is not where"),
        (36, struct.pack("<II", 16 * 5, 1), "out of order|not where"),
    ],
)
def test_each_field_of_a_leaf_is_held_against_its_bounds(offset: int, replacement: bytes, complaint: str) -> None:
    data = bytearray(written({b"key": {b"%03d" % n: b"v" * 40 for n in range(5)}}, PAGE))
    data[2 * PAGE + offset : 2 * PAGE + offset + len(replacement)] = replacement
    with pytest.raises(StorageError, match=f"page 2: .*({complaint})"):
        checked(bytes(data))


def test_children_must_keep_to_the_keys_that_their_branch_promises() -> None:
    data = bytearray(written({b"key": {b"%03d" % n: b"v" * 40 for n in range(30)}}, PAGE))
    second_leaf = data.find(b"v%03d" % 0, 0)
    assert second_leaf < 0
    place = data.find(b"000" + b"v" * 40)
    data[place : place + 3] = b"\xff\xff\xff"
    with pytest.raises(StorageError, match=r"page 2: key [01] is out of order"):
        checked(bytes(data))


def test_pages_that_no_tree_reaches_are_free_only_without_a_freelist() -> None:
    for with_freelist in (False, True):
        data = bytearray(written(TREE, PAGE, with_freelist))
        meta = BboltFile(bytes(data)).meta
        wider = pages.Meta(PAGE, meta.root, meta.freelist, meta.high_water + 1, meta.transaction)
        data[:PAGE] = wider.encode(0)
        data += bytes(PAGE)
        if with_freelist:
            with pytest.raises(StorageError, match=f"page {meta.high_water}: unreachable unfreed"):
                checked(bytes(data))
        else:
            assert checked(bytes(data)) == TREE


def freelist(data: bytes, ids: list[int], count: int | None = None) -> bytes:
    changed = bytearray(data)
    body = struct.pack(f"<{len(ids)}Q", *ids)
    header = pages.PAGE_HEADER.pack(2, pages.FREELIST, len(ids) if count is None else count, 0)
    changed[2 * PAGE : 2 * PAGE + len(header) + len(body)] = header + body
    return bytes(changed)


def test_the_freelist_is_held_against_the_tree() -> None:
    data = written(TREE, PAGE, with_freelist=True)
    for ids, complaint in (
        ([3], "page 3: multiple references"),
        ([2], "page 2: reachable freed"),
        ([99], "page 99: out of bounds"),
        ([1], "page 1: out of bounds"),
    ):
        with pytest.raises(StorageError, match=complaint):
            checked(freelist(data, ids))
    with pytest.raises(StorageError, match="page 2: 65534 free pages do not fit"):
        checked(freelist(data, [], 0xFFFE))
    # A count of 0xFFFF says that the number stands in front of the list.
    assert checked(freelist(data, [0], 0xFFFF)) == TREE
    meta = BboltFile(data).meta
    longer = pages.Meta(PAGE, meta.root, 2, meta.high_water + 1, meta.transaction).encode(0) + data[PAGE:] + bytes(PAGE)
    assert checked(freelist(longer, [meta.high_water])) == TREE
    with pytest.raises(StorageError, match=f"page {meta.high_water}: already freed"):
        checked(freelist(longer, [meta.high_water, meta.high_water]))


def test_buckets_nested_without_end_are_refused() -> None:
    tree: Tree = {}
    for _ in range(70):
        tree = {b"b": tree}
    with pytest.raises(StorageError, match="buckets lie too deep"):
        checked(written(tree))


def test_what_is_not_a_bbolt_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="invalid database: page 0: not a bbolt file"):
        BboltFile(b"no database at all" * 1000)
    with pytest.raises(StorageError, match="invalid database: page 0: the file ends"):
        BboltFile(b"")


def test_a_bucket_that_is_not_there_has_no_items() -> None:
    data = written(TREE, PAGE)
    assert list(BboltFile(data).items(b"nothing")) == []
    assert list(BboltFile(data).items(b"nested", b"inner")) == [(b"a", b"b")]
    assert read(data) == TREE


def branch_page(page: int, children: list[tuple[bytes, int]]) -> bytes:
    body = b""
    for number, (key, child) in enumerate(children):
        place = 16 * (len(children) - number) + sum(len(one) for one, _ in children[:number])
        body += pages.BRANCH_ELEMENT.pack(place, len(key), child)
    body += b"".join(key for key, _ in children)
    return (pages.PAGE_HEADER.pack(page, pages.BRANCH, len(children), 0) + body).ljust(PAGE, b"\0")


def leaf_page(page: int, items: list[tuple[bytes, bytes]], flags: int = 0) -> bytes:
    body = b""
    for number, (key, value) in enumerate(items):
        place = 16 * (len(items) - number) + sum(len(one) + len(other) for one, other in items[:number])
        body += pages.LEAF_ELEMENT.pack(flags, place, len(key), len(value))
    body += b"".join(key + value for key, value in items)
    return (pages.PAGE_HEADER.pack(page, pages.LEAF, len(items), 0) + body).ljust(PAGE, b"\0")


def file_of(*bodies: bytes) -> bytes:
    """A file of these pages from number 2 on, the first of them the root of bucket `b`."""
    root = 2 + len(bodies)
    top = leaf_page(root, [(b"b", struct.pack("<QQ", 2, 0))], pages.IS_BUCKET)
    metas = [
        pages.Meta(PAGE, root, pages.NO_FREELIST, root + 1, transaction).encode(number)
        for number, transaction in ((0, 2), (1, 1))
    ]
    return b"".join((*metas, *bodies, top))


def test_pages_made_by_hand() -> None:
    leaves = [leaf_page(3, [(b"a", b"1"), (b"b", b"2")]), leaf_page(4, [(b"c", b"3")])]
    assert checked(file_of(branch_page(2, [(b"a", 3), (b"c", 4)]), *leaves)) == {
        b"b": {b"a": b"1", b"b": b"2", b"c": b"3"}
    }


@pytest.mark.parametrize(
    ("bodies", "complaint"),
    [
        ([branch_page(2, [])], "page 2: an empty branch"),
        ([branch_page(2, [(b"a", 3)]), leaf_page(3, [])], "page 3: an empty leaf below a branch"),
        ([branch_page(2, [(b"a", 3), (b"a", 4)])], "page 2: key 1 is out of order"),
        ([branch_page(2, [(b"b", 3), (b"a", 4)])], "page 2: key 1 is out of order"),
        ([branch_page(2, [(b"", 3)])], "page 2: element 0 is not where it belongs"),
        ([branch_page(2, [(b"b", 3)]), leaf_page(3, [(b"a", b"")])], "page 3: key 0 is out of order"),
        (
            [branch_page(2, [(b"a", 3), (b"c", 4)]), leaf_page(3, [(b"d", b"")]), leaf_page(4, [(b"c", b"")])],
            "page 3: key 0 is out of order",
        ),
        ([branch_page(2, [(b"a", 3)]), branch_page(3, [(b"A", 4)])], "page 3: key 0 is out of order"),
        ([branch_page(2, [(b"a", 0)])], "page 0: out of bounds"),
        ([branch_page(2, [(b"a", 1 << 40)])], "page 1099511627776: out of bounds"),
        ([leaf_page(2, [(b"", b"")])], "page 2: element 0 is not where it belongs"),
        (
            [branch_page(page, [(b"a", page + 1)]) for page in range(2, 70)] + [leaf_page(70, [(b"a", b"")])],
            "page 66: the tree is deeper than 64 branches",
        ),
    ],
)
def test_trees_that_bbolt_would_not_make(bodies: list[bytes], complaint: str) -> None:
    with pytest.raises(StorageError, match=complaint):
        checked(file_of(*bodies))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b"", "a bucket of 0 bytes"),
        (bytes(15), "a bucket of 15 bytes"),
        (bytes(16), "an inline bucket of 16 bytes"),
        (bytes(32), "an inline bucket that is no leaf page"),
        (bytes(16) + pages.PAGE_HEADER.pack(0, pages.LEAF, 1, 0), "an inline bucket that is no leaf page"),
        (bytes(16) + pages.PAGE_HEADER.pack(1, pages.LEAF, 0, 0), "an inline bucket that is no leaf page"),
        (bytes(16) + pages.PAGE_HEADER.pack(0, pages.LEAF, 0, 1), "an inline bucket that is no leaf page"),
        (bytes(16) + pages.PAGE_HEADER.pack(0, pages.LEAF, 0, 0) + b"x", "an inline bucket with 1 bytes too many"),
    ],
)
def test_bucket_values_that_bbolt_would_not_make(value: bytes, complaint: str) -> None:
    top = leaf_page(2, [(b"b", value)], pages.IS_BUCKET)
    metas = [pages.Meta(PAGE, 2, pages.NO_FREELIST, 3, 2 - number).encode(number) for number in (0, 1)]
    with pytest.raises(StorageError, match=f"page 2: {complaint}"):
        checked(b"".join((*metas, top)))


def test_the_top_level_holds_buckets_only() -> None:
    metas = [pages.Meta(PAGE, 2, pages.NO_FREELIST, 3, 2 - number).encode(number) for number in (0, 1)]
    with pytest.raises(StorageError, match="page 2: an item that is no bucket at the top"):
        checked(b"".join((*metas, leaf_page(2, [(b"k", b"v")]))))


def test_a_meta_page_of_another_format_or_page_size() -> None:
    data = bytearray(written({}))
    for offset, number, complaint in ((4, 3, "bbolt format 3, this program reads 2"), (8, 1000, "page size of 1000")):
        changed = bytearray(data)
        struct.pack_into("<I", changed, 16 + offset, number)
        struct.pack_into("<Q", changed, 16 + 56, pages.fnv1a(bytes(changed[16 : 16 + 56])))
        with pytest.raises(StorageError, match=f"page 0: .*{complaint}"):
            pages.decode_meta(bytes(changed[:128]), 0)


def test_the_hash_of_a_meta_page_is_fnv1a() -> None:
    assert [pages.fnv1a(text) for text in (b"", b"a", b"foobar")] == [
        0xCBF29CE484222325,
        0xAF63DC4C8601EC8C,
        0x85944171F73967E8,
    ]
