"""Decides: what of a command's doings is written: the level of log lines, and indented blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE")
_NONE = LEVELS.index("NONE")


class Output:
    """The text of the current command. It is the logger of all cores."""

    def __init__(self) -> None:
        self.level = 0
        self._parts: list[str] = []

    @property
    def muted(self) -> bool:
        return self.level == _NONE

    def write(self, text: str) -> None:
        if not self.muted:
            self._parts.append(text)

    def take(self) -> str:
        """What has been written so far; the output is empty again."""
        text = "".join(self._parts)
        self._parts = []
        return text

    @contextmanager
    def indented(self) -> Iterator[None]:
        """What is written inside gets two spaces in front of each line."""
        outer, self._parts = self._parts, []
        try:
            yield
        finally:
            text = self.take()
            self._parts = outer
            if text:
                self._parts += [f"  {line}\n" for line in text.removesuffix("\n").split("\n")]

    def _log(self, level: int, text: str) -> None:
        if level >= self.level:
            self.write(f"{LEVELS[level]} {text}\n")

    def debug(self, text: str) -> None:
        self._log(0, text)

    def info(self, text: str) -> None:
        self._log(1, text)

    def warning(self, text: str) -> None:
        self._log(2, text)

    def error(self, text: str) -> None:
        self._log(3, text)

    def fatal(self, text: str) -> None:
        self._log(4, text)
