"""Simple tokens on a clock of the test's."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dualmode import limits
from dualmode.member.auth.caller import Caller
from dualmode.member.auth.simple_tokens import SimpleTokens

TTL_SECONDS = 300


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> SimpleTokens:
    return SimpleTokens(TTL_SECONDS, clock)


def test_a_token_stands_for_its_user_at_the_present_revision(tokens: SimpleTokens) -> None:
    text = tokens.assign("alice", 4, "WdvSZveONXJmxpnI", 30)
    assert text == "WdvSZveONXJmxpnI.30"
    assert tokens.caller_of(text, 4) == Caller("alice", 4)
    assert tokens.caller_of(text, 9) == Caller("alice", 9)


@pytest.mark.parametrize(
    "text", ["", ".", "WdvSZveONXJmxpnI", "WdvSZveONXJmxpnI.31", "WdvSZveONXJmxpnI.30 ", "\udcff.1"]
)
def test_anything_else_is_no_token(tokens: SimpleTokens, text: str) -> None:
    tokens.assign("alice", 4, "WdvSZveONXJmxpnI", 30)
    assert tokens.caller_of(text, 4) is None


def test_use_prolongs_its_life(tokens: SimpleTokens, clock: Clock) -> None:
    text = tokens.assign("alice", 4, "a", 1)
    for _ in range(3):
        clock.seconds += TTL_SECONDS - 1
        assert tokens.caller_of(text, 4) is not None
    clock.seconds += TTL_SECONDS
    assert tokens.caller_of(text, 4) is None
    assert len(tokens) == 0


def test_expired_ones_make_room(tokens: SimpleTokens, clock: Clock) -> None:
    first = tokens.assign("alice", 4, "a", 1)
    tokens.assign("alice", 4, "b", 2)
    clock.seconds += TTL_SECONDS - 1
    tokens.caller_of(first, 4)
    clock.seconds += 1
    tokens.assign("alice", 4, "c", 3)
    assert len(tokens) == 2
    assert tokens.caller_of(first, 4) is not None


def test_an_entry_applied_again_gives_the_same_token(tokens: SimpleTokens) -> None:
    assert tokens.assign("alice", 4, "a", 1) == tokens.assign("alice", 4, "a", 1)
    assert len(tokens) == 1


def test_a_user_who_changes_and_everyone_at_the_end(tokens: SimpleTokens) -> None:
    alice, bob = tokens.assign("alice", 4, "a", 1), tokens.assign("bob", 4, "b", 2)
    tokens.forget_user("alice")
    assert tokens.caller_of(alice, 4) is None
    assert tokens.caller_of(bob, 4) is not None
    tokens.clear()
    assert tokens.caller_of(bob, 4) is None


def test_the_longest_unused_goes_when_there_are_too_many(tokens: SimpleTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SIMPLE_TOKENS", 2)
    texts = [tokens.assign("alice", 4, "a", index) for index in range(2)]
    tokens.caller_of(texts[0], 4)
    tokens.assign("alice", 4, "a", 2)
    assert tokens.caller_of(texts[1], 4) is None
    assert tokens.caller_of(texts[0], 4) is not None


class TokensBesideAModel(RuleBasedStateMachine):
    """The model keeps every token for ever and looks at the time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.tokens = SimpleTokens(TTL_SECONDS, self.clock)
        self.deadlines: dict[str, tuple[str, float]] = {}
        self.index = 0

    @rule(user=st.sampled_from("ab"))
    def assign(self, user: str) -> None:
        self.index += 1
        text = self.tokens.assign(user, 1, "p", self.index)
        self.deadlines[text] = (user, self.clock.seconds + TTL_SECONDS)

    @rule(seconds=st.sampled_from([0, 1, TTL_SECONDS - 1, TTL_SECONDS, TTL_SECONDS + 1]))
    def wait(self, seconds: int) -> None:
        self.clock.seconds += seconds

    @rule(index=st.integers(0, 20))
    def use(self, index: int) -> None:
        text = f"p.{index}"
        user, deadline = self.deadlines.get(text, ("", 0.0))
        caller = self.tokens.caller_of(text, 1)
        if user and deadline > self.clock.seconds:
            assert caller == Caller(user, 1)
            self.deadlines[text] = (user, self.clock.seconds + TTL_SECONDS)
        else:
            assert caller is None

    @rule(user=st.sampled_from("ab"))
    def forget(self, user: str) -> None:
        self.tokens.forget_user(user)
        self.deadlines = {text: one for text, one in self.deadlines.items() if one[0] != user}

    @invariant()
    def none_is_lost(self) -> None:
        alive = [text for text, (_, deadline) in self.deadlines.items() if deadline > self.clock.seconds]
        assert len(self.tokens) >= len(alive)


TestTokensBesideAModel = TokensBesideAModel.TestCase
TestTokensBesideAModel.settings = settings(max_examples=30, stateful_step_count=30)
