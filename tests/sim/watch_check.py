"""Decides: whether a watch hears what etcd guarantees (its API guarantees, "Watch APIs").

- **Ordered**: events come by revision.
- **Unique**: none comes twice.
- **Atomic**: all events of one revision come in one response.
- **Reliable**: none is left out between two that come.
- **Resumable**: a watch that begins at a past revision hears everything from there on, if it is not compacted.
- **Bookmarkable**: a response says in its header up to where the watch has heard everything: nothing up to there comes
  later, and who goes on from there on any member has missed nothing.

All of it is one comparison: a response with header revision R must hold exactly what the ledger has for the watched
keys from the revision after the last response's up to R.
"""

from __future__ import annotations

from typing import Any

from dualmode.api import etcdserverpb as pb
from tests.sim.ledger import Ledger
from tests.sim.trace import Violation


class WatchCheck:
    """One watch, over all connections that it had. `next_revision` is where it goes on from."""

    def __init__(
        self, ledger: Ledger, key: bytes, range_end: bytes, next_revision: int, filters: tuple[int, ...]
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._range_end = range_end
        self._filters = filters
        self.next_revision = next_revision
        self.events = 0
        self.compactions = 0

    def request(self, watch_id: int) -> Any:
        """What goes on with it."""
        create = pb.WatchCreateRequest(
            key=self._key,
            range_end=self._range_end,
            start_revision=self.next_revision,
            filters=self._filters,
            progress_notify=True,
            watch_id=watch_id,
        )
        return pb.WatchRequest(create_request=create)

    def take(self, response: Any) -> None:
        """One response for this watch. Raises Violation."""
        if response.created:
            return
        if response.canceled:
            self._take_cancellation(response)
            return
        reached = response.header.revision
        if reached > self._ledger.revision:
            raise Violation(f"{self}: told of revision {reached}, which nobody has")
        heard = [(event.kv.mod_revision, event.type, event.kv.SerializeToString()) for event in response.events]
        due = self._due(reached)
        if heard != due:
            raise Violation(f"{self}: heard {heard} up to {reached}, due was {due}")
        self.events += len(heard)
        self.next_revision = max(self.next_revision, reached + 1)

    def _due(self, reached: int) -> list[tuple[int, int, bytes]]:
        due: list[tuple[int, int, bytes]] = []
        for revision in range(self.next_revision, reached + 1):
            for _, is_delete, kv in self._ledger.changes_of(revision, self._key, self._range_end or None):
                unwanted = pb.WatchCreateRequest.NODELETE if is_delete else pb.WatchCreateRequest.NOPUT
                if unwanted not in self._filters:
                    due.append((revision, int(is_delete), kv))
        return due

    def _take_cancellation(self, response: Any) -> None:
        if not response.compact_revision:
            raise Violation(f"{self}: canceled: {response.cancel_reason}")
        if response.compact_revision <= self.next_revision:
            raise Violation(f"{self}: canceled, as all before {response.compact_revision} is compacted")
        self.compactions += 1
        self.next_revision = response.compact_revision

    def __str__(self) -> str:
        return f"the watch of {self._key!r} to {self._range_end!r} from {self.next_revision}"
