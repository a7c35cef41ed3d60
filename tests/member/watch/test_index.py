"""The index against a list of intervals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.member.watch.index import WatchIndex
from dualmode.member.watch.watcher import Watcher, WatchStream
from tests.member.test_interval_tree import INTERVALS, KEYS, check_tree
from tests.member.watch.fakes import FakeStream


def watcher(low: bytes, high: bytes | None) -> Watcher:
    stream: Any = FakeStream()
    return Watcher(WatchStream(stream), 0, low, high, 0, 1)


def found(index: WatchIndex, key: bytes) -> set[Watcher]:
    groups = index.matching(key)
    return {one for group in groups for one in group.watchers()}


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        (b"a", b"a\0", [b"a"], [b"", b"a\0", b"b", b"`\xff"]),
        (b"a", b"c", [b"a", b"a\0", b"b", b"b\xff\xff"], [b"", b"c", b"`\xff"]),
        (b"b", None, [b"b", b"c", b"\xff\xff"], [b"", b"a", b"a\xff"]),
        (b"\0", None, [b"\0", b"a", b"\xff"], [b""]),
    ],
)
def test_a_watcher_is_found_by_the_keys_of_its_interval(
    low: bytes, high: bytes | None, inside: list[bytes], outside: list[bytes]
) -> None:
    index = WatchIndex()
    one = watcher(low, high)
    index.add(one)
    for key in inside:
        assert found(index, key) == {one}
    for key in outside:
        assert not found(index, key)


def test_watchers_of_one_interval_share_a_group() -> None:
    index = WatchIndex()
    watchers = [watcher(b"a", b"b") for _ in range(3)]
    for one in watchers:
        index.add(one)
    assert len(index.matching(b"a")) == 1
    assert index.size == 3


@given(
    st.lists(st.tuples(INTERVALS, st.booleans()), max_size=40),
    st.lists(KEYS, min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_it_finds_what_a_list_finds(
    changes: list[tuple[tuple[bytes, bytes | None], bool]], keys: list[bytes], random: Any
) -> None:
    index = WatchIndex()
    present: list[Watcher] = []
    for (low, high), removes in changes:
        if removes and present:
            gone = present.pop(random.randrange(len(present)))
            index.remove(gone)
            assert gone.index is None
        else:
            one = watcher(low, high)
            index.add(one)
            present.append(one)
        check_tree(index._tree.root)
    for key in keys:
        expected = {one for one in present if one.low <= key and (one.high is None or key < one.high)}
        assert found(index, key) == expected
    assert index.size == len(present)
    assert set(index.watchers()) == set(present)
    assert set(index.release()) == set(present)
    assert index.size == 0
    assert not any(found(index, key) for key in keys)
