"""The command line: Go's rules, and faults that do not hide each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.config.flags import parse_flags
from dualmode.config.options import BY_NAME


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("--name=a", [("name", "a")]),
        ("-name=a", [("name", "a")]),
        ("--name a", [("name", "a")]),
        ("-name a --wal-dir b", [("name", "a"), ("wal-dir", "b")]),
        ("--name=", [("name", "")]),
        ("--name=a=b", [("name", "a=b")]),
        ("--name --wal-dir", [("name", "--wal-dir")]),  # Go takes the next word, whatever it is
        ("--pre-vote", [("pre-vote", "true")]),
        ("--pre-vote=false", [("pre-vote", "false")]),
        ("--pre-vote --name a", [("pre-vote", "true"), ("name", "a")]),
        ("-h", [("help", "true")]),
        ("--experimental-corrupt-check-time=1s", [("corrupt-check-time", "1s")]),
        ("--name=a --name=b", [("name", "a"), ("name", "b")]),
        ("", []),
        ("--", []),
    ],
)
def test_parses(line: str, given: list[tuple[str, str]]) -> None:
    reading = parse_flags(line.split(), BY_NAME)
    assert [(one.option.name, one.text) for one in reading.given] == given
    assert reading.faults == []


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("--nmae=a", ["flag provided but not defined: --nmae, did you mean --name?"]),
        ("--zzzzzzzzz", ["flag provided but not defined: --zzzzzzzzz"]),
        ("--nmae a", ["flag provided but not defined: --nmae, did you mean --name?"]),
        ("--name", ["flag needs an argument: --name"]),
        ("member", ["'member' is not a valid flag"]),
        ("-", ["'-' is not a valid flag"]),
        ("--pre-vote false", ["'false' is not a valid flag, did you mean --pre-vote=false?"]),
        ("--pre-vote x", ["'x' is not a valid flag"]),
        ("---name=a", ["bad flag syntax: ---name=a"]),
        ("--=a", ["bad flag syntax: --=a"]),
        ("-- a b", ["'a' is not a valid flag", "'b' is not a valid flag"]),
        ("x --nmae=a --name", [
            "'x' is not a valid flag",
            "flag provided but not defined: --nmae, did you mean --name?",
            "flag needs an argument: --name",
        ]),
    ],
)  # fmt: skip
def test_faults(line: str, faults: list[str]) -> None:
    assert parse_flags(line.split(), BY_NAME).faults == faults


def test_sources_name_the_spelling_that_was_used() -> None:
    (one,) = parse_flags(["-listen-addr=x"], BY_NAME).given
    assert str(one.source) == "--listen-addr"
    assert one.source.kind == "flag"


@given(st.lists(st.text(alphabet="-=ahnme. \u00e9", max_size=8), max_size=6))
def test_every_word_is_taken_or_told(words: list[str]) -> None:
    reading = parse_flags(words, BY_NAME)
    if words and words != ["--"]:
        assert reading.given or reading.faults
