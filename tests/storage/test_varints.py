"""Varints against protobuf's own."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualmode.api import mvccpb
from dualmode.errors import StorageError
from dualmode.storage.varints import read_varint, varint

EDGES = sorted({(1 << bits) + near for bits in range(63) for near in (-1, 0, 1)} | {(1 << 63) - 1})


@pytest.mark.parametrize("number", [*EDGES, -1, -(1 << 63)])
def test_varint_is_what_protobuf_writes(number: int) -> None:
    expected = mvccpb.KeyValue(lease=number).SerializeToString()[1:] or b"\x00"
    assert varint(number) == expected


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
@example((1 << 64) - 1, b"\xff")
def test_read_varint_gives_back_the_number_and_where_it_ends(number: int, tail: bytes) -> None:
    encoded = varint(number)
    assert read_varint(b"x" + encoded + tail, 1) == (number, 1 + len(encoded))


def test_a_varint_that_is_cut_short_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        read_varint(b"\x80\x80", 0)


def test_a_varint_of_eleven_bytes_is_refused() -> None:
    with pytest.raises(StorageError, match="ten bytes"):
        read_varint(b"\x80" * 10 + b"\x01", 0)
