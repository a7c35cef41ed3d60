"""Does: times the steps of a piece of work, so that a slow one can say which of them took how long (etcd's traces)."""

from __future__ import annotations

import time
from typing import Any


class Trace:
    """The steps of one piece of work. Costs a clock reading a step; nothing is formatted unless it was slow."""

    __slots__ = ("_started", "_steps")

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._steps: list[tuple[str, float]] = []

    def step(self, name: str) -> None:
        """The step of this name has ended."""
        self._steps.append((name, time.perf_counter()))

    def took_seconds(self) -> float:
        """From the beginning to the last step."""
        return self._steps[-1][1] - self._started if self._steps else 0.0

    def lines(self) -> list[str]:
        """Each step with what it took, as etcd prints them."""
        lines, before = [], self._started
        for name, at in self._steps:
            lines.append(f"{name} (duration: {(at - before) * 1000:.3f}ms)")
            before = at
        return lines


def tell_slow(logger: Any, took_seconds: float, expected_seconds: float, **facts: Any) -> None:
    """The line about work that held up the loop longer than --warning-apply-duration, in the words of etcd's log."""
    logger.warning(
        "apply request took too long",
        took=f"{took_seconds * 1000:.3f}ms",
        expected_duration=f"{expected_seconds * 1000:g}ms",
        **facts,
    )
