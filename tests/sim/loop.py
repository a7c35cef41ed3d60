"""Does: runs one seed's loop: simulated time, and tasks in an order that the seed decides."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TypeVar

import trio
import trio.testing
from trio._core import _run  # the switch that Hypothesis uses is nowhere else

from dualmode.member.maintenance import hashes

T = TypeVar("T")


def run(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Runs `main` on a clock that jumps to the next timer as soon as nothing else can happen."""
    with _deterministic(seed):
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Trio shuffles the tasks of each turn on purpose; here by a dice of ours, after sorting them by age."""
    # A hash sizes its steps by what they take on this machine.
    hashes.time = SimpleNamespace(perf_counter=trio.current_time)  # type: ignore[assignment]
    before, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        _run._r.setstate(state)
        hashes.time = time
