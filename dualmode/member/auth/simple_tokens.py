"""Decides: simple tokens: random words that stand for a user until they have not been used for a while.

A token is 16 letters, a dot and the index of the log entry that made it. Every member makes it while applying that
entry, so a token is good everywhere; it is not stored, so a restart forgets it and clients log in again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dualmode import limits
from dualmode.member.auth.caller import Caller

LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIX_LETTERS: Final = 16


class _Token:
    """What a token stands for. Plain and slotted: one is looked at for every call."""

    __slots__ = ("caller", "deadline")

    def __init__(self, caller: Caller, deadline: float) -> None:
        self.caller = caller
        self.deadline = deadline


class SimpleTokens:
    """Tokens by the time of their last use, the longest unused first. `now` is in seconds on any monotonic clock."""

    def __init__(self, ttl_seconds: float, now: Callable[[], float]) -> None:
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._tokens: dict[str, _Token] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def assign(self, username: str, auth_revision: int, prefix: str, index: int) -> str:
        """A log entry has given a user a token."""
        now = self._now()
        self._drop_expired(now)
        token = f"{prefix}.{index}"
        self._tokens.pop(token, None)
        while len(self._tokens) >= limits.SIMPLE_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[token] = _Token(Caller(username, auth_revision), now + self._ttl_seconds)
        return token

    def caller_of(self, token: str, auth_revision: int) -> Caller | None:
        """Who brings this token, recognised at the present revision; None for no token of ours. It lives on."""
        known = self._tokens.get(token)
        if known is None:
            return None
        now = self._now()
        if known.deadline <= now:
            self._drop_expired(now)
            return None
        known.deadline = now + self._ttl_seconds
        # To the end of the order.
        self._tokens[token] = self._tokens.pop(token)
        caller = known.caller
        if caller.auth_revision != auth_revision:
            caller = known.caller = Caller(caller.username, auth_revision)
        return caller

    def forget_user(self, username: str) -> None:
        """The user is gone or has another password."""
        self._tokens = {text: token for text, token in self._tokens.items() if token.caller.username != username}

    def clear(self) -> None:
        """Authentication was turned off."""
        self._tokens = {}

    def _drop_expired(self, now: float) -> None:
        while self._tokens:
            oldest = next(iter(self._tokens))
            if self._tokens[oldest].deadline > now:
                return
            del self._tokens[oldest]
