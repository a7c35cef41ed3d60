"""Decides: which part of the log is not yet known to be on disk.

Entries (and possibly a snapshot before them) wait here until their write is acknowledged. `in_progress` divides them:
what lies below it was handed out in a Ready and is being written, what lies above is still to be handed out.
"""

from __future__ import annotations

from dualmode.raft.errors import fatal
from dualmode.raft.types import Entry, Logger, Snapshot


class Unstable:
    """The tail of a log. `offset` is the index of the first entry here, whether or not there is one."""

    __slots__ = ("entries", "in_progress", "logger", "offset", "snapshot", "snapshot_in_progress")

    def __init__(self, offset: int, logger: Logger) -> None:
        self.offset = offset
        self.in_progress = offset
        self.entries: list[Entry] = []
        self.snapshot: Snapshot | None = None
        self.snapshot_in_progress = False
        self.logger = logger

    def last_index(self) -> int | None:
        if self.entries:
            return self.offset + len(self.entries) - 1
        return self.snapshot.metadata.index if self.snapshot is not None else None

    def term(self, index: int) -> int | None:
        """Term of an entry here, or of the snapshot's own index. None means: ask the storage."""
        position = index - self.offset
        if 0 <= position < len(self.entries):
            return self.entries[position].term
        if position < 0 and self.snapshot is not None and self.snapshot.metadata.index == index:
            return self.snapshot.metadata.term
        return None

    def slice(self, low: int, high: int) -> list[Entry]:
        """A copy of the entries low <= index < high, all of which must be here."""
        upper = self.offset + len(self.entries)
        if low > high:
            fatal(self.logger, f"invalid unstable.slice {low} > {high}")
        if low < self.offset or high > upper:
            fatal(self.logger, f"unstable.slice[{low},{high}) out of bound [{self.offset},{upper}]")
        return self.entries[low - self.offset : high - self.offset]

    def next_entries(self) -> list[Entry]:
        """What has not been handed out yet."""
        return self.entries[self.in_progress - self.offset :]

    def next_snapshot(self) -> Snapshot | None:
        return None if self.snapshot_in_progress else self.snapshot

    def accept_in_progress(self) -> None:
        """Everything here has been handed out."""
        self.in_progress = self.offset + len(self.entries)
        if self.snapshot is not None:
            self.snapshot_in_progress = True

    def append(self, entries: list[Entry]) -> None:
        """Add entries, in place of those from the first new index on."""
        first = entries[0].index
        if first == self.offset + len(self.entries):
            self.entries.extend(entries)
        elif first <= self.offset:
            self.logger.info(f"replace the unstable entries from index {first}")
            self.entries = list(entries)
            self.offset = self.in_progress = first
        else:
            self.logger.info(f"truncate the unstable entries before index {first}")
            self.entries[first - self.offset :] = entries
            self.in_progress = min(self.in_progress, first)

    def stable_to(self, index: int, term: int) -> None:
        """Entries up to `index` are on disk, if the one at `index` still is of that `term`."""
        known = self.term(index)
        if known is None:
            self.logger.info(f"entry at index {index} missing from unstable log; ignoring")
        elif index < self.offset:
            self.logger.info(f"entry at index {index} matched unstable snapshot; ignoring")
        elif known != term:
            self.logger.info(
                f"entry at (index,term)=({index},{term}) mismatched with entry at ({index},{known}) in unstable log; "
                "ignoring"
            )
        else:
            del self.entries[: index + 1 - self.offset]
            self.offset = index + 1
            self.in_progress = max(self.in_progress, self.offset)

    def stable_snapshot_to(self, index: int) -> None:
        """The snapshot at `index` is on disk, unless another one has come since."""
        if self.snapshot is not None and self.snapshot.metadata.index == index:
            self.snapshot = None
            self.snapshot_in_progress = False

    def restore(self, snapshot: Snapshot) -> None:
        """Start anew from a snapshot that came from the leader."""
        self.offset = self.in_progress = snapshot.metadata.index + 1
        self.entries = []
        self.snapshot = snapshot
        self.snapshot_in_progress = False
