"""Decides: which changes of members wait to enter the log, which for their entry, and which have waited too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dualmode.raft import ConfChange
from dualmode.rpc.calls import Reply


@dataclass(frozen=True, slots=True)
class ProposedChange:
    """A change of members that was asked for here."""

    change: ConfChange
    reply: Reply
    #: Seconds on the loop's clock.
    deadline: float


class ProposedChanges:
    """Few at a time: Raft takes one after the other."""

    def __init__(self) -> None:
        self._incoming: list[ProposedChange] = []
        #: By the id of the change.
        self._in_log: dict[int, ProposedChange] = {}

    def add(self, change: ConfChange, reply: Reply, deadline: float) -> None:
        """A change is asked for."""
        self._incoming.append(ProposedChange(change, reply, deadline))

    @property
    def are_waiting_to_enter(self) -> bool:
        """Whether `enter` has something to do."""
        return bool(self._incoming)

    def enter(self, propose: Callable[[ConfChange], None]) -> None:
        """Proposes what waits, in order. What `propose` raises ends it there; the one it refused goes on waiting."""
        while self._incoming:
            first = self._incoming[0]
            propose(first.change)
            del self._incoming[0]
            self._in_log[first.change.id] = first

    def take(self, change_id: int) -> Reply | None:
        """Who asked for the change whose entry is being applied, if that was here."""
        proposed = self._in_log.pop(change_id, None)
        return None if proposed is None else proposed.reply

    def expired(self, now: float) -> list[ProposedChange]:
        """Takes out those whose time is over. They may still be applied; nobody is told then."""
        late = [one for one in (*self._in_log.values(), *self._incoming) if one.deadline <= now]
        if late:
            self._in_log = {one: proposed for one, proposed in self._in_log.items() if proposed.deadline > now}
            self._incoming = [proposed for proposed in self._incoming if proposed.deadline > now]
        return late

    def all(self) -> list[ProposedChange]:
        """Takes out all, at the end of the server."""
        everyone = [*self._incoming, *self._in_log.values()]
        self._incoming, self._in_log = [], {}
        return everyone
