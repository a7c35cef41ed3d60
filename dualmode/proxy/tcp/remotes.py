"""Decides: which remote the next connection goes to, and when one that failed is looked at again.

The rule is that of SRV records (RFC 2782), which etcd's gateway follows: only remotes of the lowest priority number
among the active ones are picked. If any of them has a weight, each is picked as often as its weight says, those without
one in one of a hundred picks; if none has, they take turns. Endpoints that were named have priority 0 and no weight.

A remote that could not be connected is inactive: no client is sent there until a probe has reached it. Time and
randomness are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from dualmode.urls import Url

#: A whole number from 0 to below its argument, each as likely: `random.randrange`.
Draw = Callable[[int], int]

#: One of so many picks goes to the remotes without weight, while others have one: RFC 2782 wants "a very small chance".
_PICKS_PER_WEIGHTLESS_PICK: Final = 100


@dataclass(frozen=True, slots=True)
class Remote:
    """A place to connect to. Of its URL only the address counts: TLS passes through."""

    url: Url
    priority: int = 0
    weight: int = 0

    def __str__(self) -> str:
        return self.url.address


class Remotes:
    """All remotes of a gateway, and which of them are active. Seconds are those of one clock, whichever it is."""

    def __init__(self, remotes: Iterable[Remote], retry_delay_seconds: float) -> None:
        self._remotes = tuple({remote.url.address: remote for remote in remotes}.values())
        self.retry_delay_seconds = retry_delay_seconds
        #: Of the inactive ones: when each is to be probed.
        self._probe_at: dict[Remote, float] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._remotes)

    @property
    def active(self) -> list[Remote]:
        """Those that clients are sent to, in the order they were given."""
        return [remote for remote in self._remotes if remote not in self._probe_at]

    @property
    def inactive(self) -> list[Remote]:
        """The others."""
        return [remote for remote in self._remotes if remote in self._probe_at]

    def pick(self, draw: Draw, tried: Collection[Remote] = ()) -> Remote | None:
        """The next remote for a connection that was at none of `tried`; None when none is left."""
        left = [remote for remote in self.active if remote not in tried]
        if not left:
            return None
        best = min(remote.priority for remote in left)
        candidates = [remote for remote in left if remote.priority == best]
        weighted = [remote for remote in candidates if remote.weight]
        weightless = [remote for remote in candidates if not remote.weight]
        if weighted and not (weightless and draw(_PICKS_PER_WEIGHTLESS_PICK) == 0):
            return _by_weight(weighted, draw)
        self._turn += 1
        return weightless[(self._turn - 1) % len(weightless)]

    def failed(self, remote: Remote, now: float) -> bool:
        """It could not be connected: it is left alone for the retry delay. Whether it was active until now."""
        was_active = remote not in self._probe_at
        self._probe_at[remote] = now + self.retry_delay_seconds
        return was_active

    def reached(self, remote: Remote) -> bool:
        """It could be connected, so it is active. Whether it was not until now."""
        return self._probe_at.pop(remote, None) is not None

    def due(self, now: float) -> list[Remote]:
        """Inactive ones that are to be probed now."""
        return [remote for remote, at in self._probe_at.items() if at <= now]

    @property
    def next_probe_at(self) -> float | None:
        """When the first of them is due; None when all are active."""
        return min(self._probe_at.values(), default=None)


def _by_weight(weighted: list[Remote], draw: Draw) -> Remote:
    """Each owns a stretch of the numbers below the sum, as long as its weight."""
    place = draw(sum(remote.weight for remote in weighted))
    for remote in weighted:
        place -= remote.weight
        if place < 0:
            return remote
    raise AssertionError("drawn beyond the sum of the weights")
