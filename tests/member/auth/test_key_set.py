"""Sets of keys against a model that knows no intervals: all short keys of a small alphabet, one by one."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualmode.member.auth.key_set import KeySet
from dualmode.storage.mvcc.interval import contains, interval

#: Every key of up to two letters; "" is none, but may be an end.
ALPHABET = (b"\x00", b"a", b"\xff")
KEYS = [b"".join(letters) for length in (1, 2) for letters in product(ALPHABET, repeat=length)]
#: Keys one longer than any end in the tests: between two neighbours there is always one of them.
PROBES = [b"".join(letters) for length in (1, 2, 3, 4) for letters in product(ALPHABET, repeat=length)]


@pytest.mark.parametrize(
    ("intervals", "merged"),
    [
        ([], []),
        ([(b"b", b"c"), (b"a", b"b")], [(b"a", b"c")]),
        ([(b"a", b"b"), (b"a", b"c")], [(b"a", b"c")]),
        ([(b"a", b"d"), (b"b", b"c")], [(b"a", b"d")]),
        ([(b"a", b"c"), (b"b", b"d"), (b"e", b"f")], [(b"a", b"d"), (b"e", b"f")]),
        ([(b"c", None), (b"a", b"b")], [(b"a", b"b"), (b"c", None)]),
        ([(b"a", None), (b"b", b"c")], [(b"a", None)]),
        ([(b"a", b"c"), (b"b", None), (b"x", None)], [(b"a", None)]),
        ([(b"b", b"a"), (b"a", b"a")], []),
        ([(b"b", b"a"), (b"a", b"a"), (b"c", b"d")], [(b"c", b"d")]),
        ([(b"a", b"a\0"), (b"a\0", b"a\0\0")], [(b"a", b"a\0\0")]),
    ],
)
def test_merged(intervals: list[tuple[bytes, bytes | None]], merged: list[tuple[bytes, bytes | None]]) -> None:
    assert KeySet(intervals).intervals == merged


@pytest.mark.parametrize(
    ("key", "range_end", "is_covered"),
    [
        (b"a", b"", False),
        (b"b", b"", True),
        (b"c", b"", True),
        (b"d", b"", False),
        (b"b", b"d", True),
        (b"b", b"e", False),
        (b"c", b"d\0", False),
        (b"a", b"c", False),
        (b"b", b"\0", False),
        (b"x", b"\0", True),
        (b"x", b"y", True),
        (b"w", b"\0", False),
        (b"zzz", b"", True),
        (b"c", b"x", False),
        (b"\0", b"\0", False),
        # Ranges without keys: told apart by where they begin.
        (b"c", b"a", True),
        (b"d", b"c", False),
        (b"a", b"a", False),
    ],
)
def test_covered_by_two_ranges_and_a_tail(key: bytes, range_end: bytes, is_covered: bool) -> None:
    held = KeySet([(b"b", b"c"), (b"c", b"d"), (b"x", None)])
    assert held.covers(*interval(key, range_end)) is is_covered


pairs = st.tuples(st.sampled_from(KEYS), st.sampled_from([b"", *KEYS]))


@given(st.lists(pairs, max_size=6), pairs)
@example([(b"a", b"\x00")], (b"a", b"\x00"))
@example([(b"\x00", b"a"), (b"a", b"\xff")], (b"\x00", b"\xff"))
def test_covers_as_key_by_key(granted: list[tuple[bytes, bytes]], asked: tuple[bytes, bytes]) -> None:
    granted_intervals = [interval(*one) for one in granted]
    low, high = interval(*asked)
    wanted = [key for key in PROBES if contains(low, high, key)]
    if not wanted:
        return  # the table above has those
    expected = all(any(contains(*one, key) for one in granted_intervals) for key in wanted)
    if high is None and not any(one_high is None for _, one_high in granted_intervals):
        expected = False  # keys without end, of which the probes show a part
    assert KeySet(granted_intervals).covers(low, high) is expected


@given(st.lists(pairs, max_size=8))
def test_intervals_stay_apart_and_ascend(granted: list[tuple[bytes, bytes]]) -> None:
    merged = KeySet(interval(*one) for one in granted).intervals
    for (low, high), (next_low, _) in pairwise(merged):
        assert high is not None
        assert low < high < next_low
