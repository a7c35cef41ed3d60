"""Which remote is next: the table of SRV's rule, then any history of failures and probes against a plain model."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.proxy.tcp.remotes import Remote, Remotes
from dualmode.urls import Url

DELAY_SECONDS = 60.0


def remote(name: str, priority: int = 0, weight: int = 0) -> Remote:
    return Remote(Url("http", name, 2379), priority, weight)


def never(_: int) -> int:
    raise AssertionError("nothing is to be drawn")


def names(remotes: Remotes, picks: int) -> str:
    found = [remotes.pick(never) for _ in range(picks)]
    return "".join(one.url.host if one is not None else "-" for one in found)


A, B, C = remote("a"), remote("b"), remote("c")


def test_without_weights_they_take_turns() -> None:
    assert names(Remotes([A, B, C], DELAY_SECONDS), 7) == "abcabca"


def test_an_inactive_one_is_passed_over_until_it_was_reached() -> None:
    remotes = Remotes([A, B, C], DELAY_SECONDS)
    assert remotes.failed(B, 10.0)
    assert not remotes.failed(B, 11.0), "it was inactive already"
    assert set(names(remotes, 6)) == {"a", "c"}
    assert (remotes.active, remotes.inactive) == ([A, C], [B])
    assert remotes.reached(B)
    assert not remotes.reached(B)
    assert Counter(names(remotes, 6)) == {"a": 2, "b": 2, "c": 2}


def test_none_is_left() -> None:
    remotes = Remotes([A, B], DELAY_SECONDS)
    assert remotes.pick(never, [A, B]) is None
    remotes.failed(A, 0.0)
    assert remotes.pick(never, [B]) is None
    remotes.failed(B, 0.0)
    assert remotes.pick(never) is None
    assert Remotes([], DELAY_SECONDS).pick(never) is None


def test_probes_are_due_after_the_delay() -> None:
    remotes = Remotes([A, B], DELAY_SECONDS)
    assert remotes.next_probe_at is None
    remotes.failed(A, 100.0)
    remotes.failed(B, 130.0)
    assert remotes.next_probe_at == 160.0
    assert remotes.due(159.9) == []
    assert remotes.due(160.0) == [A]
    remotes.failed(A, 160.0)
    assert remotes.next_probe_at == 190.0
    assert remotes.due(1000.0) == [A, B]


def test_an_address_that_was_named_twice_is_one_remote() -> None:
    assert len(Remotes([A, Remote(Url("https", "a", 2379)), B], DELAY_SECONDS)) == 2


@pytest.mark.parametrize(
    ("drawn", "picked"),
    [((0,), "b"), ((2,), "b"), ((3,), "c"), ((9,), "c")],
)
def test_weights_share_the_numbers_below_their_sum(drawn: tuple[int, ...], picked: str) -> None:
    asked: list[int] = []

    def draw(below: int) -> int:
        asked.append(below)
        return drawn[len(asked) - 1]

    remotes = Remotes([remote("b", 1, 3), remote("c", 1, 7), remote("z", 2, 100)], DELAY_SECONDS)
    found = remotes.pick(draw)
    assert found is not None
    assert (found.url.host, asked) == (picked, [10])


def test_a_higher_priority_number_waits_until_the_lower_ones_are_gone() -> None:
    first, second, last = remote("a", 1), remote("b", 1), remote("c", 5)
    remotes = Remotes([last, first, second], DELAY_SECONDS)
    assert names(remotes, 4) == "abab"
    remotes.failed(first, 0.0)
    assert names(remotes, 2) == "bb"
    remotes.failed(second, 0.0)
    assert names(remotes, 2) == "cc"
    remotes.reached(first)
    assert names(remotes, 2) == "aa"


def test_shares_over_many_picks() -> None:
    """Seeded, so that it is the same every time; bounds far outside what another seed would give."""
    draw = random.Random(7).randrange
    remotes = Remotes([remote("a", 0, 1), remote("b", 0, 3), remote("c", 0, 0)], DELAY_SECONDS)
    counted = Counter(one.url.host for one in (remotes.pick(draw) for _ in range(20_000)) if one is not None)
    assert 2.7 < counted["b"] / counted["a"] < 3.3
    assert 100 < counted["c"] < 320


SOME = st.lists(
    st.builds(remote, st.sampled_from("abcdef"), st.integers(0, 2), st.one_of(st.just(0), st.integers(1, 65_535))),
    max_size=6,
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["pick", "failed", "reached", "due"]), st.integers(0, 5), st.integers(0, 90))
)


@given(SOME, STEPS, st.integers())
def test_any_history(given_remotes: list[Remote], steps: list[tuple[str, int, int]], seed: int) -> None:
    draw = random.Random(seed).randrange
    remotes = Remotes(given_remotes, DELAY_SECONDS)
    every = remotes.active
    down: dict[Remote, float] = {}
    now = 0.0
    for step, place, later in steps:
        now += later
        chosen = every[place % len(every)] if every else None
        if step == "pick":
            tried = [chosen] if chosen is not None and later % 2 else []
            left = [one for one in every if one not in down and one not in tried]
            found = remotes.pick(draw, tried)
            assert (found is None) == (not left)
            if found is not None:
                assert found in left
                assert found.priority == min(one.priority for one in left)
        elif step == "due":
            assert set(remotes.due(now)) == {one for one, at in down.items() if at + DELAY_SECONDS <= now}
        elif chosen is not None and step == "failed":
            assert remotes.failed(chosen, now) == (chosen not in down)
            down[chosen] = now
        elif chosen is not None:
            assert remotes.reached(chosen) == (down.pop(chosen, None) is not None)
        assert set(remotes.active) == set(every) - set(down)
        assert remotes.next_probe_at == min((at + DELAY_SECONDS for at in down.values()), default=None)
