"""Decides: what the cluster has agreed on, and that every member has the same (log matching, leader uniqueness, applied
alike).

Fed by taps in every member, before anybody else hears of it:

- **Leader uniqueness**: whoever sends an append, a heartbeat or a snapshot in a term leads in it; there is one.
- **Log matching**: two entries of equal index and term, in any logs at any time, are equal and stand behind entries of
  equal term. By induction over the indexes that is the property of the Raft paper (figure 3).
- **State machine safety**: what is applied at an index is the same on every member, at any time.
- **Applied alike**: a revision has the same changes on every member, byte for byte, and after the same entry every
  member is at the same revision.

The first member that applies something writes it into the ledger; that is what the other checkers hold clients'
experience against.
"""

from __future__ import annotations

from typing import Any

import trio

from dualmode.raft import Message, MessageType
from tests.sim.node import Life, Observer
from tests.sim.trace import Trace, Violation

_LEADERS_WORDS = (MessageType.APPEND, MessageType.HEARTBEAT, MessageType.SNAPSHOT)

#: (key, whether it was deleted, serialised KeyValue)
Changes = tuple[tuple[bytes, bool, bytes], ...]


class Ledger(Observer):
    """One per run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        #: Revision -> its changes, without holes from revision 2 on.
        self.commits: dict[int, Changes] = {}
        #: Revision -> when somebody first had it.
        self.applied_at: dict[int, float] = {}
        #: (index, term) -> (type, data, term of the entry before)
        self._entries: dict[tuple[int, int], tuple[int, bytes, int]] = {}
        self._applied: dict[int, tuple[int, int, bytes]] = {}
        self._revision_after: dict[int, tuple[int, int]] = {}
        self.leaders: dict[int, int] = {}

    @property
    def revision(self) -> int:
        """The newest revision that anybody has."""
        return len(self.commits) + 1

    # --- Taps ---------------------------------------------------------------------------------------------------

    def on_sent(self, message: Message) -> None:
        """A member has said something to another."""
        if message.type in _LEADERS_WORDS:
            leader = self.leaders.setdefault(message.term, message.sender)
            if leader != message.sender:
                raise Violation(f"two leaders in term {message.term}: {leader:x} and {message.sender:x}")

    def on_opened(self, life: Life) -> None:
        """What a member finds on its disk must be a part of what was agreed on."""
        storage = life.opened.raft_storage
        first, last = storage.first_index(), storage.last_index()
        if last >= first:
            self._look_at(life, storage.entries(first, last + 1))
        self.on_applied(life)

    def on_logged(self, life: Life, entries: list[Any]) -> None:
        """See Observer."""
        self._look_at(life, entries)

    def _look_at(self, life: Life, entries: list[Any]) -> None:
        before = life.opened.raft_storage.term(entries[0].index - 1)
        for entry in entries:
            found = (int(entry.type), entry.data, before)
            known = self._entries.setdefault((entry.index, entry.term), found)
            if known != found:
                raise Violation(f"log matching: {life.node.name} has {found} at {entry.index}, others {known}")
            before = entry.term

    def on_applying(self, life: Life, entries: list[Any]) -> None:
        """See Observer."""
        for entry in entries:
            found = (entry.term, int(entry.type), entry.data)
            known = self._applied.setdefault(entry.index, found)
            if known != found:
                raise Violation(f"{life.node.name} applies {found} at {entry.index}, others {known}")

    def on_commits(self, life: Life, commits: list[Any]) -> None:
        """See Observer."""
        for commit in commits:
            changes = tuple((change.key, change.is_delete, bytes(change.kv)) for change in commit.changes)
            if commit.revision == self.revision + 1:
                self.commits[commit.revision] = changes
                self.applied_at[commit.revision] = trio.current_time()
                self._trace.note("commit", f"{commit.revision} {[key for key, _, _ in changes]}")
            elif self.commits.get(commit.revision) != changes:
                known = self.commits.get(commit.revision)
                raise Violation(f"{life.node.name} has {changes} at revision {commit.revision}, others {known}")

    def on_applied(self, life: Life) -> None:
        """See Observer."""
        store = life.opened.store
        found = (store.revision, store.compacted)
        known = self._revision_after.setdefault(store.applied_index, found)
        if known != found:
            raise Violation(f"{life.node.name} is at {found} after entry {store.applied_index}, others at {known}")

    # --- What it says -------------------------------------------------------------------------------------------

    def changes_of(self, revision: int, low: bytes, high: bytes | None) -> Changes:
        """What a revision changed in an interval (`high` None: one key)."""
        changes = self.commits[revision]
        if high is None:
            return tuple(change for change in changes if change[0] == low)
        return tuple(change for change in changes if low <= change[0] < high)
