"""Frames come out the same however the bytes come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.http.native.faults import ConnectionFaultError
from dualmode.http.native.frame_reader import FrameReader
from tests.http.wire import PREFACE, frame

FRAMES = [(0, 1, 3, b"abc"), (6, 0, 0, bytes(8)), (1, 4, 2**31 - 1, b""), (0, 0, 5, bytes(300))]
STREAM = PREFACE + b"".join(frame(*each) for each in FRAMES)


def read(pieces: list[bytes]) -> list[tuple[int, int, int, bytes]]:
    reader = FrameReader(16_384, PREFACE)
    return [each for piece in pieces for each in reader.frames(piece, 0.0)]


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_cut_in_two(at: int) -> None:
    assert read([STREAM[:at], STREAM[at:]]) == FRAMES


def test_cut_into_bytes() -> None:
    assert read([STREAM[at : at + 1] for at in range(len(STREAM))]) == FRAMES


@given(st.lists(st.integers(1, 40), min_size=1))
def test_cut_anywhere(sizes: list[int]) -> None:
    pieces, rest = [], STREAM
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert read([piece for piece in [*pieces, rest] if piece]) == FRAMES


def test_a_frame_in_many_pieces_is_joined_once() -> None:
    """A megabyte frame in pieces of a hundred bytes: linear work, not ten thousand joins of a growing buffer."""
    reader = FrameReader(1 << 20, b"")
    whole = frame(0, 0, 1, bytes(1 << 20))
    found = []
    for at in range(0, len(whole), 100):
        found += list(reader.frames(whole[at : at + 100], 0.0))
        assert len(reader._pieces) <= len(whole) // 100 + 1
    assert [len(each[3]) for each in found] == [1 << 20]


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    reader = FrameReader(100, b"")
    with pytest.raises(ConnectionFaultError):
        list(reader.frames(frame(0, 0, 1, bytes(101))[:9], 0.0))


def test_since_when_a_frame_is_incomplete() -> None:
    reader = FrameReader(100, b"")
    whole = frame(0, 0, 1, b"abc")

    def feed(data: bytes, now: float) -> float | None:
        list(reader.frames(data, now))
        return reader.partial_since

    assert feed(whole, 1.0) is None
    assert feed(whole[:5], 2.0) == 2.0
    assert feed(whole[5:7], 3.0) == 2.0
    assert feed(whole[7:] + whole[:2], 4.0) == 4.0
    assert feed(whole[2:], 5.0) is None
