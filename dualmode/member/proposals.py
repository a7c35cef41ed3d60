"""Decides: which proposals wait to be proposed or for their entry, and which have waited too long.

A proposal made on the leader knows its index at once, so it is found by index; the term tells whether the entry that
was committed there is really its own. One that was sent to the leader is found by the request id in its entry. Indexes
grow and ids are entered as they are sent, so both tables are in the order of age.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dualmode import limits
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.rpc.calls import Reply


class Proposal:
    """One request on its way through the log. Plain and slotted: one is made for every write."""

    __slots__ = ("caller", "data", "deadline", "kind", "reply", "request", "request_id", "term")

    def __init__(
        self,
        data: bytes,
        kind: int,
        request: Any,
        reply: Reply,
        deadline: float,
        caller: Caller = NOBODY,
        request_id: int = 0,
    ) -> None:
        self.data = data
        self.request_id = request_id
        self.kind = kind
        self.request = request
        self.caller = caller
        self.reply = reply
        #: Seconds on the loop's clock.
        self.deadline = deadline
        #: Set when it enters the log.
        self.term = 0


class IncomingProposals:
    """Proposals that have not been seen by anyone yet, oldest first: trying to propose them again is safe."""

    def __init__(self) -> None:
        self._proposals: list[Proposal] = []

    def __len__(self) -> int:
        return len(self._proposals)

    def add(self, proposal: Proposal) -> None:
        """A service has asked."""
        self._proposals.append(proposal)

    def take_batch(self) -> list[Proposal]:
        """The oldest proposals, bounded by number and size, so that one pass does not hold the loop for long."""
        incoming = self._proposals
        size = count = 0
        for proposal in incoming[: limits.PROPOSALS_PER_BATCH]:
            size += len(proposal.data)
            if count and size > limits.PROPOSED_BYTES_PER_BATCH:
                break
            count += 1
        if count == len(incoming):
            self._proposals = []
            return incoming
        self._proposals = incoming[count:]
        return incoming[:count]

    def put_back(self, batch: list[Proposal]) -> None:
        """A batch was refused; it comes before all others."""
        self._proposals = batch + self._proposals

    def expired(self, now: float) -> list[Proposal]:
        """Takes out those whose time is over."""
        incoming = self._proposals
        if not incoming or incoming[0].deadline > now:
            return []
        self._proposals = [proposal for proposal in incoming if proposal.deadline > now]
        return [proposal for proposal in incoming if proposal.deadline <= now]

    def all(self) -> list[Proposal]:
        """Takes out all, at the end of the server."""
        everyone, self._proposals = self._proposals, []
        return everyone


class WaitingProposals:
    """Proposals that are in the log, or on their way to the leader's, and not yet applied."""

    __slots__ = ("_by_index", "_forwarded")

    def __init__(self) -> None:
        self._by_index: dict[int, Proposal] = {}
        self._forwarded: dict[int, Proposal] = {}

    def __len__(self) -> int:
        return len(self._by_index) + len(self._forwarded)

    def enter(self, first_index: int, term: int, batch: list[Proposal]) -> list[Proposal]:
        """A batch has been appended to the log from `first_index` on. Gives those that stood there, or behind, before:
        another leader has cut them off, so they are lost."""
        by_index = self._by_index
        lost = self._cut(first_index) if by_index and next(reversed(by_index)) >= first_index else []
        for index, proposal in enumerate(batch, first_index):
            proposal.term = term
            by_index[index] = proposal
        return lost

    def _cut(self, first_index: int) -> list[Proposal]:
        by_index = self._by_index
        return [by_index.pop(index) for index in list(by_index) if index >= first_index]

    def enter_forwarded(self, batch: list[Proposal]) -> None:
        """A batch has been sent to the leader."""
        for proposal in batch:
            self._forwarded[proposal.request_id] = proposal

    def take_forwarded(self, request_id: int) -> Proposal | None:
        """The proposal that was sent to the leader under this id, when its entry is being applied."""
        return self._forwarded.pop(request_id, None) if self._forwarded else None

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
        for table in (self._by_index, self._forwarded):
            while table:
                oldest = next(iter(table))
                if table[oldest].deadline > now:
                    break
                yield table.pop(oldest)

    def all(self) -> list[Proposal]:
        """Takes out all, at the end of the server."""
        everyone = [*self._by_index.values(), *self._forwarded.values()]
        self._by_index.clear()
        self._forwarded.clear()
        return everyone
