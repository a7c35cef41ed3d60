"""Decides: what follows when writes have reached the disk, and when entries have been applied."""

from __future__ import annotations

from collections.abc import Sequence

from dualmode.raft import membership
from dualmode.raft.core import Core
from dualmode.raft.replication import release_uncommitted
from dualmode.raft.types import Entry, Message, Snapshot


def handle_storage_append_response(core: Core, message: Message) -> None:
    """Entries up to (log term, index), and a snapshot, are on disk."""
    if message.index:
        core.log.unstable.stable_to(message.index, message.log_term)
    if message.snapshot is not None:
        snapshot_applied(core, message.snapshot)


def handle_storage_apply_response(core: Core, message: Message) -> None:
    """The application has applied these entries."""
    if message.entries:
        _applied_to(core, message.entries[-1].index, message.entries)
        release_uncommitted(core, message.entries)


def snapshot_applied(core: Core, snapshot: Snapshot) -> None:
    index = snapshot.metadata.index
    core.log.unstable.stable_snapshot_to(index)
    _applied_to(core, index, ())


def _applied_to(core: Core, index: int, entries: Sequence[Entry]) -> None:
    core.log.applied_to(max(index, core.log.applied), entries)
    membership.leave_automatically(core)
