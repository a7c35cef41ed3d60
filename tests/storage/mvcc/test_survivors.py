"""What is remembered of a compaction's way, and what is forgotten first."""

from dualmode.storage.mvcc.survivors import ENTRY_OVERHEAD_BYTES, UNKNOWN, Survivor, Survivors

ONE = Survivor(b"R1", 10)


def test_nothing_left_is_not_the_same_as_not_known() -> None:
    survivors = Survivors(100_000)
    survivors.remember({b"a": ONE, b"b": None})
    assert survivors.get(b"a") == ONE
    assert survivors.get(b"b") is None
    assert survivors.get(b"c") is UNKNOWN
    survivors.forget_all()
    assert survivors.get(b"a") is UNKNOWN
    assert survivors.get(b"b") is UNKNOWN


def test_what_was_not_touched_lately_goes_and_what_is_young_counts() -> None:
    survivors = Survivors(2 * 2 * (ENTRY_OVERHEAD_BYTES + 1))  # two generations of two
    survivors.remember({b"a": ONE, b"b": ONE})
    survivors.remember({b"c": ONE, b"a": None})
    assert survivors.get(b"a") is None
    assert survivors.get(b"b") == ONE
    survivors.remember({b"d": ONE})
    assert survivors.get(b"b") is UNKNOWN
    assert survivors.get(b"a") is None
