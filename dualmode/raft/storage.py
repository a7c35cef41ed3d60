"""Decides: what the core reads back of what its owner has persisted, and the in-memory form of it.

The owner of a core persists each Ready and makes it readable through a `Storage` before it calls `advance`.
`MemoryStorage` keeps the recent entries in memory, as etcd's members do; the durable copy is the owner's write-ahead
log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dualmode.raft.errors import Compacted, SnapshotOutOfDate, Unavailable
from dualmode.raft.types import NO_LIMIT, ConfState, Entry, HardState, Snapshot, SnapshotMetadata, limit_size


class Storage(Protocol):
    """What the core reads. A storage that fails otherwise than stated must stop its owner."""

    def initial_state(self) -> tuple[HardState, ConfState]:
        """The hard state and the configuration to start from."""

    def first_index(self) -> int:
        """Index of the first entry that can be read; one more than the snapshot point when there is none."""

    def last_index(self) -> int:
        """Index of the last entry, or the snapshot point when there is none."""

    def term(self, index: int) -> int:
        """Term of the entry, known from the snapshot point on. Raises `Compacted` or `Unavailable`."""

    def entries(self, low: int, high: int, max_size: int) -> list[Entry]:
        """Entries low <= index < high, within `max_size` bytes but at least one. Raises as `term`."""

    def snapshot(self) -> Snapshot:
        """A snapshot to send to a peer. Raises `SnapshotTemporarilyUnavailable` while it is being made."""


class MemoryStorage:
    """A `Storage` in memory. The owner calls `append`, `apply_snapshot`, `set_hard_state` and `compact`."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self._snapshot = Snapshot()
        #: The (index, term) just before the first entry: the snapshot or compaction point.
        self._point = (0, 0)
        self._entries: list[Entry] = []

    def initial_state(self) -> tuple[HardState, ConfState]:
        return self.hard_state, self._snapshot.metadata.conf_state

    def set_hard_state(self, hard_state: HardState) -> None:
        self.hard_state = hard_state

    def first_index(self) -> int:
        return self._point[0] + 1

    def last_index(self) -> int:
        return self._point[0] + len(self._entries)

    def term(self, index: int) -> int:
        offset = index - self._point[0]
        if offset < 0:
            raise Compacted
        if offset == 0:
            return self._point[1]
        if offset > len(self._entries):
            raise Unavailable
        return self._entries[offset - 1].term

    def entries(self, low: int, high: int, max_size: int = NO_LIMIT) -> list[Entry]:
        if low <= self._point[0]:
            raise Compacted
        assert high <= self.last_index() + 1, f"entries' hi({high}) is out of bound lastindex({self.last_index()})"
        if not self._entries:
            raise Unavailable
        base = self._point[0] + 1
        return limit_size(self._entries[low - base : high - base], max_size)

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def append(self, entries: Sequence[Entry]) -> None:
        """Store entries, in place of whatever is stored from the first of their indexes on."""
        if not entries:
            return
        first = self.first_index()
        if entries[-1].index < first:
            return
        if entries[0].index < first:
            entries = entries[first - entries[0].index :]
        keep = entries[0].index - first
        assert keep <= len(self._entries), (
            f"missing log entry [last: {self.last_index()}, append at: {entries[0].index}]"
        )
        if keep < len(self._entries):
            del self._entries[keep:]
        self._entries.extend(entries)

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Start anew from `snapshot`. Raises `SnapshotOutOfDate` if the stored one is not older."""
        stored = self._snapshot.metadata.index
        if stored and stored >= snapshot.metadata.index:
            raise SnapshotOutOfDate
        self._snapshot = snapshot
        self._point = (snapshot.metadata.index, snapshot.metadata.term)
        self._entries = []

    def create_snapshot(self, index: int, conf_state: ConfState, data: bytes) -> Snapshot:
        """Remember the application's state at `index`, an entry that is stored. Raises `SnapshotOutOfDate`."""
        if index <= self._snapshot.metadata.index:
            raise SnapshotOutOfDate
        assert index <= self.last_index(), f"snapshot {index} is out of bound lastindex({self.last_index()})"
        metadata = SnapshotMetadata(conf_state, index, self.term(index))
        self._snapshot = Snapshot(data, metadata)
        return self._snapshot

    def compact(self, index: int) -> None:
        """Forget the entries up to and including `index`; its term stays known. Raises `Compacted` if done already."""
        if index <= self._point[0]:
            raise Compacted
        assert index <= self.last_index(), f"compact {index} is out of bound lastindex({self.last_index()})"
        count = index - self._point[0]
        self._point = (index, self._entries[count - 1].term)
        del self._entries[:count]
