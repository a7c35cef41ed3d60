"""Durations: Go's texts, exact to the nanosecond, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.config.durations import LONGEST, SECOND, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("0s", 0),
        ("10s", 10 * SECOND),
        ("1h15m30.918273645s", 4_530_918_273_645),
        ("1.5h", 5_400 * SECOND),
        ("100ms", SECOND // 10),
        ("3us", 3_000),
        ("3\u00b5s", 3_000),
        ("3\u03bcs", 3_000),
        ("7ns", 7),
        ("1.9ns", 1),  # cut off, as in Go
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("-1m", -60 * SECOND),
        ("+1m", 60 * SECOND),
        ("1m1m", 120 * SECOND),
        ("9223372036854775807ns", LONGEST),
    ],
)
def test_parses(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "-", "+", ".", "s", ".s", "x", "1x", "1 s", "1s ", "1d", "--1s", "1s1", "1e3s", "\u0661s", "9" * 70 + "h"],
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["10", "1.5", "-3"])
def test_a_number_without_a_unit_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match=f'missing unit in duration "{text}"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9223372036854775808ns", "2562048h", "99999999999999999999h"])
def test_longer_than_go_can_count(text: str) -> None:
    with pytest.raises(ValueError, match="292 years"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5\u00b5s"),
        (2_000_000, "2ms"),
        (SECOND, "1s"),
        (90 * SECOND, "1m30s"),
        (3600 * SECOND, "1h0m0s"),
        (7200 * SECOND + SECOND // 4, "2h0m0.25s"),
        (-SECOND, "-1s"),
    ],
)
def test_formats_as_go(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(-LONGEST, LONGEST))
def test_round_trip(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(alphabet="0123456789.hmsnu\u00b5+-e ", max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        return
    assert abs(nanoseconds) <= LONGEST
