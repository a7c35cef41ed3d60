"""Decides: reads scenarios.txt, which says what the etcdctl tests type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FEW: Final = ("put a 1", "put b 2", "put b1 3", "put b2 4", "put c 0")
_SINCE_3_5: Final = " [etcdctl 3.5]"


@dataclass(frozen=True, slots=True)
class Step:
    """One etcdctl command and what is typed into it."""

    command: str
    stdin: str | None = None

    def __str__(self) -> str:
        return self.command if self.stdin is None else f"{self.command} <<< {self.stdin!r}"


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    steps: tuple[Step, ...]
    needs_3_5: bool


def parse(text: str) -> list[Scenario]:
    """The form is told at the head of scenarios.txt."""
    scenarios = []
    for block in text.split("\n== ")[1:]:
        name, *lines = block.splitlines()
        steps = [step for line in lines if line.strip() for step in _steps(line)]
        scenarios.append(Scenario(name.removesuffix(_SINCE_3_5), tuple(steps), name.endswith(_SINCE_3_5)))
    return scenarios


def _steps(line: str) -> list[Step]:
    if line == "few":
        return [Step(command) for command in _FEW]
    command, arrow, stdin = line.partition(" <<")
    if not arrow:
        return [Step(line)]
    return [Step(command, "\n".join(part.strip() for part in stdin.split("|")))]


def load() -> list[Scenario]:
    return parse(Path(__file__).with_suffix(".txt").read_text())
