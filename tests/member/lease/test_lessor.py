"""The lessor, case by case, on a simulated clock."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.member.lease.lessor import Lessor, minimum_ttl_seconds


@dataclass(frozen=True)
class Row:
    lease_id: int
    ttl_seconds: int
    remaining_seconds: int = 0


def primary(checkpoint_interval_seconds: float | None = None) -> Lessor:
    lessor = Lessor(2, checkpoint_interval_seconds)
    lessor.promote(0.0, 0.0)
    return lessor


def refusal(action: object, *arguments: object) -> RpcError:
    with pytest.raises(RpcError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(("election_seconds", "minimum"), [(1.0, 2), (0.1, 1), (2.0, 3), (5.0, 8), (50.0, 75)])
def test_the_minimum_outlives_an_election(election_seconds: float, minimum: int) -> None:
    assert minimum_ttl_seconds(election_seconds) == minimum


@pytest.mark.parametrize(
    ("asked", "granted"), [(-5, 2), (0, 2), (1, 2), (2, 2), (3, 3), (9_000_000_000, 9_000_000_000)]
)
def test_a_ttl_below_the_minimum_is_raised(asked: int, granted: int) -> None:
    lease = primary().grant(1, asked, 0.0)
    assert lease.ttl_seconds == granted


def test_refused_grants_change_nothing() -> None:
    lessor = primary()
    lessor.grant(1, 10, 0.0)
    assert refusal(lessor.grant, 0, 10, 0.0) == errors.LEASE_NOT_FOUND
    assert refusal(lessor.grant, 1, 10, 0.0) == errors.LEASE_EXISTS
    assert refusal(lessor.grant, 2, 9_000_000_001, 0.0) == errors.LEASE_TTL_TOO_LARGE
    assert refusal(lessor.grant, 1, 9_000_000_001, 0.0) == errors.LEASE_TTL_TOO_LARGE
    assert (len(lessor), lessor.granted) == (1, 1)
    assert lessor.get(2) is None


def test_a_negative_id_is_an_id() -> None:
    lessor = primary()
    lessor.grant(-1, 10, 0.0)
    assert lessor.has(-1)


def test_a_lease_expires_once_and_is_asked_for_again_until_it_is_revoked() -> None:
    lessor = primary()
    lessor.grant(7, 10, 5.0)
    assert lessor.expired(14.9, 10) == []
    assert not lessor.has_expired(14.9)
    assert lessor.has_expired(15.0)
    assert lessor.expired(15.0, 10) == [7]
    assert lessor.expired(17.9, 10) == []
    assert lessor.expired(15.0 + limits.LEASE_REVOKE_RETRY_SECONDS, 10) == [7]
    lessor.revoke(7)
    assert lessor.expired(99.0, 10) == []
    assert refusal(lessor.revoke, 7) == errors.LEASE_NOT_FOUND


def test_keeping_alive_moves_the_expiry() -> None:
    lessor = primary()
    lease = lessor.grant(7, 10, 0.0)
    assert lessor.renew(7, 9.0) == 10
    assert lessor.remaining_seconds(lease, 9.5) == 9
    assert lessor.expired(18.9, 10) == []
    assert lessor.expired(19.0, 10) == [7]


def test_what_cannot_be_kept_alive() -> None:
    lessor = primary()
    lessor.grant(7, 10, 0.0)
    assert refusal(lessor.renew, 8, 0.0) == errors.LEASE_NOT_FOUND
    assert lessor.renew(7, 10.0) == 0, "it has expired, even if nobody has looked yet"
    assert lessor.expired(10.0, 10) == [7]
    assert lessor.renew(7, 11.0) == 0
    lessor.demote()
    assert refusal(lessor.renew, 7, 0.0) == errors.NOT_LEADER


def test_whoever_waits_for_the_end_hears_of_it() -> None:
    lessor = primary()
    lessor.grant(7, 10, 0.0)
    lessor.grant(8, 10, 0.0)
    heard: list[tuple[str, bool]] = []
    for name, lease_id in (("a", 7), ("b", 7), ("c", 8), ("gone", 99)):
        lessor.when_ended(lease_id, lambda was_revoked, name=name: heard.append((name, was_revoked)))  # type: ignore[misc]
    assert heard == [("gone", True)]
    lessor.revoke(7)
    assert heard[1:] == [("a", True), ("b", True)]
    lessor.demote()
    assert heard[3:] == [("c", False)]
    lessor.when_ended(8, lambda was_revoked: heard.append(("d", was_revoked)))
    assert heard[4:] == [("d", False)]


def test_only_the_primary_counts_time() -> None:
    lessor = Lessor(2)
    lease = lessor.grant(1, 10, 0.0)
    assert lessor.expired(1e9, 10) == []
    assert lessor.expiry(lease) == float("inf")
    lessor.promote(100.0, 1.0)
    assert lessor.enqueue(10, 100.0)
    assert lessor.remaining_seconds(lease, 100.0) == 11
    assert lessor.expired(110.9, 10) == []
    assert lessor.expired(111.0, 10) == [1]


def test_an_election_starts_every_lease_anew() -> None:
    lessor = primary()
    lessor.grant(1, 10, 0.0)
    lessor.grant(2, 20, 0.0)
    lessor.renew(1, 5.0)
    lessor.promote(8.0, 1.0)
    assert [lessor.expiry(lease) for lease in lessor.by_expiry()] == [19.0, 29.0]
    assert lessor.renew(1, 9.0) == 10
    assert lessor.enqueue(10, 9.0)
    assert lessor.expired(18.9, 10) == []
    assert lessor.expired(19.0, 10) == [1]
    assert lessor.expired(29.0, 10) == [1, 2]


def test_a_lease_that_expired_under_an_older_reign_lives_again() -> None:
    lessor = primary()
    lessor.grant(1, 10, 0.0)
    assert lessor.expired(10.0, 10) == [1]
    lessor.promote(11.0, 1.0)
    assert lessor.renew(1, 12.0) == 10
    assert lessor.enqueue(10, 12.0)
    assert lessor.expired(14.0, 10) == []


def test_an_election_with_many_leases_fills_the_heap_in_steps() -> None:
    lessor = Lessor(2)
    lessor.load(Row(number, 10) for number in range(1, 26))
    lessor.promote(0.0, 0.0)
    assert [lessor.enqueue(10, 0.0) for _ in range(4)] == [False, False, True, True]
    lessor.revoke(3)
    assert len(lessor.expired(10.0, 100)) == 24


def test_a_round_is_bounded() -> None:
    lessor = primary()
    for number in range(1, 1001):
        lessor.grant(number, 10, 0.0)
    rounds = []
    while lessor.has_expired(10.0):
        rounds.append(len(lessor.expired(10.0, 300)))
    assert rounds == [300, 300, 300, 100]
    assert lessor.expired_total == 1000


def test_what_a_restart_finds() -> None:
    lessor = Lessor(5)
    lessor.load([Row(1, 10), Row(2, 100, 30), Row(3, 1)])
    lessor.promote(0.0, 1.0)
    assert [(lease.lease_id, lessor.expiry(lease)) for lease in lessor.by_expiry()] == [(3, 6.0), (1, 11.0), (2, 31.0)]
    assert lessor.renew(2, 1.0) == 100


def test_granting_and_revoking_without_end_leaves_no_heap_behind() -> None:
    lessor = primary()
    lessor.grant(1, 10, 0.0)
    for number in range(2, 10 * limits.LEASE_DEAD_ENTRIES):
        lessor.grant(number, 9_000_000_000, 0.0)
        lessor.revoke(number)
    assert len(lessor._expiries) <= limits.LEASE_DEAD_ENTRIES + 3
    assert lessor.expired(10.0, 10) == [1]


def test_a_lease_granted_again_under_its_old_id_has_its_own_time() -> None:
    lessor = primary()
    lessor.grant(1, 10, 0.0)
    lessor.revoke(1)
    lessor.grant(1, 20, 1.0)
    assert lessor.expired(10.0, 10) == []
    assert lessor._dead_expiries == 0, "the old entry has been met"
    assert lessor.expired(21.0, 10) == [1]


def test_a_lease_granted_again_right_after_an_election_is_queued_once() -> None:
    lessor = Lessor(2)
    lessor.grant(1, 10, 0.0)
    lessor.promote(0.0, 0.0)
    lessor.revoke(1)
    lessor.grant(1, 10, 0.0)
    assert lessor.enqueue(10, 0.0)
    assert len(lessor._expiries) == 1


def test_checkpoints() -> None:
    lessor = primary(300.0)
    short, long = lessor.grant(1, 300, 0.0), lessor.grant(2, 1000, 0.0)
    lessor.grant(3, 1000, 0.0)
    assert lessor.due_checkpoints(299.0, 10) == []
    lessor.renew(3, 300.0)
    assert lessor.due_checkpoints(300.0, 10) == [(2, 700)], "not the short one, nor the one just kept alive"
    assert lessor.checkpoint(2, 700, 300.5) is long
    assert lessor.expiry(long) == 1000.0, "a checkpoint changes nothing for the present leader"
    assert lessor.due_checkpoints(600.5, 10) == [(3, 700), (2, 400)]
    lessor.promote(700.0, 1.0)
    assert lessor.expiry(long) == 1401.0
    assert lessor.expiry(short) == 1001.0
    lessor.checkpoint(2, 0, 701.0)
    assert lessor.expiry(long) == 1401.0
    lessor.promote(702.0, 0.0)
    assert lessor.expiry(long) == 1702.0
    assert lessor.checkpoint(99, 5, 0.0) is None


def test_checkpoints_are_given_in_bounded_batches() -> None:
    lessor = primary(300.0)
    for number in range(1, 6):
        lessor.grant(number, 1000, 0.0)
    lessor.revoke(2)
    assert [len(lessor.due_checkpoints(300.0, 3)) for _ in range(3)] == [3, 1, 0]
