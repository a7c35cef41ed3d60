"""The transcript format itself: cases, directives, expected outputs."""

from __future__ import annotations

import pytest

from tests.raft.language.cases import TranscriptError, boolean, integer, parse_directive, read_cases, rewrite
from tests.raft.language.output import Output


@pytest.mark.parametrize(
    ("directive", "arguments"),
    [
        ("command", []),
        ("command  a  b ", [("a", ()), ("b", ())]),
        ("command a= b", [("a", ("",)), ("b", ())]),
        ("command a=x,y", [("a", ("x,y",))]),
        ("command k=(1, (2,3), x)", [("k", ("1", "(2,3)", "x"))]),
        ("command k=()", [("k", ("",))]),
        ("command k=(a,)", [("k", ("a", ""))]),
        ("command k=(a) l=(b) k=c", [("k", ("a",)), ("l", ("b",)), ("k", ("c",))]),
        ("command k=( a , b )", [("k", (" a ", "b "))]),
        ("command k=(a)l", [("k", ("a",)), ("l", ())]),
    ],
)
def test_arguments(directive: str, arguments: list[tuple[str, tuple[str, ...]]]) -> None:
    command, parsed = parse_directive(directive)
    assert command == "command"
    assert [(argument.key, argument.values) for argument in parsed] == arguments


@pytest.mark.parametrize("directive", ["command =x", "command a =x", "command k=(a", "command k=((a)"])
def test_what_is_no_directive(directive: str) -> None:
    with pytest.raises(TranscriptError):
        parse_directive(directive)


def _outputs(text: str) -> list[tuple[str, str, str]]:
    return [(case.command, case.input, case.expected) for case in read_cases(text)]


@pytest.mark.parametrize(
    ("text", "cases"),
    [
        ("", []),
        ("# only a comment\n\n", []),
        ("a", [("a", "", "")]),
        ("a\n----\nout\n", [("a", "", "out\n")]),
        ("a\r\n----\r\nout\r\n\r\nb\r\n----\r\n", [("a", "", "out\n"), ("b", "", "")]),
        ("a\n # in\n\n more \n----\nout", [("a", "# in\n\n more", "out\n")]),
        ("a\n---- \n----\nout\n", [("a", "----", "out\n")]),
        ("a\n----\n\nb\n----\nout\n \nc\n----\n", [("a", "", ""), ("b", "", "out\n"), ("c", "", "")]),
        ("a\n----\n----\none\n\ntwo\n----\n----\n\nb\n----\n", [("a", "", "one\n\ntwo\n"), ("b", "", "")]),
        ("a\n----\n----\none\n----\ntwo\n----\n----\n", [("a", "", "one\n----\ntwo\n")]),
        ("subtest x\n\na\n----\nout\n\nsubtest end\n", [("a", "", "out\n")]),
        ("#c \\\na b\\\n  c\\\n", [("a", "", "")]),
    ],
)
def test_cases(text: str, cases: list[tuple[str, str, str]]) -> None:
    assert _outputs(text) == cases


def test_a_directive_may_go_on_in_the_next_line() -> None:
    (case,) = read_cases("a b=1 \\\n  c\\\nd\n----\n")
    assert [argument.key for argument in case.arguments] == ["b", "c", "d"]
    assert case.line == 1


@pytest.mark.parametrize("text", ["a\n----\n----\nout\n", "a\n----\n----\nout\n----\n----\nb\n", "a =\n----\n"])
def test_what_is_no_transcript(text: str) -> None:
    with pytest.raises(TranscriptError):
        read_cases(text)


def test_lookup_takes_the_first_and_needs_one_value() -> None:
    (case,) = read_cases("a k=1 k=2 l=(1,2) m\n----\n")
    assert case.lookup("k") == "1"
    for key in ("l", "m", "n"):
        with pytest.raises(TranscriptError):
            case.lookup(key)


def test_words_and_numbers() -> None:
    assert boolean("t") is True
    assert boolean("FALSE") is False
    assert integer("007") == 7
    for reader in (boolean, integer):
        with pytest.raises(TranscriptError):
            reader("yes")


@pytest.mark.parametrize("output", ["", "one\n", "one\n\ntwo\n", "one\n----\n\ntwo\n", " \n"])
def test_what_is_rewritten_reads_back(output: str) -> None:
    text = "# first\na\nin\n----\nold\n\nb\n----\n\n"
    written = rewrite(text, read_cases(text), [output, "other\n"])
    assert [case.expected for case in read_cases(written)] == [output, "other\n"]
    assert written.startswith("# first\na\nin\n----\n")


def test_output_levels_and_indentation() -> None:
    output = Output()
    output.level = 2
    output.info("unheard")
    with output.indented():
        output.warning("heard")
        output.write("no newline")
    with output.indented():
        output.debug("nothing, so no block")
    assert output.take() == "  WARN heard\n  no newline\n"
    output.level = 5
    output.fatal("muted")
    assert output.take() == ""
