"""Decides: one node of the interaction environment: a core, its storage, its queues of local work, its history."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from dualmode.raft import (
    Config,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Logger,
    MemoryStorage,
    Message,
    RawNode,
    Snapshot,
    SnapshotMetadata,
    decode_change,
)
from tests.raft.language.changes import CommandError


class HistoryStorage(MemoryStorage):
    """Offers the newest snapshot of the application to whoever needs one, not the one the log was started from."""

    def __init__(self, initial: Snapshot) -> None:
        super().__init__()
        self.history = [initial]

    def snapshot(self) -> Snapshot:
        return self.history[-1]


class Node:
    """A core and everything its owner does for it."""

    def __init__(self, config: Config, initial: Snapshot, logger: Logger) -> None:
        self.config = config
        self.storage = HistoryStorage(initial)
        if initial != Snapshot():
            self.storage.apply_snapshot(initial)
        # Transcripts do not depend on the drawn timeout, so the longest one will do.
        self.raw = RawNode(config, self.storage, logger, lambda ticks: ticks - 1)
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()

    @property
    def asynchronous(self) -> bool:
        return self.config.async_storage_writes

    def persist(self, hard_state: HardState | None, snapshot: Snapshot | None, entries: Sequence[Entry]) -> None:
        if hard_state:
            self.storage.set_hard_state(hard_state)
        if snapshot is not None and snapshot.metadata.index:
            if entries:
                raise CommandError("can't apply snapshot and entries at the same time")
            self.storage.apply_snapshot(snapshot)
        else:
            self.storage.append(entries)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply committed entries; every one of them adds a snapshot to the history."""
        for entry in entries:
            last = self.storage.history[-1]
            conf_state: ConfState = last.metadata.conf_state
            payload = entry.data
            if entry.type != EntryType.NORMAL:
                change = decode_change(entry)
                payload = change.context
                conf_state = self.raw.apply_conf_change(change)
            metadata = SnapshotMetadata(conf_state, entry.index, entry.term)
            self.storage.history.append(Snapshot(last.data + payload, metadata))
