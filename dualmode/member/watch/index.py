"""Decides: which watchers hear of a key.

Watchers of an identical interval form one group. Groups of a single key are found in a dictionary; groups of ranges
stand in a tree (`member/interval_tree.py`), so that ten thousand watchers of other keys cost a put next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dualmode.member.interval_tree import IntervalTree, Node
from dualmode.member.watch.encoding import Event
from dualmode.member.watch.watcher import Watcher, WatchStream
from dualmode.rpc.framing import by_length

_NONE: Sequence[Group] = ()


class Cohort:
    """Watchers of one interval on one stream that want the same of it. They hear the same under different ids, so what
    they hear is put together for all of them at once."""

    __slots__ = ("_ids", "from_revision", "notified", "stream", "wants", "wants_fragments", "watchers")

    def __init__(self, watcher: Watcher) -> None:
        self.stream = watcher.stream
        self.wants = watcher.wants
        self.wants_fragments = watcher.wants_fragments
        self.watchers: dict[Watcher, None] = {}
        #: No watcher begins behind this revision.
        self.from_revision = 0
        #: Those that want notifications of progress: they hear of events that there were some.
        self.notified: list[Watcher] = []
        self._ids: list[list[bytes]] | None = None

    def add(self, watcher: Watcher) -> None:
        """Takes one in."""
        self.watchers[watcher] = None
        self.from_revision = max(self.from_revision, watcher.from_revision)
        if watcher.has_progress_notify:
            self.notified.append(watcher)
        self._ids = None

    def remove(self, watcher: Watcher) -> None:
        """Lets one go."""
        del self.watchers[watcher]
        if watcher.has_progress_notify:
            self.notified.remove(watcher)
        self._ids = None

    @property
    def ids(self) -> list[list[bytes]]:
        """The id fields of all, those of one length together."""
        ids = self._ids
        if ids is None:
            ids = self._ids = by_length(watcher.id_field for watcher in self.watchers)
        return ids


class Group(Node):
    """All watchers of one interval in one index; a node of the tree if it is a range."""

    __slots__ = ("cohorts", "events")

    def __init__(self, low: bytes, high: bytes | None) -> None:
        super().__init__(low, high)
        self.cohorts: dict[tuple[WatchStream, int, bool], Cohort] = {}
        #: Events gathered for them during one delivery.
        self.events: list[Event] = []

    def add(self, watcher: Watcher) -> None:
        """Takes one in."""
        key = watcher.stream, watcher.wants, watcher.wants_fragments
        cohort = self.cohorts.get(key)
        if cohort is None:
            cohort = self.cohorts[key] = Cohort(watcher)
        cohort.add(watcher)
        watcher.cohort = cohort

    def remove(self, watcher: Watcher) -> None:
        """Lets one go."""
        cohort = watcher.cohort
        assert cohort is not None
        cohort.remove(watcher)
        watcher.cohort = None
        if not cohort.watchers:
            del self.cohorts[watcher.stream, watcher.wants, watcher.wants_fragments]

    def watchers(self) -> Iterator[Watcher]:
        """All of them; they must not change meanwhile."""
        for cohort in self.cohorts.values():
            yield from cohort.watchers


class WatchIndex:
    """Watchers by interval."""

    __slots__ = ("_keys", "_ranges", "_tree", "size")

    def __init__(self) -> None:
        self._keys: dict[bytes, Group] = {}
        self._ranges: dict[tuple[bytes, bytes | None], Group] = {}
        self._tree: IntervalTree[Group] = IntervalTree()
        #: Watchers in it.
        self.size = 0

    def add(self, watcher: Watcher) -> None:
        """Takes a watcher in; it must be in no index."""
        assert watcher.index is None
        low, high = watcher.low, watcher.high
        if high == low + b"\0":
            group = self._keys.get(low)
            if group is None:
                group = self._keys[low] = Group(low, high)
        else:
            group = self._ranges.get((low, high))
            if group is None:
                group = self._ranges[low, high] = Group(low, high)
                self._tree.add(group)
        group.add(watcher)
        watcher.index, watcher.group = self, group
        self.size += 1

    def remove(self, watcher: Watcher) -> None:
        """Lets a watcher of this index go."""
        group = watcher.group
        assert watcher.index is self
        assert group is not None
        group.remove(watcher)
        watcher.index = watcher.group = None
        self.size -= 1
        if group.cohorts:
            return
        if self._keys.get(group.low) is group:
            del self._keys[group.low]
        else:
            del self._ranges[group.low, group.high]
            self._tree.remove(group)

    def matching(self, key: bytes) -> Sequence[Group]:
        """The groups whose interval has this key."""
        group = self._keys.get(key)
        if self._tree.root is None:
            return _NONE if group is None else (group,)
        found = [] if group is None else [group]
        self._tree.search(key, found)
        return found

    def watchers(self) -> Iterator[Watcher]:
        """All watchers; the index must not change meanwhile."""
        for groups in (self._keys.values(), self._ranges.values()):
            for group in groups:
                yield from group.watchers()

    def release(self) -> list[Watcher]:
        """Lets all watchers go at once."""
        everyone = list(self.watchers())
        for watcher in everyone:
            watcher.index = watcher.group = watcher.cohort = None
        self._keys, self._ranges, self._tree, self.size = {}, {}, IntervalTree(), 0
        return everyone
