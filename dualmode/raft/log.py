"""Decides: the replicated log as one node has it: stored part, unstable tail, and the marks commit, applying, applied.

    stored entries | unstable entries
    ... applied <= applying <= commit <= last index

`applying` is what was handed out to be applied, `applied` what was acknowledged. The size of what lies between is
bounded: handing out pauses when the application is behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dualmode.raft.errors import Compacted, StorageUnready, Unavailable, fatal
from dualmode.raft.storage import Storage
from dualmode.raft.types import NO_LIMIT, Entry, Logger, Snapshot, entries_size, limit_size
from dualmode.raft.unstable import Unstable

#: Entries looked through at once when the log is searched: bounds memory, as the stored part may be large.
_SCAN_BYTES = 1 << 20


class Log:
    """One node's log. `max_applying_size` bounds the encoded bytes handed out and not yet acknowledged as applied."""

    __slots__ = (
        "applied",
        "applying",
        "applying_paused",
        "applying_size",
        "commit",
        "logger",
        "max_applying_size",
        "storage",
        "unstable",
    )

    def __init__(self, storage: Storage, logger: Logger, max_applying_size: int = NO_LIMIT) -> None:
        self.storage = storage
        self.logger = logger
        self.unstable = Unstable(storage.last_index() + 1, logger)
        self.commit = self.applying = self.applied = storage.first_index() - 1
        self.max_applying_size = max_applying_size
        self.applying_size = 0
        self.applying_paused = False

    # --- looking ----------------------------------------------------------------------------------------------

    def first_index(self) -> int:
        snapshot = self.unstable.snapshot
        return snapshot.metadata.index + 1 if snapshot is not None else self.storage.first_index()

    def last_index(self) -> int:
        last = self.unstable.last_index()
        return last if last is not None else self.storage.last_index()

    def term(self, index: int) -> int:
        """Raises `Compacted` or `Unavailable` where the log does not know it."""
        known = self.unstable.term(index)
        if known is not None:
            return known
        if index + 1 < self.first_index():
            raise Compacted
        if index > self.last_index():
            raise Unavailable
        return self.storage.term(index)

    def term_or_zero(self, index: int) -> int:
        try:
            return self.term(index)
        except StorageUnready:
            return 0

    def last_term(self) -> int:
        try:
            return self.term(self.last_index())
        except StorageUnready as error:
            fatal(self.logger, f"unexpected error when getting the last term at {self.last_index()}: {error}")

    def matches(self, index: int, term: int) -> bool:
        try:
            return self.term(index) == term
        except StorageUnready:
            return False

    def up_to_date(self, index: int, term: int) -> bool:
        """Whether a log that ends in (index, term) holds everything that can be committed in this one."""
        own_term = self.last_term()
        return term > own_term or (term == own_term and index >= self.last_index())

    def snapshot(self) -> Snapshot:
        """The snapshot to send to a peer."""
        return self.unstable.snapshot if self.unstable.snapshot is not None else self.storage.snapshot()

    def entries_from(self, low: int, max_size: int) -> list[Entry]:
        """Entries from `low` to the end, within `max_size`. Raises `Compacted`."""
        last = self.last_index()
        return self.slice(low, last + 1, max_size) if low <= last else []

    def slice(self, low: int, high: int, max_size: int) -> list[Entry]:
        """Entries low <= index < high, within `max_size` bytes but at least one. Raises `Compacted`."""
        self._check_bounds(low, high)
        offset = self.unstable.offset
        if low == high:
            return []
        if low >= offset:
            return limit_size(self.unstable.slice(low, high), max_size)
        cut = min(high, offset)
        try:
            stored = self.storage.entries(low, cut, max_size)
        except Unavailable:
            fatal(self.logger, f"entries[{low}:{cut}) is unavailable from storage")
        if high <= offset or len(stored) < cut - low:
            return stored
        return self._extend(stored, self.unstable.slice(offset, high), max_size)

    @staticmethod
    def _extend(stored: list[Entry], tail: list[Entry], max_size: int) -> list[Entry]:
        """The stored part, and as much of the tail as the size leaves room for (here that may be nothing)."""
        if max_size >= NO_LIMIT:
            return stored + tail
        size = entries_size(stored)
        if size >= max_size:
            return stored
        tail = limit_size(tail, max_size - size)
        if len(tail) == 1 and size + entries_size(tail) > max_size:
            return stored
        return stored + tail

    def _check_bounds(self, low: int, high: int) -> None:
        if low > high:
            fatal(self.logger, f"invalid slice {low} > {high}")
        first = self.first_index()
        if low < first:
            raise Compacted
        if high > self.last_index() + 1:
            fatal(self.logger, f"slice[{low},{high}) out of bound [{first},{self.last_index()}]")

    def scan(self, low: int, high: int) -> Iterator[Entry]:
        """Entries low <= index < high one by one, without holding them all."""
        while low < high:
            try:
                page = self.slice(low, high, _SCAN_BYTES)
            except StorageUnready as error:
                fatal(self.logger, f"error scanning unapplied entries [{low}, {high}): {error}")
            yield from page
            low += len(page)

    # --- adding -----------------------------------------------------------------------------------------------

    def append(self, entries: list[Entry]) -> int:
        """Add entries, in place of any from the first new index on. Returns the last index."""
        if entries:
            after = entries[0].index - 1
            if after < self.commit:
                fatal(self.logger, f"after({after}) is out of range [committed({self.commit})]")
            self.unstable.append(entries)
        return self.last_index()

    def append_after(self, index: int, term: int, entries: Sequence[Entry], commit: int) -> int | None:
        """A follower's append: entries that follow (index, term), and the leader's commit.

        Returns the last index known to be the leader's, or None if the log does not contain (index, term).
        """
        if not self.matches(index, term):
            return None
        last_new = index + len(entries)
        conflict = self.find_conflict(entries)
        if conflict:
            if conflict <= self.commit:
                fatal(self.logger, f"entry {conflict} conflict with committed entry [committed({self.commit})]")
            self.append(list(entries[conflict - index - 1 :]))
        self.commit_to(min(commit, last_new))
        return last_new

    def find_conflict(self, entries: Sequence[Entry]) -> int:
        """Index of the first entry that this log does not have, or has with another term; 0 if it has all."""
        if entries and entries[0].index > self.last_index():
            return entries[0].index  # the usual case: all of them are new
        for entry in entries:
            if not self.matches(entry.index, entry.term):
                if entry.index <= self.last_index():
                    existing = self.term_or_zero(entry.index)
                    self.logger.info(
                        f"found conflict at index {entry.index} "
                        f"[existing term: {existing}, conflicting term: {entry.term}]"
                    )
                return entry.index
        return 0

    def find_not_above_term(self, index: int, term: int) -> tuple[int, int]:
        """The conflict search: the last (index, term) at or before `index` whose term is not above `term`.

        Where nothing above it can match, the two ends of a replication stream skip whole terms with it. The term is 0
        where the log does not know it; (0, 0) means that nothing is left.
        """
        while index > 0:
            try:
                own = self.term(index)
            except StorageUnready:
                return index, 0
            if own <= term:
                return index, own
            index -= 1
        return 0, 0

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the whole log by a snapshot from the leader. `applied` follows once it has been acknowledged."""
        tail = self.unstable
        self.logger.info(
            f"log [committed={self.commit}, applied={self.applied}, applying={self.applying}, "
            f"unstable.offset={tail.offset}, unstable.offsetInProgress={tail.in_progress}, "
            f"len(unstable.Entries)={len(tail.entries)}] starts to restore snapshot "
            f"[index: {snapshot.metadata.index}, term: {snapshot.metadata.term}]"
        )
        self.commit = snapshot.metadata.index
        tail.restore(snapshot)

    # --- committing and applying --------------------------------------------------------------------------------

    def commit_to(self, index: int) -> None:
        if index > self.commit:
            if index > self.last_index():
                fatal(
                    self.logger,
                    f"tocommit({index}) is out of range [lastIndex({self.last_index()})]. "
                    "Was the raft log corrupted, truncated, or lost?",
                )
            self.commit = index

    def _appliable_to(self, allow_unstable: bool) -> int:
        return self.commit if allow_unstable else min(self.commit, self.unstable.offset - 1)

    def has_next_committed(self, allow_unstable: bool) -> bool:
        if self.applying_paused or self.unstable.snapshot is not None:
            return False
        return self.applying < self._appliable_to(allow_unstable)

    def next_committed(self, allow_unstable: bool) -> list[Entry]:
        """Entries to hand out; `accept_applying` must follow. Without `allow_unstable` only stored ones."""
        if not self.has_next_committed(allow_unstable):
            return []
        room = self.max_applying_size - self.applying_size
        if room <= 0:
            fatal(
                self.logger, f"applying entry size ({self.max_applying_size}-{self.applying_size})={room} not positive"
            )
        try:
            return self.slice(self.applying + 1, self._appliable_to(allow_unstable) + 1, room)
        except StorageUnready as error:
            fatal(self.logger, f"unexpected error when getting unapplied entries ({error})")

    def accept_applying(self, entries: Sequence[Entry], allow_unstable: bool) -> None:
        """These committed entries have been handed out."""
        index = entries[-1].index
        if index > self.commit or index < self.applying:
            fatal(
                self.logger,
                f"applying({index}) is out of range [prevApplying({self.applying}), committed({self.commit})]",
            )
        self.applying = index
        self.applying_size += self._bounded_size(entries)
        self.applying_paused = self.applying_size >= self.max_applying_size or index < self._appliable_to(
            allow_unstable
        )

    def applied_to(self, index: int, entries: Sequence[Entry] = ()) -> None:
        """Everything up to `index` has been applied, of which `entries` had been handed out and counted."""
        if index > self.commit or index < self.applied:
            fatal(
                self.logger,
                f"applied({index}) is out of range [prevApplied({self.applied}), committed({self.commit})]",
            )
        self.applied = index
        self.applying = max(self.applying, index)
        self.applying_size = max(self.applying_size - self._bounded_size(entries), 0)
        self.applying_paused = self.applying_size >= self.max_applying_size

    def _bounded_size(self, entries: Sequence[Entry]) -> int:
        """Sizes are only summed up where a limit needs them."""
        return entries_size(entries) if self.max_applying_size < NO_LIMIT else 0
