"""Decides: when history is compacted by itself, and up to which revision (`--auto-compaction-mode`, `-retention`).

Two plans, as in etcd. By age: the revision is sampled ten times within the retention (or within an hour, if that is
shorter), and what is older than the retention goes; the first time when the server has run for as long as that, from
then on every hour at most. By count: every five minutes all but the newest so many revisions go.

Whoever drives a plan calls `sample`, waits `interval_seconds`, then asks `due`; and tells it of success by `done`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from dualmode.config.durations import SECOND, format_duration

_HOUR_SECONDS: Final = 3600.0
_SAMPLES: Final = 10
_COUNT_INTERVAL_SECONDS: Final = 300.0


class Plan(Protocol):
    """When to compact, and what."""

    name: str  #: as the log has it
    interval_seconds: float  #: between two questions

    def sample(self, revision: int) -> None:
        """The revision of the store now: at the beginning of an interval."""

    def due(self, now: float, revision: int) -> int | None:
        """At the end of an interval, on the leader: what to compact at, if anything."""

    def done(self, now: float, compacted: int) -> None:
        """It was compacted, by us or by somebody else."""

    def log_fields(self) -> dict[str, str | int]:
        """What is configured, under etcd's names."""


class PeriodicPlan:
    """By age. `now` is any clock in seconds; the plan begins at `started`."""

    name = "periodic"

    def __init__(self, period_seconds: float, started: float) -> None:
        self._period_seconds = period_seconds
        #: After the first compaction, so often.
        self._repeat_seconds = min(period_seconds, _HOUR_SECONDS)
        self.interval_seconds = self._repeat_seconds / _SAMPLES
        #: The oldest is the revision of one period ago. Whole intervals count; a little is added for what floats lose.
        intervals = int(period_seconds / self.interval_seconds + 1e-6)
        self._revisions: deque[int] = deque(maxlen=intervals + 1)
        self._wait_seconds = period_seconds
        self._last_success = started
        self._last_compacted = 0

    def sample(self, revision: int) -> None:
        """See Plan."""
        self._revisions.append(revision)

    def due(self, now: float, revision: int) -> int | None:
        """See Plan."""
        oldest = self._revisions[0]
        if now - self._last_success < self._wait_seconds or oldest == self._last_compacted:
            return None
        self._wait_seconds = self._repeat_seconds
        return oldest

    def done(self, now: float, compacted: int) -> None:
        """See Plan."""
        self._last_success = now
        self._last_compacted = compacted

    def log_fields(self) -> dict[str, str | int]:
        """See Plan."""
        return {"compact-period": format_duration(round(self._period_seconds * SECOND))}


class RevisionPlan:
    """By count: the newest `retention` revisions stay."""

    name = "revision"
    interval_seconds = _COUNT_INTERVAL_SECONDS

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self._last_compacted = 0

    def sample(self, revision: int) -> None:
        """It needs no past."""

    def due(self, now: float, revision: int) -> int | None:
        """See Plan."""
        target = revision - self._retention
        return None if target <= 0 or target == self._last_compacted else target

    def done(self, now: float, compacted: int) -> None:
        """See Plan."""
        self._last_compacted = compacted

    def log_fields(self) -> dict[str, str | int]:
        """See Plan."""
        return {"revision-compaction-retention": self._retention}


def make_plan(mode: str, retention_seconds: float, retention_revisions: int, started: float) -> Plan | None:
    """What the options say; None when nothing is to be compacted by itself."""
    if mode == "revision":
        return RevisionPlan(retention_revisions) if retention_revisions else None
    return PeriodicPlan(retention_seconds, started) if retention_seconds else None
