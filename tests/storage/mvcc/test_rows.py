"""The row schema: order and round trips."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualmode.errors import StorageError
from dualmode.storage.mvcc import rows

KEYS = st.lists(st.sampled_from([b"\x00", b"\x01", b"\xff", b"a", b"\x00\x01"]), max_size=5).map(b"".join)
NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, (1 << 63) - 1))
VERSIONS = st.tuples(KEYS, NUMBERS, NUMBERS)


@given(VERSIONS, VERSIONS)
@example((b"a", 5, 0), (b"a\x00", 5, 0))
def test_history_rows_sort_by_key_then_newest_first(one: tuple[bytes, int, int], other: tuple[bytes, int, int]) -> None:
    def order(version: tuple[bytes, int, int]) -> tuple[bytes, int, int]:
        return version[0], -version[1], -version[2]

    assert (rows.history_row(*one) < rows.history_row(*other)) == (order(one) < order(other))


@given(VERSIONS)
def test_history_rows_are_read_back(version: tuple[bytes, int, int]) -> None:
    prefix, main, sub = rows.history_of(rows.history_row(*version))
    assert (rows.key_of_history_prefix(prefix), main, sub) == version
    assert prefix == rows.history_prefix(version[0])


@given(KEYS, VERSIONS)
def test_a_history_prefix_holds_the_rows_of_its_key_and_no_others(key: bytes, version: tuple[bytes, int, int]) -> None:
    prefix = rows.history_prefix(key)
    assert (prefix <= rows.history_row(*version) < rows.prefix_end(prefix)) == (key == version[0])


def test_a_key_of_the_largest_size_has_rows() -> None:
    key = b"\x00" * (1536 * 1024)
    assert rows.key_of_history_prefix(rows.history_of(rows.history_row(key, 2, 0))[0]) == key


def test_revision_rows_are_etcds_keys() -> None:
    row = rows.revision_row(2, 1)
    assert row[1:] == bytes.fromhex("00000000000000025f0000000000000001")
    assert rows.revision_of(row) == (2, 1, False)
    assert rows.revision_of(row + rows.TOMBSTONE_MARK) == (2, 1, True)


def test_a_short_revision_row_is_refused() -> None:
    with pytest.raises(StorageError, match="no revision row"):
        rows.revision_of(b"R123")


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=3))
def test_an_attachment_prefix_ends_before_the_next_lease(lease: int, key: bytes) -> None:
    prefix = rows.attachment_prefix(lease)
    assert prefix <= prefix + key < rows.prefix_end(prefix)
    following = rows.attachment_prefix(lease + 1)
    assert lease == -1 or rows.prefix_end(prefix) <= following


def test_the_state_row() -> None:
    state = rows.State(7, 2, 9, -1, 3, 1, -1, 1000, 4)
    assert rows.State.decode(state.encode()) == state
    with pytest.raises(StorageError, match="format 02"):
        rows.State.decode(b"\x02" + state.encode()[1:])
    with pytest.raises(StorageError, match="format"):
        rows.State.decode(b"")
