"""Decides: `grpc-timeout`, and which parked calls are past it."""

from __future__ import annotations

from typing import Final, Protocol

from dualmode import errors, limits
from dualmode.errors import RpcError

_UNIT_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST_DIGITS: Final = 8


def parse_timeout(value: bytes) -> float:
    """Seconds. Raises `ValueError` for what is not 1 to 8 digits and a unit."""
    digits, unit = value[:-1], value[-1:]
    if not 1 <= len(digits) <= _MOST_DIGITS or not digits.isdigit() or unit not in _UNIT_SECONDS:
        raise ValueError("not 1 to 8 digits and a unit of H, M, S, m, u, n")
    return int(digits) * _UNIT_SECONDS[unit]


class Parked(Protocol):
    """A call that waits for its answer."""

    deadline_seconds: float

    def fail(self, error: RpcError) -> None: ...


class Deadlines:
    """The parked unary calls that have a deadline.

    A client gives up by itself when its time is over; what is left for us is to let go of the call. So this is
    coarse: no timer per call, a look at all of them at each tick of the edge, and calls end up to two ticks late.
    """

    __slots__ = ("_now", "_parked")

    def __init__(self) -> None:
        self._now = 0.0
        self._parked: set[Parked] = set()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, call: Parked, timeout_seconds: float) -> None:
        """Never early: the clock stands still between ticks, hence one tick on top."""
        call.deadline_seconds = self._now + timeout_seconds + limits.TICK_SECONDS
        self._parked.add(call)

    def forget(self, call: Parked) -> None:
        """It is answered."""
        self._parked.discard(call)

    def tick(self, now: float) -> None:
        """Fails what is past its deadline. `now` in seconds on any monotonic clock, which is 0 to us until the first
        tick: what was parked before it is counted from it."""
        if self._now == 0.0:
            for call in self._parked:
                call.deadline_seconds += now
        self._now = now
        for call in [call for call in self._parked if call.deadline_seconds <= now]:
            self._parked.discard(call)
            call.fail(errors.DEADLINE_EXCEEDED)
