"""Decides: when the next request of a load of a fixed rate is due, whatever the server does with those before it."""

from __future__ import annotations


class Pace:
    """`count` requests, `per_second`, from `start` on (seconds of any clock)."""

    def __init__(self, per_second: float, count: int, start: float) -> None:
        self._per_second = per_second
        self._start = start
        self.count = count
        self.sent = 0

    def due(self, now: float) -> int:
        """How many have to be sent now; they count as sent."""
        wanted = min(self.count, int((now - self._start) * self._per_second) + 1)
        due = max(wanted - self.sent, 0)
        self.sent += due
        return due

    def wait_seconds(self, now: float) -> float:
        """Until the next is due; a second when there is none."""
        if self.sent == self.count:
            return 1.0
        return max(self._start + self.sent / self._per_second - now, 0.0)
