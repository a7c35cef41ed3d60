"""The sniff table, with every cut of every opening."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.edge.sniff import PREFACE, Speech, sniff

OPENINGS = [
    (PREFACE + b"\0\0\0\4\0\0\0\0\0", Speech.HTTP2),
    (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", Speech.HTTP1),
    (b"POST /v3/kv/put HTTP/1.1\r\n", Speech.HTTP1),
    (b"PUT /config/local/log HTTP/1.1\r\n", Speech.HTTP1),
    (b"PRIVATE / HTTP/1.1\r\n", Speech.HTTP1),
    (b"\r\nGET / HTTP/1.1\r\n\r\n", Speech.HTTP1),
    (b"M-SEARCH * HTTP/1.1\r\n", Speech.HTTP1),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Speech.TLS),
    (b"\x16\x03\x03\x02\x00\x01\x00\x01\xfc\x03\x03", Speech.TLS),
    (b"\x16\x02\x00\x00", Speech.UNKNOWN),
    (b"\x15\x03\x01\x00\x02\x02\x28", Speech.UNKNOWN),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", Speech.UNKNOWN),
    (b"PRI * HTTP/1.1\r\n\r\n", Speech.UNKNOWN),
    (b" GET / HTTP/1.1\r\n", Speech.UNKNOWN),
    (b"\x00\x00\x00\x04", Speech.UNKNOWN),
    (b"\xff\xfe hello", Speech.UNKNOWN),
    (b"GE\x00T / HTTP/1.1\r\n", Speech.UNKNOWN),
    (b"A" * 64, Speech.UNKNOWN),
]


@pytest.mark.parametrize(("opening", "speech"), OPENINGS)
def test_an_opening_is_recognised_whole(opening: bytes, speech: Speech) -> None:
    assert sniff(opening) is speech


@pytest.mark.parametrize(("opening", "speech"), [row for row in OPENINGS if row[1] is not Speech.UNKNOWN])
def test_every_cut_is_undecided_or_already_right(opening: bytes, speech: Speech) -> None:
    for cut in range(len(opening) + 1):
        assert sniff(opening[:cut]) in (Speech.UNDECIDED, speech), opening[:cut]


def test_the_preface_needs_its_last_byte() -> None:
    assert sniff(PREFACE[:-1]) is Speech.UNDECIDED
    assert sniff(PREFACE) is Speech.HTTP2


@given(st.binary(min_size=limits.SNIFF_BYTES, max_size=40))
def test_the_window_always_decides(data: bytes) -> None:
    assert sniff(data) is not Speech.UNDECIDED


@given(st.binary(min_size=limits.SNIFF_BYTES, max_size=40), st.binary(max_size=20))
def test_what_comes_after_the_window_changes_nothing(data: bytes, more: bytes) -> None:
    assert sniff(data) is sniff(data + more)


@given(st.binary(max_size=30))
def test_only_a_prefix_of_an_opening_is_undecided(data: bytes) -> None:
    if sniff(data) is Speech.UNDECIDED:
        assert PREFACE.startswith(data) or data == b"\x16"
