"""Decides: which leases there are and when each expires; time is an argument.

Every member knows every lease, but only the leader (the "primary" lessor, in etcd's word) counts time: a lease that
its own clock says is over it proposes to revoke, and revoking is what ends it everywhere. A new leader does not know
when the leases were last kept alive, so each starts again with its full time to live (or with what a checkpoint says
remained), and an election timeout on top.

Nothing here costs more than O(log n) at a time, an election included. `promote` and `demote` only turn a page: a lease
carries the number of the reign its times were counted in, and one of an older reign expires at `promotion + time to
live`. The heap of expiries is filled in bounded steps (`enqueue`) by the task that asks for what has expired.

A heap entry is not moved when its lease is kept alive: when its time comes it is found to be early and put back with
the right time. So a keep-alive is one assignment, and every lease has one live entry.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from dualmode import errors, limits

#: Heard once: True when the lease has been revoked, False when this member ceased to be primary first.
Outcome = Callable[[bool], None]

_NEVER: Final = math.inf


def minimum_ttl_seconds(election_timeout_seconds: float) -> int:
    """The shortest time to live a lease may have: one and a half election timeouts, so that it outlives a change of
    leader (etcd `NewServer`: 3 * election ticks / 2 * heartbeat, rounded up)."""
    return math.ceil(1.5 * election_timeout_seconds)


class StoredLease(Protocol):
    """What a restart finds of a lease (`storage.leases.LeaseRow`)."""

    @property
    def lease_id(self) -> int: ...

    @property
    def ttl_seconds(self) -> int: ...

    @property
    def remaining_seconds(self) -> int:
        """0 when there was no checkpoint."""


class Lease:
    """One lease. Durations are in seconds, points in time on the clock of whoever calls the lessor."""

    __slots__ = ("expiry", "lease_id", "queued_for", "queued_in_reign", "reign", "remaining_seconds", "ttl_seconds")

    def __init__(self, lease_id: int, ttl_seconds: int, remaining_seconds: int = 0) -> None:
        self.lease_id = lease_id
        #: What was granted.
        self.ttl_seconds = ttl_seconds
        #: What the last checkpoint said was left; 0 when there is none.
        self.remaining_seconds = remaining_seconds
        #: When it expires; holds in `reign` only.
        self.expiry = _NEVER
        self.reign = 0
        #: Time of its live entry in the heap of expiries, which is the heap of `queued_in_reign`.
        self.queued_for = _NEVER
        self.queued_in_reign = 0

    @property
    def span_seconds(self) -> int:
        """How long it lives when it begins to count now."""
        return self.remaining_seconds or self.ttl_seconds


class Lessor:
    """All leases. Changed by apply (grant, revoke, checkpoint) and, on the leader, by keep-alives."""

    def __init__(self, minimum_ttl_seconds: int, checkpoint_interval_seconds: float | None = None) -> None:
        """`checkpoint_interval_seconds` is None when the leader proposes no checkpoints."""
        self._minimum_ttl_seconds = minimum_ttl_seconds
        self._checkpoint_interval_seconds = checkpoint_interval_seconds
        self._leases: dict[int, Lease] = {}
        self._reign = 0
        self._promoted_until = _NEVER
        #: (time, lease id), all of this reign; live if the lease says that it is queued for this time.
        self._expiries: list[tuple[float, int]] = []
        self._dead_expiries = 0
        self._checkpoints: list[tuple[float, int]] = []
        #: Leases that the last promotion found and that are not yet in the heaps.
        self._unqueued: Iterator[int] = iter(())
        self._waiting: dict[int, list[Outcome]] = {}
        self.is_primary = False
        # Counters for the metrics.
        self.granted = self.revoked = self.renewed = self.expired_total = 0

    # --- Everybody ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._leases)

    def has(self, lease_id: int) -> bool:
        """Whether a lease exists."""
        return lease_id in self._leases

    def get(self, lease_id: int) -> Lease | None:
        """The lease of an id."""
        return self._leases.get(lease_id)

    def load(self, stored: Iterable[StoredLease]) -> None:
        """Replaces everything by what the store has; TTLs are raised to this member's minimum. The lessor is not
        primary afterwards."""
        self.demote()
        minimum = self._minimum_ttl_seconds
        self._leases = {
            one.lease_id: Lease(one.lease_id, max(one.ttl_seconds, minimum), one.remaining_seconds) for one in stored
        }

    def grant(self, lease_id: int, ttl_seconds: int, now: float) -> Lease:
        """Makes a lease; a TTL below the minimum is raised to it.

        Raises LEASE_NOT_FOUND for id 0, LEASE_TTL_TOO_LARGE, LEASE_EXISTS.
        """
        if lease_id == 0:
            raise errors.LEASE_NOT_FOUND
        if ttl_seconds > limits.MAX_LEASE_TTL_SECONDS:
            raise errors.LEASE_TTL_TOO_LARGE
        if lease_id in self._leases:
            raise errors.LEASE_EXISTS
        lease = Lease(lease_id, max(ttl_seconds, self._minimum_ttl_seconds))
        self._leases[lease_id] = lease
        self.granted += 1
        if self.is_primary:
            lease.reign = self._reign
            lease.expiry = now + lease.ttl_seconds
            self._queue(lease, lease.expiry)
            self._schedule_checkpoint(lease, now)
        return lease

    def revoke(self, lease_id: int) -> None:
        """Forgets a lease; whoever waits for its end hears of it. Raises LEASE_NOT_FOUND."""
        lease = self._leases.pop(lease_id, None)
        if lease is None:
            raise errors.LEASE_NOT_FOUND
        self.revoked += 1
        if self.is_primary and lease.queued_in_reign == self._reign:
            self._dead_expiries += 1
            self._drop_dead_expiries()
        for outcome in self._waiting.pop(lease_id, ()):
            outcome(True)

    def checkpoint(self, lease_id: int, remaining_seconds: int, now: float) -> Lease | None:
        """Notes what remains of a lease, where 0 takes the note away; gives None when there is no such lease."""
        lease = self._leases.get(lease_id)
        if lease is None:
            return None
        expiry = self.expiry(lease)
        lease.remaining_seconds = remaining_seconds
        if self.is_primary:
            # A lease still counted from the promotion would otherwise move with its own checkpoint.
            lease.expiry, lease.reign = expiry, self._reign
            self._schedule_checkpoint(lease, now)
        return lease

    def by_expiry(self) -> list[Lease]:
        """All leases, those that expire first in front."""
        return sorted(self._leases.values(), key=self.expiry)

    def expiry(self, lease: Lease) -> float:
        """When a lease expires unless it is kept alive: never, while this member is not primary."""
        if not self.is_primary:
            return _NEVER
        if lease.reign != self._reign:
            return self._promoted_until + lease.span_seconds
        return lease.expiry

    # --- The primary -------------------------------------------------------------------------------------------

    def promote(self, now: float, extend_seconds: float) -> None:
        """This member leads now: every lease begins to count again, `extend_seconds` (an election timeout) longer."""
        self.demote()
        self.is_primary = True
        self._reign += 1
        self._promoted_until = now + extend_seconds
        self._unqueued = iter(list(self._leases))

    def demote(self) -> None:
        """This member leads no more: nothing expires here."""
        self.is_primary = False
        self._promoted_until = _NEVER
        self._expiries, self._checkpoints, self._dead_expiries = [], [], 0
        self._unqueued = iter(())
        waiting, self._waiting = self._waiting, {}
        for outcomes in waiting.values():
            for outcome in outcomes:
                outcome(False)

    def renew(self, lease_id: int, now: float) -> int:
        """Keeps a lease alive; gives its TTL, or 0 when it has expired and only waits to be revoked: then it cannot be
        saved any more (see `when_ended`). Raises LEASE_NOT_FOUND, or NOT_LEADER when this member is not primary."""
        if not self.is_primary:
            raise errors.NOT_LEADER
        lease = self._leases.get(lease_id)
        if lease is None:
            raise errors.LEASE_NOT_FOUND
        if now >= self.expiry(lease):
            return 0
        ttl = lease.ttl_seconds
        lease.expiry = now + ttl
        lease.reign = self._reign
        self.renewed += 1
        return ttl

    def renew_at_once(self, lease_id: int, now: float) -> int:
        """The same, for a primary, where it takes nothing else: 0 for a lease that is not there, has expired, has a
        checkpoint to be cleared, or still counts from the promotion."""
        lease = self._leases.get(lease_id)
        if lease is None or lease.reign != self._reign or lease.remaining_seconds or now >= lease.expiry:
            return 0
        ttl = lease.ttl_seconds
        lease.expiry = now + ttl
        self.renewed += 1
        return ttl

    def remaining_seconds(self, lease: Lease, now: float) -> int:
        """Whole seconds until a lease expires, for a primary; below 0 when it is long overdue."""
        return math.trunc(self.expiry(lease) - now)

    def when_ended(self, lease_id: int, outcome: Outcome) -> None:
        """Calls back once: True when this expired lease has been revoked (at once, if it has), False if another
        leader has to decide about it."""
        if lease_id not in self._leases or not self.is_primary:
            outcome(lease_id not in self._leases)
        else:
            self._waiting.setdefault(lease_id, []).append(outcome)

    def enqueue(self, count: int, now: float) -> bool:
        """After a promotion, puts up to `count` leases into the heaps; True when all are in them.

        None comes late: they live for the shortest time to live at least.
        """
        for _ in range(count):
            lease_id = next(self._unqueued, None)
            if lease_id is None:
                return True
            lease = self._leases.get(lease_id)
            if lease is not None and lease.queued_in_reign != self._reign:
                self._queue(lease, self.expiry(lease))
                self._schedule_checkpoint(lease, now)
        return False

    def expired(self, now: float, count: int) -> list[int]:
        """Leases to revoke now. Looks at `count` heap entries at most, so there may be more (`has_expired`).

        Each is given again after a while, until it has been revoked: the proposal may get lost.
        """
        found: list[int] = []
        heap = self._expiries
        while count and heap and heap[0][0] <= now:
            count -= 1
            time, lease_id = heapq.heappop(heap)
            lease = self._leases.get(lease_id)
            if lease is None or lease.queued_for != time:
                self._dead_expiries -= 1
                continue
            expiry = self.expiry(lease)
            if expiry > now:
                self._queue(lease, expiry)
            else:
                found.append(lease_id)
                self._queue(lease, now + limits.LEASE_REVOKE_RETRY_SECONDS)
        self.expired_total += len(found)
        return found

    def has_expired(self, now: float) -> bool:
        """Whether `expired` has something to look at."""
        return bool(self._expiries) and self._expiries[0][0] <= now

    def due_checkpoints(self, now: float, count: int) -> list[tuple[int, int]]:
        """(lease id, whole seconds that remain) of leases whose checkpoint is due, `count` at most."""
        found: list[tuple[int, int]] = []
        heap = self._checkpoints
        while len(found) < count and heap and heap[0][0] <= now:
            lease = self._leases.get(heapq.heappop(heap)[1])
            if lease is None:
                continue
            remaining = math.ceil(self.expiry(lease) - now)
            if remaining >= lease.ttl_seconds:
                self._schedule_checkpoint(lease, now)
            elif remaining > 0:
                found.append((lease.lease_id, remaining))
        return found

    # --- Heaps -------------------------------------------------------------------------------------------------

    def _queue(self, lease: Lease, time: float) -> None:
        lease.queued_for, lease.queued_in_reign = time, self._reign
        heapq.heappush(self._expiries, (time, lease.lease_id))

    def _drop_dead_expiries(self) -> None:
        """Leases with a long time to live that are granted and revoked at once would pile up otherwise."""
        if self._dead_expiries <= len(self._leases) + limits.LEASE_DEAD_ENTRIES:
            return
        reign = self._reign
        live = (lease for lease in self._leases.values() if lease.queued_in_reign == reign)
        self._expiries = [(lease.queued_for, lease.lease_id) for lease in live]
        heapq.heapify(self._expiries)
        self._dead_expiries = 0

    def _schedule_checkpoint(self, lease: Lease, now: float) -> None:
        interval = self._checkpoint_interval_seconds
        if interval is not None and lease.span_seconds > interval:
            heapq.heappush(self._checkpoints, (now + interval, lease.lease_id))
