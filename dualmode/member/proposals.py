"""Decides: which proposals wait for their entry, and which have waited too long.

A proposal made on the leader knows its index at once, so it is found by index; the term tells whether the entry that
was committed there is really its own. Indexes grow, so the table is in the order of age.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.rpc.calls import Reply


class Proposal:
    """One request on its way through the log. Plain and slotted: one is made for every write."""

    __slots__ = ("caller", "data", "deadline", "kind", "reply", "request", "term")

    def __init__(
        self, data: bytes, kind: int, request: Any, reply: Reply, deadline: float, caller: Caller = NOBODY
    ) -> None:
        self.data = data
        self.kind = kind
        self.request = request
        self.caller = caller
        self.reply = reply
        #: Seconds on the loop's clock.
        self.deadline = deadline
        #: Set when it enters the log.
        self.term = 0


class WaitingProposals:
    """Proposals that are in the log and not yet applied, by index."""

    __slots__ = ("_by_index",)

    def __init__(self) -> None:
        self._by_index: dict[int, Proposal] = {}

    def __len__(self) -> int:
        return len(self._by_index)

    def enter(self, first_index: int, term: int, batch: list[Proposal]) -> None:
        """A batch has been appended to the log from `first_index` on."""
        by_index = self._by_index
        for index, proposal in enumerate(batch, first_index):
            proposal.term = term
            by_index[index] = proposal

    def take(self, index: int, term: int) -> Proposal | None:
        """The proposal whose entry is being applied; None when the entry is not one of ours. One that was displaced
        by another leader's entry is given by `displaced`."""
        proposal = self._by_index.get(index)
        if proposal is None or proposal.term != term:
            return None
        del self._by_index[index]
        return proposal

    def displaced(self, index: int) -> Proposal | None:
        """The proposal that stood at an index where another leader's entry was committed: it is lost."""
        return self._by_index.pop(index, None)

    def expired(self, now: float) -> Iterator[Proposal]:
        """Takes out those whose time is over. They may still be applied; nobody is told then."""
        while self._by_index:
            index = next(iter(self._by_index))
            if self._by_index[index].deadline > now:
                return
            yield self._by_index.pop(index)

    def all(self) -> list[Proposal]:
        """Takes out all, at the end of the server."""
        everyone = list(self._by_index.values())
        self._by_index.clear()
        return everyone
