"""Decides: what is remembered of a run: a digest of everything that happened, and the last lines of it for people."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

import trio


class Violation(Exception):  # noqa: N818 - it is no error of the program that raises it
    """A run has shown something that must never be."""


class Trace:
    """Two runs of one seed have equal digests. `echo` gets every line as it is written."""

    def __init__(self, echo: Callable[[str], None] | None = None) -> None:
        self._digest = hashlib.sha256()
        self._echo = echo
        #: How often each kind of thing happened.
        self.counts: Counter[str] = Counter()
        self.last_lines: deque[str] = deque(maxlen=60)

    def note(self, kind: str, text: str = "") -> None:
        """Something has happened now."""
        self.counts[kind] += 1
        line = f"{trio.current_time():10.4f} {kind} {text}"
        self._digest.update(line.encode())
        self.last_lines.append(line)
        if self._echo is not None:
            self._echo(line)

    @property
    def digest(self) -> str:
        """Of all lines so far."""
        return self._digest.hexdigest()
