"""Decides: whether a change of members may be asked for now (etcd's --strict-reconfig-check).

A voter that is added counts at once and may take long to start, one that is removed may have been holding the quorum
up: so a change is refused that would leave the cluster without a majority of started, connected voters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dualmode import errors, limits
from dualmode.peer.member import Member

#: Since when (the loop's clock) a member is connected; None when it is not.
ConnectedSince = Callable[[int], float | None]


def check_addition(members: Sequence[Member], own_id: int, connected_since: ConnectedSince, now: float) -> None:
    """Of a voter. Raises NOT_ENOUGH_STARTED, UNHEALTHY."""
    voters = [one for one in members if not one.is_learner]
    started = sum(bool(one.name) for one in voters)
    # A member alone could never grow otherwise: the second one cannot have started.
    if not (started == 1 and len(voters) == 1) and started < _majority(len(voters) + 1):
        raise errors.NOT_ENOUGH_STARTED
    if _connected(voters, own_id, connected_since, now) < len(voters):
        raise errors.UNHEALTHY


def check_removal(
    members: Sequence[Member], member_id: int, own_id: int, connected_since: ConnectedSince, now: float
) -> None:
    """Raises NOT_ENOUGH_STARTED, UNHEALTHY."""
    voters = [one for one in members if not one.is_learner]
    if all(one.id != member_id for one in voters):
        return
    others = [one for one in voters if one.id != member_id]
    if not others or sum(bool(one.name) for one in others) < _majority(len(others)):
        raise errors.NOT_ENOUGH_STARTED
    if member_id != own_id and connected_since(member_id) is None:
        return  # one that is down holds nothing up
    if _connected(voters, own_id, connected_since, now) - 1 < _majority(len(others)):
        raise errors.UNHEALTHY


def check_promotion(members: Sequence[Member], member_id: int) -> None:
    """Of a learner, which counts as started. Raises NOT_ENOUGH_STARTED."""
    voters = [one for one in members if not one.is_learner and one.id != member_id]
    if sum(bool(one.name) for one in voters) + 1 < _majority(len(voters) + 1):
        raise errors.NOT_ENOUGH_STARTED


def _majority(count: int) -> int:
    return count // 2 + 1


def _connected(voters: Sequence[Member], own_id: int, connected_since: ConnectedSince, now: float) -> int:
    """How many have been connected for long enough to be called healthy."""
    return sum(
        one.id == own_id
        or ((since := connected_since(one.id)) is not None and now - since >= limits.HEALTHY_AFTER_SECONDS)
        for one in voters
    )
