"""The cache of newest versions: bounded, and never wrong."""

from hypothesis import given
from hypothesis import strategies as st

from dualmode.storage.mvcc.heads import ENTRY_OVERHEAD_BYTES, HeadCache

ROWS = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.lists(st.tuples(st.sampled_from(["remember", "forget", "get"]), ROWS, st.integers(0, 900)), max_size=60)


@given(STEPS)
def test_it_gives_the_last_thing_remembered_or_nothing(steps: list[tuple[str, bytes, int]]) -> None:
    cache = HeadCache(2 * (ENTRY_OVERHEAD_BYTES + 400))
    truth: dict[bytes, bytes | None] = {}
    for number, (step, row, size) in enumerate(steps):
        if step == "remember":
            truth[row] = b"%d " % number + bytes(size)
            cache.remember(row, truth[row] or b"")
        elif step == "forget":
            truth[row] = None
            cache.forget(row)
        else:
            assert cache.get(row) in (None, truth.get(row))


def test_what_is_used_stays_and_what_is_not_goes() -> None:
    cache = HeadCache(20 * (ENTRY_OVERHEAD_BYTES + 100))
    cache.remember(b"hot", b"1")
    for number in range(1000):
        cache.remember(b"%d" % number, bytes(80))
        assert cache.get(b"hot") == b"1"
    assert cache.get(b"1") is None
    assert len(cache._young) + len(cache._old) <= 30


def test_what_is_larger_than_a_generation_is_not_kept_and_forgets_the_older_one() -> None:
    cache = HeadCache(1000)
    cache.remember(b"a", b"old")
    cache.remember(b"a", bytes(5000))
    assert cache.get(b"a") is None
