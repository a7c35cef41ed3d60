"""The lessor against a dictionary of expiry times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.member.lease.lessor import Lessor

MINIMUM, EXTEND = 2, 1.0
IDS = st.integers(1, 5)
NEVER = float("inf")


def outcome_of(action: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or the error it raises."""
    try:
        return action(*arguments)
    except RpcError as error:
        return error


class LessorMachine(RuleBasedStateMachine):
    """The model knows for each lease its TTL, its note of what remains, when it expires, and since when the lessor owes
    (again) to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.lessor = Lessor(MINIMUM)
        self.now = 0.0
        self.is_primary = False
        self.model: dict[int, list[float]] = {}

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(lease_id=IDS, ttl=st.integers(0, 12))
    def grant(self, lease_id: int, ttl: int) -> None:
        outcome = outcome_of(self.lessor.grant, lease_id, ttl, self.now)
        if lease_id in self.model:
            assert outcome == errors.LEASE_EXISTS
            return
        ttl = max(ttl, MINIMUM)
        assert outcome.ttl_seconds == ttl
        expiry = self.now + ttl if self.is_primary else NEVER
        self.model[lease_id] = [ttl, 0, expiry, expiry]

    @rule(lease_id=IDS)
    def revoke(self, lease_id: int) -> None:
        known = self.model.pop(lease_id, None)
        assert outcome_of(self.lessor.revoke, lease_id) == (errors.LEASE_NOT_FOUND if known is None else None)

    @rule(lease_id=IDS)
    def renew(self, lease_id: int) -> None:
        outcome = outcome_of(self.lessor.renew, lease_id, self.now)
        lease = self.model.get(lease_id)
        if not self.is_primary:
            assert outcome == errors.NOT_LEADER
        elif lease is None:
            assert outcome == errors.LEASE_NOT_FOUND
        elif self.now >= lease[2]:
            assert outcome == 0
        else:
            assert outcome == lease[0]
            lease[2] = lease[3] = self.now + lease[0]

    @rule(lease_id=IDS, remaining=st.integers(0, 5))
    def checkpoint(self, lease_id: int, remaining: int) -> None:
        lease = self.lessor.checkpoint(lease_id, remaining, self.now)
        assert (lease is not None) == (lease_id in self.model)
        if lease is not None:
            self.model[lease_id][1] = remaining

    @rule()
    def promote(self) -> None:
        self.is_primary = True
        self.lessor.promote(self.now, EXTEND)
        for lease in self.model.values():
            lease[2] = lease[3] = self.now + EXTEND + (lease[1] or lease[0])

    @rule()
    def demote(self) -> None:
        self.is_primary = False
        self.lessor.demote()
        for lease in self.model.values():
            lease[2] = lease[3] = NEVER

    @rule(step=st.integers(1, 3))
    def look(self, step: int) -> None:
        while not self.lessor.enqueue(step, self.now):
            pass
        found: list[int] = []
        while self.lessor.has_expired(self.now):
            found += self.lessor.expired(self.now, step)
        due = {lease_id for lease_id, lease in self.model.items() if lease[3] <= self.now}
        assert sorted(found) == sorted(due)
        for lease_id in due:
            self.model[lease_id][3] = self.now + limits.LEASE_REVOKE_RETRY_SECONDS

    @rule()
    def list_all(self) -> None:
        expiries = {lease.lease_id: self.lessor.expiry(lease) for lease in self.lessor.by_expiry()}
        assert expiries == {lease_id: lease[2] for lease_id, lease in self.model.items()}
        assert list(expiries.values()) == sorted(expiries.values())
        assert len(self.lessor) == len(self.model)


TestLessor = LessorMachine.TestCase
TestLessor.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
