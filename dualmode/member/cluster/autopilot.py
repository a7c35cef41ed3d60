"""Decides: which change of members the leader asks for by itself, when it is told to (beyond etcd; off by default).

Two things an operator would do by hand: a learner that has caught up, and has been connected for a while, becomes a
voter; a member that has been dead for long is removed. Removing is only done while it costs no safety: the others must
all be there, so that the majority of the smaller cluster is connected with one to spare, and never below three voters,
since a cluster of two stands no loss at all. One change at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dualmode.peer.member import Member

#: Voters below which nobody is removed.
_FEWEST_VOTERS: Final = 3


@dataclass(frozen=True, slots=True)
class AutopilotRules:
    """What is wanted, in seconds; 0: never."""

    promote_after_seconds: float = 0.0  #: a learner that has been connected and caught up for so long
    remove_after_seconds: float = 0.0  #: a member that has not been connected for so long

    @property
    def is_wanted(self) -> bool:
        return bool(self.promote_after_seconds or self.remove_after_seconds)


@dataclass(frozen=True, slots=True)
class Promotion:
    """Make a voter of this learner."""

    member_id: int


@dataclass(frozen=True, slots=True)
class Removal:
    """Remove this member."""

    member_id: int


class Autopilot:
    """Remembers since when each member has been as it is. `decide` is asked now and then, on the leader; `reset` when
    it begins to lead, since what was before is not known to it."""

    def __init__(self, rules: AutopilotRules) -> None:
        self._rules = rules
        self._ready_since: dict[int, float] = {}
        self._dead_since: dict[int, float] = {}

    def reset(self) -> None:
        """Another reign begins."""
        self._ready_since.clear()
        self._dead_since.clear()

    def decide(
        self,
        own_id: int,
        members: Sequence[Member],
        connected: Mapping[int, bool],
        caught_up: Mapping[int, bool],
        now: float,
    ) -> Promotion | Removal | None:
        """What to ask for now. `connected` and `caught_up` are by member id, of all but this member."""
        others = [one for one in members if one.id != own_id]
        for one in others:
            is_there = connected.get(one.id, False)
            _note(self._dead_since, one.id, not is_there, now)
            _note(self._ready_since, one.id, is_there and one.is_learner and caught_up.get(one.id, False), now)
        for gone in {*self._dead_since, *self._ready_since} - {one.id for one in others}:
            self._dead_since.pop(gone, None)
            self._ready_since.pop(gone, None)
        return self._promotion(others, now) or self._removal(others, now)

    def _promotion(self, others: Sequence[Member], now: float) -> Promotion | None:
        wait = self._rules.promote_after_seconds
        for one in others:
            if wait and one.is_learner and one.name and now - self._ready_since.get(one.id, now) >= wait:
                return Promotion(one.id)
        return None

    def _removal(self, others: Sequence[Member], now: float) -> Removal | None:
        wait = self._rules.remove_after_seconds
        if not wait:
            return None
        dead = [one for one in others if now - self._dead_since.get(one.id, now) >= wait]
        for one in dead:
            if one.is_learner or self._is_safe_without(one, others):
                return Removal(one.id)
        return None

    def _is_safe_without(self, dead: Member, others: Sequence[Member]) -> bool:
        voters = [one for one in others if not one.is_learner and one.id != dead.id]
        is_everybody_there = all(one.id not in self._dead_since for one in voters)
        return is_everybody_there and len(voters) + 1 >= _FEWEST_VOTERS


def _note(since: dict[int, float], member_id: int, holds: bool, now: float) -> None:
    """Since when it holds, without a break."""
    if holds:
        since.setdefault(member_id, now)
    else:
        since.pop(member_id, None)
