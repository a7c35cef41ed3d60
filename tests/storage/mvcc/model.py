"""Decides: the naive twin of the store: every version of every key in plain lists, obviously right and slow."""

from __future__ import annotations

from dataclasses import dataclass, field

import google_crc32c

from dualmode.storage.mvcc import keyvalue
from dualmode.storage.mvcc.keyvalue import Fields

ChangeSeen = tuple[bytes, Fields, bool, Fields | None]  #: key, what a watcher sees, is deletion, previous


def matches(key: bytes, range_end: bytes, candidate: bytes) -> bool:
    if range_end == b"":
        return candidate == key
    if range_end == b"\x00":
        return candidate >= key
    return key <= candidate < range_end


@dataclass
class Version:
    main: int
    sub: int
    fields: Fields | None  #: None: deleted


def _creates(seen: Fields, is_delete: bool) -> bool:
    return not is_delete and seen.create_revision == seen.mod_revision


@dataclass
class Model:
    revision: int = 1
    compacted: int = -1
    versions: dict[bytes, list[Version]] = field(default_factory=dict)
    #: Revision -> sub-revision -> change, as far as compaction left them.
    commits: dict[int, dict[int, ChangeSeen]] = field(default_factory=dict)
    published: list[tuple[int, list[ChangeSeen]]] = field(default_factory=list)  #: as they were made, never compacted
    transaction: list[ChangeSeen] | None = None

    # --- Writing

    def put(self, key: bytes, value: bytes, lease: int) -> Fields | None:
        old = self.get(key)
        main = self.revision + 1
        new = (
            Fields(key, old.create_revision, main, old.version + 1, value, lease)
            if old
            else Fields(key, main, main, 1, value, lease)
        )
        self._write([(key, new, False, old)])
        return old

    def delete_range(self, key: bytes, range_end: bytes) -> list[Fields]:
        gone = self.select(key, range_end)
        main = self.revision + 1
        self._write([(one.key, Fields(one.key, 0, main, 0, b"", 0), True, one) for one in gone])
        return gone

    def begin(self) -> None:
        self.transaction = []

    def commit(self) -> None:
        changes, self.transaction = self.transaction, None
        if changes:
            self.revision += 1
            self.commits[self.revision] = dict(enumerate(changes))
            # Watchers hear of the record before the whole transaction, but of none where a put creates its key.
            before: dict[bytes, Fields | None] = {}
            first = [before.setdefault(key, old) for key, _, _, old in changes]
            told = [
                (key, seen, gone, None if _creates(seen, gone) else old)
                for (key, seen, gone, _), old in zip(changes, first, strict=True)
            ]
            self.published.append((self.revision, told))

    def _write(self, changes: list[ChangeSeen]) -> None:
        alone = self.transaction is None
        if alone:
            self.begin()
        assert self.transaction is not None
        for change in changes:
            key, seen, is_delete, _ = change
            version = Version(self.revision + 1, len(self.transaction), None if is_delete else seen)
            self.versions.setdefault(key, []).append(version)
            self.transaction.append(change)
        if alone:
            self.commit()

    # --- Reading

    @property
    def current_revision(self) -> int:
        return self.revision + 1 if self.transaction else self.revision

    def get(self, key: bytes) -> Fields | None:
        found = self.select(key, b"")
        return found[0] if found else None

    def select(self, key: bytes, range_end: bytes, revision: int = 0) -> list[Fields]:
        found = []
        for candidate in sorted(self.versions):
            if matches(key, range_end, candidate):
                newest = self._newest(candidate, revision or self.current_revision)
                if newest and newest.fields:
                    found.append(newest.fields)
        return found

    def _newest(self, key: bytes, revision: int) -> Version | None:
        old = [version for version in self.versions[key] if version.main <= revision]
        return old[-1] if old else None

    def changes(self, low: int, high: int, key: bytes, range_end: bytes) -> list[tuple[int, list[ChangeSeen]]]:
        found = []
        for revision, changes in self.commits.items():
            touched = [change for change in changes.values() if matches(key, range_end, change[0])]
            if low <= revision <= high and touched:
                found.append((revision, [self._seen_late(revision, change) for change in touched]))
        return found

    def _seen_late(self, revision: int, change: ChangeSeen) -> ChangeSeen:
        """History gives as previous what was there before the revision, unless that is compacted."""
        key, seen, is_delete, _ = change
        before = self._newest(key, revision - 1) if revision > self.compacted else None
        return key, seen, is_delete, before.fields if before and not _creates(seen, is_delete) else None

    # --- Compaction

    def compact(self, revision: int) -> None:
        self.compacted = revision
        for key, versions in self.versions.items():
            newest = self._newest(key, revision)
            self.versions[key] = [
                version
                for version in versions
                if version.main > revision or (version is newest and (version.fields or version.main == revision))
            ]
        kept = {(version.main, version.sub) for versions in self.versions.values() for version in versions}
        self.commits = {
            main: {sub: change for sub, change in changes.items() if (main, sub) in kept}
            for main, changes in self.commits.items()
        }

    # --- Sums

    def records(self) -> list[tuple[int, int, bytes, bytes]]:
        """(main, sub, revision key, record) of etcd's bucket `key`."""
        found = []
        for key, versions in self.versions.items():
            for version in versions:
                name = version.main.to_bytes(8, "big") + b"_" + version.sub.to_bytes(8, "big")
                if version.fields is None:
                    found.append((version.main, version.sub, name + b"t", keyvalue.encode(key, 0, 0, 0, b"", 0)))
                else:
                    found.append((version.main, version.sub, name, keyvalue.encode(*version.fields)))
        return sorted(found)

    def hash(self, revision: int) -> int:
        """HashKV from its definition."""
        keep = set()
        for key in self.versions:
            newest = self._newest(key, revision)
            if newest and newest.fields:
                keep.add((newest.main, newest.sub))
        checksum: int = google_crc32c.value(b"key")
        for main, sub, name, record in self.records():
            if main > revision:
                continue
            if main <= self.compacted and keep and (main, sub) not in keep:
                continue
            if main == self.compacted and name.endswith(b"t"):
                continue
            checksum = google_crc32c.extend(checksum, name + record)
        return checksum
