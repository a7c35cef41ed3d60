"""Decides: when the watchers of a stream that ask for it are told how far they are (`progress_notify`)."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from dualmode.member.watch.watcher import WatchStream


class ProgressTimes:
    """Streams by the time of their next progress notification.

    `interval_seconds()` gives the time between two: the configured interval and a little chance (etcd: up to a tenth),
    so that streams opened together do not stay together.
    """

    __slots__ = ("_count", "_due", "_interval_seconds")

    def __init__(self, interval_seconds: Callable[[], float]) -> None:
        self._interval_seconds = interval_seconds
        #: (time, tie-breaker, stream)
        self._due: list[tuple[float, int, WatchStream]] = []
        self._count = 0

    def start(self, stream: WatchStream, now: float) -> None:
        """A watcher of the stream wants progress; the first one starts the stream's clock."""
        if not stream.progress_due:
            self._push(stream, now)

    def due(self, now: float) -> list[WatchStream]:
        """The streams whose time has come; each is due again an interval later."""
        found = []
        while self._due and self._due[0][0] <= now:
            stream = heapq.heappop(self._due)[2]
            if not stream.is_closed:
                found.append(stream)
                self._push(stream, now)
        return found

    def _push(self, stream: WatchStream, now: float) -> None:
        stream.progress_due = now + self._interval_seconds()
        self._count += 1
        heapq.heappush(self._due, (stream.progress_due, self._count, stream))
