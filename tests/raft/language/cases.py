"""Decides: how a transcript file divides into cases, and a directive into arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SEPARATOR = "----"
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


class TranscriptError(Exception):
    """The file itself is wrong: there is no output to compare."""


@dataclass(frozen=True, slots=True)
class Argument:
    """`key`, `key=value` or `key=(value, value)`. No values differs from one empty value."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One command, its input, and the text it must produce. `line` is where the directive stands, from 1.

    The lines `start` <= number < `end` (from 0) of the file hold the separator and the output.
    """

    command: str
    arguments: tuple[Argument, ...]
    input: str
    expected: str
    line: int
    start: int
    end: int

    def bare(self) -> list[str]:
        """Keys of the arguments without values."""
        return [argument.key for argument in self.arguments if not argument.values]

    def first(self) -> str:
        """The first argument, which must have no values."""
        if not self.arguments or self.arguments[0].values:
            raise TranscriptError(f"{self.command} needs a plain first argument")
        return self.arguments[0].key

    def values(self) -> Iterator[tuple[str, str]]:
        """(key, value) for each value of each argument, in order."""
        for argument in self.arguments:
            for value in argument.values:
                yield argument.key, value

    def lookup(self, key: str) -> str:
        """The one value of the first argument of that name."""
        for argument in self.arguments:
            if argument.key == key:
                if len(argument.values) != 1:
                    raise TranscriptError(f"{key} must have one value")
                return argument.values[0]
        raise TranscriptError(f"{self.command} needs {key}=")


def read_cases(text: str) -> list[Case]:
    """All cases of a file. Raises `TranscriptError`."""
    return list(_Reader(text).cases())


class _Reader:
    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        self._lines = [line.removesuffix("\r") for line in lines]
        self._position = 0

    def _more(self) -> bool:
        return self._position < len(self._lines)

    def _next(self) -> str:
        line = self._lines[self._position]
        self._position += 1
        return line

    def cases(self) -> Iterator[Case]:
        while self._more():
            directive = self._next().strip()
            if directive.startswith("#"):
                continue
            line = self._position
            while directive.endswith("\\") and self._more():
                directive = directive[:-1] + " " + self._next().strip()
            directive = directive.strip()
            if not directive:
                continue
            try:
                command, arguments = parse_directive(directive)
                if command != "subtest":
                    yield self._case(command, arguments, line)
            except TranscriptError as error:
                raise TranscriptError(f"line {line}: {error}") from None

    def _case(self, command: str, arguments: tuple[Argument, ...], line: int) -> Case:
        text = self._input()
        start = self._position - 1 if self._lines[self._position - 1] == SEPARATOR else self._position
        return Case(command, arguments, text, self._expected(), line, start, self._position)

    def _input(self) -> str:
        lines: list[str] = []
        while self._more():
            line = self._next()
            if line == SEPARATOR:
                break
            lines.append(line)
        return "\n".join(lines).strip()

    def _expected(self) -> str:
        if self._more() and self._lines[self._position] == SEPARATOR:
            self._position += 1
            return self._double_form()
        lines: list[str] = []
        while self._more():
            line = self._next()
            if not line.strip():
                break
            lines.append(line)
        return "".join(f"{line}\n" for line in lines)

    def _double_form(self) -> str:
        lines: list[str] = []
        while self._more():
            line = self._next()
            if line == SEPARATOR and self._more():
                following = self._next()
                if following == SEPARATOR:
                    if self._more() and self._next():
                        raise TranscriptError("the line after a closing pair of separators must be empty")
                    return "".join(f"{line}\n" for line in lines)
                lines += [line, following]
            else:
                lines.append(line)
        raise TranscriptError("output in double form is not closed")


def rewrite(text: str, cases: list[Case], outputs: list[str]) -> str:
    """The file with the expected outputs replaced; everything else stays as it is."""
    lines = text.split("\n")
    result: list[str] = []
    position = 0
    for case, output in zip(cases, outputs, strict=True):
        result += lines[position : case.start]
        body = output.removesuffix("\n").split("\n") if output else []
        if any(not line.strip() for line in body):
            result += [SEPARATOR, SEPARATOR, *body, SEPARATOR, SEPARATOR, ""]
        else:
            result += [SEPARATOR, *body, ""]
        position = case.end
    return "\n".join(result + lines[position:]).rstrip("\n") + "\n"


def parse_directive(directive: str) -> tuple[str, tuple[Argument, ...]]:
    """(command, arguments). Raises `TranscriptError`."""
    command, _, rest = directive.partition(" ")
    arguments = []
    rest = rest.lstrip(" ")
    while rest:
        match = re.match(r"[^ =]+", rest)
        if match is None:
            raise TranscriptError(f"empty key in {directive!r}")
        key, rest = match[0], rest[match.end() :]
        values: tuple[str, ...] = ()
        if rest.startswith("=("):
            values, rest = _parse_list(rest[2:])
        elif rest.startswith("="):
            value, _, rest = rest[1:].partition(" ")
            values = (value,)
        arguments.append(Argument(key, values))
        rest = rest.lstrip(" ")
    return command, tuple(arguments)


def _parse_list(text: str) -> tuple[tuple[str, ...], str]:
    """(values, what follows the closing bracket)."""
    values = []
    depth = start = position = 0
    while position < len(text):
        character = text[position]
        if character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif character in ",)" and not depth:
            values.append(text[start:position])
            if character == ")":
                return tuple(values), text[position + 1 :]
            while text[position + 1 : position + 2] == " ":
                position += 1
            start = position + 1
        position += 1
    raise TranscriptError("a list is not closed")


def integer(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise TranscriptError(f"{text!r} is not a number")
    return int(text)


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise TranscriptError(f"{text!r} is not a boolean")
