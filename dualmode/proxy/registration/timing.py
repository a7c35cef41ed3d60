"""Decides: when a lease is renewed, when it counts as lost, and when to try again after a failure."""

from __future__ import annotations

from dualmode import limits


class LeaseLife:
    """One lease as who holds it sees it. Times are seconds of one clock."""

    def __init__(self, ttl_seconds: float, now: float) -> None:
        self._ttl_seconds = ttl_seconds
        self._ends_at = now + ttl_seconds
        self._is_refused = False

    def answered(self, ttl_seconds: float, now: float) -> None:
        """A renewal was answered with what is left of the lease; 0 says that there is none any more. `now` is when it
        was asked for: the member has counted from no earlier."""
        self._is_refused = ttl_seconds <= 0
        if not self._is_refused:
            self._ttl_seconds = ttl_seconds
            self._ends_at = now + ttl_seconds

    def is_lost(self, now: float) -> bool:
        """Whether the member has said so, or must have let it expire by now."""
        return self._is_refused or now >= self._ends_at

    def pause_seconds(self, was_answered: bool) -> float:
        """Until the next renewal: a third of the life, as etcd's client has it; sooner behind one that failed."""
        regular = self._ttl_seconds / 3
        return regular if was_answered else min(regular, limits.PROXY_REGISTER_PAUSE_SECONDS)


def pause_seconds(failures: int, chance: float) -> float:
    """Behind so many failures in a row: twice as long every time, up to a bound, and between half and all of that, by
    `chance` (0 to 1), so that a fleet of proxies does not come all at once."""
    longest = limits.PROXY_REGISTER_PAUSE_LONGEST_SECONDS
    doubled: float = min(limits.PROXY_REGISTER_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16), longest)
    return doubled * (0.5 + chance / 2)
