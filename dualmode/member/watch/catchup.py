"""Decides: how watchers that are behind get what they have missed, in slices, from the store.

**Lines.** Watchers that are at about the same revision form a line: an index of watchers and a cursor, the next
revision to read. One slice reads the next revisions of one line from the store, once for all its watchers and
whatever they watch, delivers them and moves the cursor. A line that has come to the head lets its watchers settle among
the synced.

**Two hands.** Which line is next? Slices go in turn to the lowest line and to the highest. The highest is nearest to
the head: it is soon done, however far behind others are. The lowest sweeps up: it stops where the next line stands
and takes its watchers in, so that all of history is read once by it, however many lines there were. As the highest
never gets more slices than the lowest, the whole costs at most twice the one sweep that etcd does, and no watcher
waits for it.

**Bounds.** A slice reads a bounded number of revisions, changes and bytes and moves a bounded number of watchers. Who
is behind costs memory for its watcher only: what it has missed stays in the store.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Protocol

from dualmode import limits
from dualmode.member.watch.delivery import Delivery
from dualmode.member.watch.encoding import Commit
from dualmode.member.watch.index import WatchIndex
from dualmode.member.watch.watcher import Watcher, WatchStream

#: The interval of all keys, as requests write it.
_FIRST_KEY: Final = b"\0"
_TO_THE_END: Final = b"\0"


class History(Protocol):
    """What watches need of the store (`storage.mvcc.Store`)."""

    @property
    def revision(self) -> int: ...

    @property
    def compacted(self) -> int:
        """What came before this revision is gone; -1 when nothing is."""

    def changes(self, low_revision: int, high_revision: int, key: bytes, range_end: bytes) -> Iterator[Commit]:
        """The commits of these revisions (both inclusive) as far as they touch the interval; without the records
        before the changes."""

    def select(self, key: bytes, range_end: bytes, revision: int) -> list[bytes]:
        """The records of an interval as they were at a revision that is not below the compacted one."""


class Line:
    """Watchers that have had everything below `cursor` (or below their own `from_revision`, if that is higher)."""

    __slots__ = ("cursor", "index")

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self.index = WatchIndex()


class CatchUp:
    """All watchers that are catching up.

    `settle(watcher)` takes one that has caught up; `end_compacted(watcher)` one whose next revision is gone.
    """

    def __init__(
        self,
        history: History,
        delivery: Delivery,
        settle: Callable[[Watcher], None],
        end_compacted: Callable[[Watcher], None],
    ) -> None:
        self.history = history
        self._delivery = delivery
        self._settle = settle
        self._end_compacted = end_compacted
        #: In the order of cursors.
        self._lines: list[Line] = []
        #: Streams whose parked watchers come back.
        self._draining: deque[WatchStream] = deque()
        self._is_turn_of_lowest = False

    @property
    def has_work(self) -> bool:
        """Whether a slice would do anything."""
        return bool(self._lines or self._draining)

    def add(self, watcher: Watcher) -> None:
        """Takes in a watcher whose next revision, `from_revision`, is not above the head."""
        wanted = watcher.from_revision
        position = bisect_right(self._lines, wanted, key=_cursor)
        if position and wanted - self._lines[position - 1].cursor < limits.WATCH_SLICE_REVISIONS:
            line = self._lines[position - 1]
        else:
            line = Line(wanted)
            self._lines.insert(position, line)
        line.index.add(watcher)

    def add_parked(self, stream: WatchStream) -> None:
        """A stream has room again: its parked watchers come back, some in each slice."""
        if stream.parked and not stream.is_draining:
            stream.is_draining = True
            self._draining.append(stream)

    def slice(self, head: int) -> None:
        """Does a bounded part of the work; `head` is the last revision published."""
        self._delivery.turn += 1
        self._leave_compacted()
        self._bring_back()
        if not self._lines:
            return
        self._is_turn_of_lowest = not self._is_turn_of_lowest
        position = 0 if self._is_turn_of_lowest else len(self._lines) - 1
        self._advance(position, head)

    def _advance(self, position: int, head: int) -> None:
        line = self._lines[position]
        following = self._lines[position + 1] if position + 1 < len(self._lines) else None
        if following is not None and following.cursor == line.cursor:
            self._join(line, following)
            return
        last = min(head, line.cursor + limits.WATCH_SLICE_REVISIONS - 1)
        if following is not None:
            last = min(last, following.cursor - 1)
        if line.cursor <= last:
            commits, covered = self._read(line.cursor, last)
            line.cursor = covered + 1
            self._delivery.deliver(line.index, commits, covered, self._look_back)
        if line.cursor > head:
            for watcher in list(islice(line.index.watchers(), limits.WATCH_SLICE_WATCHERS)):
                line.index.remove(watcher)
                self._settle(watcher)
        if not line.index.size:
            self._lines.remove(line)

    def _read(self, low: int, high: int) -> tuple[list[Commit], int]:
        """The commits from a revision on, and the revision up to which they are complete."""
        commits: list[Commit] = []
        changes = size = 0
        for commit in self.history.changes(low, high, _FIRST_KEY, _TO_THE_END):
            commits.append(commit)
            changes += len(commit.changes)
            size += sum(len(change.kv) for change in commit.changes)
            if changes >= limits.WATCH_SLICE_CHANGES or size >= limits.WATCH_SLICE_BYTES:
                return commits, commit.revision
        return commits, high

    def _look_back(self, key: bytes, revision: int) -> bytes | None:
        if revision <= self.history.compacted:
            return None
        found = self.history.select(key, b"", revision - 1)
        return found[0] if found else None

    def _join(self, line: Line, following: Line) -> None:
        """Two lines have met: the watchers of the smaller one change over, some in each slice."""
        smaller, larger = (line, following) if line.index.size < following.index.size else (following, line)
        for watcher in list(islice(smaller.index.watchers(), limits.WATCH_SLICE_WATCHERS)):
            smaller.index.remove(watcher)
            larger.index.add(watcher)
        if not smaller.index.size:
            self._lines.remove(smaller)

    def _bring_back(self) -> None:
        if not self._draining:
            return
        stream = self._draining[0]
        if stream.is_stalled:
            # It will drain again; to serve its watchers now would only park them again.
            self._stop_draining(stream)
            return
        for watcher in list(islice(stream.parked, limits.WATCH_SLICE_WATCHERS)):
            del stream.parked[watcher]
            if watcher.from_revision < self.history.compacted:
                self._end_compacted(watcher)
            else:
                self.add(watcher)
        if stream.parked:
            self._draining.rotate(-1)
        else:
            self._stop_draining(stream)

    def _stop_draining(self, stream: WatchStream) -> None:
        self._draining.popleft()
        stream.is_draining = False

    def _leave_compacted(self) -> None:
        """Ends the watchers whose next revision has been compacted."""
        compacted = self.history.compacted
        while self._lines and self._lines[0].cursor < compacted:
            line = self._lines.pop(0)
            for watcher in line.index.release():
                # Its own start counts: the line's cursor is below what was compacted, too.
                if watcher.from_revision < compacted:
                    self._end_compacted(watcher)
                else:
                    self.add(watcher)


def _cursor(line: Line) -> int:
    return line.cursor
