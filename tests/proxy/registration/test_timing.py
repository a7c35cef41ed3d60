"""When a lease is renewed and lost, and how long tries are apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.proxy.registration.timing import LeaseLife, pause_seconds


def test_a_lease_lives_from_one_answer_to_the_next() -> None:
    life = LeaseLife(9, 100.0)
    assert life.pause_seconds(True) == 3
    assert not life.is_lost(108.9)
    assert life.is_lost(109.0)
    life.answered(9, 103.0)
    assert not life.is_lost(111.9)
    assert life.is_lost(112.0)


def test_a_lease_that_the_member_does_not_know_is_lost_at_once() -> None:
    life = LeaseLife(9, 100.0)
    life.answered(0, 101.0)
    assert life.is_lost(101.0)


def test_a_renewal_that_failed_is_tried_again_sooner() -> None:
    assert LeaseLife(60, 0.0).pause_seconds(False) == limits.PROXY_REGISTER_PAUSE_SECONDS
    assert LeaseLife(1, 0.0).pause_seconds(False) == pytest.approx(1 / 3)


def test_pauses_grow_to_a_bound() -> None:
    first, longest = limits.PROXY_REGISTER_PAUSE_SECONDS, limits.PROXY_REGISTER_PAUSE_LONGEST_SECONDS
    assert [pause_seconds(failures, 1.0) for failures in (1, 2, 3)] == [first, 2 * first, 4 * first]
    assert pause_seconds(10_000, 1.0) == longest


@given(st.integers(1, 1_000_000), st.floats(0, 1))
def test_a_pause_is_never_none_and_never_endless(failures: int, chance: float) -> None:
    pause = pause_seconds(failures, chance)
    assert limits.PROXY_REGISTER_PAUSE_SECONDS / 2 <= pause <= limits.PROXY_REGISTER_PAUSE_LONGEST_SECONDS
