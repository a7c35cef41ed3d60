"""What the autopilot asks for, and what it leaves alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.member.cluster.autopilot import Autopilot, AutopilotRules, Promotion, Removal
from dualmode.peer.member import Member

RULES = AutopilotRules(promote_after_seconds=10.0, remove_after_seconds=100.0)


def members(kinds: str) -> list[Member]:
    """One for each letter: V a voter, L a learner, n a learner that has not started."""
    return [
        Member(number, (f"http://{number}:2380",), "" if kind == "n" else "x", is_learner=kind in "Ln")
        for number, kind in enumerate(kinds, 1)
    ]


def run(
    pilot: Autopilot,
    kinds: str,
    dead: set[int],
    seconds: list[float],
    lagging: set[int] = frozenset(),  # type: ignore[assignment]
) -> list[Promotion | Removal | None]:
    listed = members(kinds)
    connected = {one.id: one.id not in dead for one in listed}
    caught_up = {one.id: one.id not in lagging for one in listed}
    return [pilot.decide(1, listed, connected, caught_up, now) for now in seconds]


def test_a_learner_is_promoted_once_it_has_been_ready_for_long_enough() -> None:
    assert run(Autopilot(RULES), "VVVL", set(), [0.0, 9.0, 10.0]) == [None, None, Promotion(4)]


@pytest.mark.parametrize(
    ("kinds", "dead", "lagging"), [("VVVL", {4}, set()), ("VVVL", set(), {4}), ("VVVn", set(), set())]
)
def test_a_learner_that_is_not_ready_waits(kinds: str, dead: set[int], lagging: set[int]) -> None:
    assert run(Autopilot(RULES), kinds, dead, [0.0, 50.0], lagging) == [None, None]


def test_a_break_begins_the_wait_anew() -> None:
    pilot = Autopilot(RULES)
    run(pilot, "VVVL", set(), [0.0, 9.0])
    run(pilot, "VVVL", {4}, [9.5])
    assert run(pilot, "VVVL", set(), [10.0, 19.0, 20.0]) == [None, None, Promotion(4)]


def test_a_dead_voter_is_removed_while_the_others_are_all_there() -> None:
    assert run(Autopilot(RULES), "VVVV", {4}, [0.0, 99.0, 100.0]) == [None, None, Removal(4)]


@pytest.mark.parametrize(("kinds", "dead"), [("VVV", {3}), ("VV", {2}), ("VVVVV", {4, 5}), ("VVVV", {2, 3})])
def test_a_dead_voter_stays_while_removing_it_costs_safety(kinds: str, dead: set[int]) -> None:
    assert run(Autopilot(RULES), kinds, dead, [0.0, 1000.0]) == [None, None]


def test_a_dead_learner_holds_nothing_up() -> None:
    assert run(Autopilot(RULES), "VVL", {3}, [0.0, 100.0]) == [None, Removal(3)]


def test_another_reign_knows_nothing_of_before() -> None:
    pilot = Autopilot(RULES)
    run(pilot, "VVVV", {4}, [0.0])
    pilot.reset()
    assert run(pilot, "VVVV", {4}, [100.0, 199.0, 200.0]) == [None, None, Removal(4)]


def test_nothing_is_done_unless_it_is_wanted() -> None:
    assert not AutopilotRules().is_wanted
    assert run(Autopilot(AutopilotRules()), "VVVVL", {4}, [0.0, 1e9]) == [None, None]


@given(st.integers(1, 7), st.sets(st.integers(1, 7)))
def test_who_is_left_after_a_removal_stands_the_loss_of_one(count: int, dead: set[int]) -> None:
    dead = {one for one in dead if 1 < one <= count}
    [_, decided] = run(Autopilot(RULES), "V" * count, dead, [0.0, 100.0])
    if decided is not None:
        assert isinstance(decided, Removal)
        left = count - 1
        alive = left - len(dead - {decided.member_id})
        assert alive - 1 >= left // 2 + 1
