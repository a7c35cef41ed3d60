"""Which answers are kept: for how long, for whom, and what ends them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.proxy.cache.ranges import Kept, RangeCache, is_cacheable, watch_of


def cache_of(size: int = 10_000) -> tuple[RangeCache, list[int]]:
    dropped: list[int] = []
    return RangeCache(size, lambda kept: dropped.append(kept.watch_id)), dropped


def put(cache: RangeCache, request: bytes, answer: bytes = b"answer", identity: str = "a", now: float = 0.0) -> Kept:
    kept = cache.put(identity, request, answer, now, 10.0)
    assert kept is not None
    return kept


def test_an_answer_is_kept_for_who_asked_until_something_is_heard() -> None:
    cache, dropped = cache_of()
    kept = put(cache, b"r")
    assert (cache.get("a", b"r", 1.0), cache.get("b", b"r", 1.0), cache.get("a", b"s", 1.0)) == (b"answer", None, None)
    cache.end("b", kept.watch_id)
    assert cache.get("a", b"r", 1.0) == b"answer"
    cache.end("a", kept.watch_id)
    assert (cache.get("a", b"r", 1.0), dropped) == (None, [kept.watch_id])
    cache.end("a", kept.watch_id)  # heard of once more
    assert (cache.hits, cache.misses, len(cache), cache.size_bytes) == (2, 3, 0, 0)


def test_an_answer_ends_by_its_age() -> None:
    cache, dropped = cache_of()
    put(cache, b"r")
    assert cache.get("a", b"r", 9.9) == b"answer"
    assert cache.get("a", b"r", 10.0) is None
    assert dropped == [1]


def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    cache, dropped = cache_of()
    put(cache, b"r", b"old")
    newer = put(cache, b"r", b"new")
    assert dropped == [1]
    cache.end("a", 1)  # the old one's watch speaks late
    assert cache.get("a", b"r", 0.0) == b"new"
    assert newer.watch_id == 2


def test_the_least_recently_used_goes_first() -> None:
    cache, dropped = cache_of(size=30)
    for request in (b"r1", b"r2", b"r3"):
        put(cache, request, b"12345678")
    cache.get("a", b"r1", 0.0)
    put(cache, b"r4", b"12345678")
    assert dropped == [2]
    assert cache.size_bytes == 30


def test_what_is_too_large_is_not_kept() -> None:
    cache, _ = cache_of(size=5)
    assert cache.put("a", b"r", b"12345", 0.0, 1.0) is None
    large, _ = cache_of(size=1 << 30)
    assert large.put("a", b"r", bytes(limits.PROXY_CACHED_ANSWER_BYTES), 0.0, 1.0) is None


def test_one_who_is_not_heard_of_any_more_loses_all() -> None:
    cache, dropped = cache_of()
    for identity in ("a", "b", "a"):
        put(cache, b"r%d" % len(cache), identity=identity)
    cache.end_all("a")
    assert (sorted(dropped), len(cache)) == ([1, 3], 1)


@given(
    st.lists(
        st.tuples(st.sampled_from("pgx"), st.integers(0, 3), st.sampled_from("ab"), st.integers(1, 12)), max_size=40
    )
)
def test_sizes_and_watches_add_up(steps: list[tuple[str, int, str, int]]) -> None:
    """Whatever is done: what is kept fits, and each answer that ends is told of once."""
    ended: list[int] = []
    made: list[int] = []
    cache = RangeCache(40, lambda kept: ended.append(kept.watch_id))
    for kind, number, identity, size in steps:
        if kind == "p":
            kept = cache.put(identity, b"%d" % number, bytes(size), 0.0, 1.0)
            made += [kept.watch_id] if kept else []
        elif kind == "g":
            cache.get(identity, b"%d" % number, 0.5)
        else:
            cache.end(identity, size)
        assert cache.size_bytes <= 40
        assert len(set(ended)) == len(ended)
        assert len(cache) == len(made) - len(ended)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.RangeRequest(key=b"a", serializable=True), True),
        (pb.RangeRequest(key=b"a"), False),
        (pb.RangeRequest(key=b"a", serializable=True, revision=4), False),
    ],
)
def test_what_may_be_kept(request_: pb.RangeRequest, expected: bool) -> None:
    assert is_cacheable(request_) is expected


def test_the_watch_begins_behind_the_answer() -> None:
    request = pb.RangeRequest(key=b"a", range_end=b"c", serializable=True, limit=4)
    answer = pb.RangeResponse(header=pb.ResponseHeader(revision=7))
    expected = pb.WatchCreateRequest(key=b"a", range_end=b"c", watch_id=3, start_revision=8)
    assert watch_of(request, answer, 3) == expected
