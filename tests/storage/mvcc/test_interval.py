"""Interval rules of the API."""

import pytest

from dualmode.storage.mvcc.interval import contains, interval


@pytest.mark.parametrize(
    ("key", "range_end", "inside", "outside"),
    [
        (b"b", b"", [b"b"], [b"a", b"b\x00", b"c"]),
        (b"\x00", b"", [b"\x00"], [b"\x00\x00", b"a"]),
        (b"b", b"\x00", [b"b", b"b\x00", b"\xff\xff"], [b"a", b"a\xff"]),
        (b"\x00", b"\x00", [b"\x00", b"a", b"\xff\xff\xff"], []),
        (b"b", b"d", [b"b", b"c", b"c\xff"], [b"a", b"d", b"d\x00"]),
        (b"b", b"b", [], [b"a", b"b", b"c"]),
        (b"d", b"b", [], [b"a", b"b", b"c", b"d"]),
    ],
)
def test_interval(key: bytes, range_end: bytes, inside: list[bytes], outside: list[bytes]) -> None:
    bounds = interval(key, range_end)
    assert [contains(*bounds, one) for one in inside] == [True] * len(inside)
    assert [contains(*bounds, one) for one in outside] == [False] * len(outside)
