"""Decides: what the leader sends to whom, and when an entry is committed."""

from __future__ import annotations

from collections.abc import Sequence

from dualmode.raft import printing
from dualmode.raft.core import Core
from dualmode.raft.errors import SnapshotTemporarilyUnavailable, StorageUnready
from dualmode.raft.progress import Progress, ProgressState
from dualmode.raft.types import (
    NO_LIMIT,
    Entry,
    Message,
    MessageType,
    StateType,
    payload_size,
)


def append_entries(core: Core, entries: list[Entry]) -> bool:
    """The leader adds entries that are its own objects to its log. False: the uncommitted size does not allow it."""
    if not _reserve_uncommitted(core, entries):
        core.logger.warning(
            f"{core.id:x} appending new entries to log would exceed uncommitted entry size limit; dropping proposal"
        )
        return False
    index, term = core.log.last_index(), core.term
    for entry in entries:
        index += 1
        entry.index = index
        entry.term = term
    core.log.append(entries)
    acknowledge_own(core)
    return True


def acknowledge_own(core: Core) -> None:
    """The leader's own acknowledgement. It comes back once its entries are on disk, and only then counts."""
    core.send(Message(MessageType.APPEND_RESPONSE, to=core.id, index=core.log.last_index()))


def _reserve_uncommitted(core: Core, entries: Sequence[Entry]) -> bool:
    """An empty payload never fails, nor does the first one: a leader must be able to commit its empty entry, leave a
    joint configuration, and take any single proposal."""
    limit = core.config.max_uncommitted_bytes
    if limit >= NO_LIMIT:
        return True
    size = payload_size(entries)
    if core.uncommitted_size > 0 and size > 0 and core.uncommitted_size + size > limit:
        return False
    core.uncommitted_size += size
    return True


def release_uncommitted(core: Core, entries: Sequence[Entry]) -> None:
    """These entries have been applied."""
    if core.uncommitted_size:
        core.uncommitted_size = max(core.uncommitted_size - payload_size(entries), 0)


def become_leader(core: Core) -> None:
    """The new leader's empty entry lets it commit what former leaders left behind."""
    core.reset(core.term)
    core.leader = core.id
    core.state = StateType.LEADER
    own = core.tracker.progress.get(core.id)
    if own is not None:
        own.become_replicate()
        own.recently_active = True
    # There may be a change among the entries not yet applied; finding out costs more than waiting for them.
    core.pending_conf_index = core.log.last_index()
    if not append_entries(core, [Entry()]):
        core.fatal("empty entry was dropped")
    core.logger.info(f"{core.id:x} became leader at term {core.term}")


def maybe_commit(core: Core) -> bool:
    """Commit what a quorum has. Only entries of the own term are committed by counting; older ones follow along."""
    index = core.tracker.committed()
    if index <= core.log.commit or core.log.term_or_zero(index) != core.term:
        return False
    core.log.commit_to(index)
    return True


def committed_in_own_term(core: Core) -> bool:
    """Only then does the leader know what its predecessors committed."""
    return core.log.term_or_zero(core.log.commit) == core.term


# --- sending to one peer ------------------------------------------------------------------------------------------


def send_append(core: Core, to: int, *, empty_wanted: bool = True) -> bool:
    """Send what the peer lacks, or at least (if wanted) the commit index. False if nothing was sent."""
    progress = core.tracker.progress[to]
    if progress.paused:
        return False
    previous = progress.next - 1
    try:
        previous_term = core.log.term(previous)
    except StorageUnready:
        return _send_snapshot(core, to, progress)
    entries: list[Entry] = []
    unreadable = False
    # A full window lets no entries through. An empty append still does: its answer may free the window.
    if progress.state != ProgressState.REPLICATE or not progress.inflights.full:
        try:
            entries = core.log.entries_from(progress.next, core.config.max_message_bytes)
        except StorageUnready:
            unreadable = True
    if not entries and not empty_wanted:
        return False
    if unreadable:
        return _send_snapshot(core, to, progress)
    core.send(
        Message(
            MessageType.APPEND,
            to=to,
            index=previous,
            log_term=previous_term,
            entries=entries,
            commit=core.log.commit,
        )
    )
    progress.sent_entries(len(entries), payload_size(entries))
    progress.sent_commit = core.log.commit
    return True


def _send_snapshot(core: Core, to: int, progress: Progress) -> bool:
    """The entries the peer needs are gone. A peer that does not answer is not worth a snapshot."""
    if not progress.recently_active:
        core.logger.debug(f"ignore sending snapshot to {to:x} since it is not recently active")
        return False
    try:
        snapshot = core.log.snapshot()
    except SnapshotTemporarilyUnavailable:
        core.logger.debug(f"{core.id:x} failed to send snapshot to {to:x} because snapshot is temporarily unavailable")
        return False
    index, term = snapshot.metadata.index, snapshot.metadata.term
    if index == 0:
        core.fatal("need non-empty snapshot")
    core.logger.debug(
        f"{core.id:x} [firstindex: {core.log.first_index()}, commit: {core.log.commit}] "
        f"sent snapshot[index: {index}, term: {term}] to {to:x} [{printing.progress(progress)}]"
    )
    progress.become_snapshot(index)
    core.logger.debug(f"{core.id:x} paused sending replication messages to {to:x} [{printing.progress(progress)}]")
    core.send(Message(MessageType.SNAPSHOT, to=to, snapshot=snapshot))
    return True


def _send_heartbeat(core: Core, to: int, context: bytes) -> None:
    """The commit index is capped at what the peer is known to have: it may not have more."""
    progress = core.tracker.progress[to]
    commit = min(progress.match, core.log.commit)
    core.send(Message(MessageType.HEARTBEAT, to=to, commit=commit, context=context))
    progress.sent_commit = commit


# --- sending to all -----------------------------------------------------------------------------------------------


def broadcast_append(core: Core) -> None:
    for peer in core.tracker.others(core.id):
        send_append(core, peer)


def broadcast_heartbeat(core: Core) -> None:
    context = core.reads.heartbeat_context()
    for peer in core.tracker.others(core.id):
        _send_heartbeat(core, peer, context)
