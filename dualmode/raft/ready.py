"""Decides: what a Ready holds: what its owner must persist, send and apply, in that order.

Everything in a Ready is a copy of what was true when it was taken; later steps do not change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dualmode.raft import printing
from dualmode.raft.core import Core
from dualmode.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    Entry,
    HardState,
    Message,
    MessageType,
    ReadState,
    Snapshot,
    SoftState,
)

EMPTY_HARD_STATE = HardState()


@dataclass(slots=True, eq=False)
class Ready:
    """One batch of work for the owner of a core.

    The owner writes `hard_state`, `entries` and `snapshot` to disk (synced if `must_sync`), sends `messages` (a
    leader may send while it writes; a follower must have written before), applies `committed_entries`, then calls
    `advance`. With asynchronous storage writes the first and the last are messages to the two local threads instead.
    """

    #: Set when leader or role have changed.
    soft_state: SoftState | None = None
    #: Set when term, vote or commit have changed.
    hard_state: HardState | None = None
    read_states: list[ReadState] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    snapshot: Snapshot | None = None
    committed_entries: list[Entry] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    must_sync: bool = False

    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.soft_state
            or self.hard_state
            or self.read_states
            or self.entries
            or self.snapshot
            or self.committed_entries
            or self.messages
        )

    def describe(self) -> str:
        """The form of transcripts: a line each for what is there."""
        if self.empty():
            return "<empty Ready>"
        lines = [f"Ready MustSync={'true' if self.must_sync else 'false'}:"]
        if self.soft_state is not None:
            lines.append(printing.soft_state(self.soft_state))
        if self.hard_state is not None:
            lines.append(f"HardState {printing.hard_state(self.hard_state)}")
        if self.read_states:
            lines.append(f"ReadStates {printing.read_states(self.read_states)}")
        if self.entries:
            lines += ["Entries:", *printing.entries(self.entries)]
        if self.snapshot is not None:
            lines.append(f"Snapshot {printing.snapshot(self.snapshot)}")
        if self.committed_entries:
            lines += ["CommittedEntries:", *printing.entries(self.committed_entries)]
        if self.messages:
            lines += ["Messages:", *map(printing.message, self.messages)]
        return "\n".join(lines) + "\n"


def build(core: Core, shown_soft: SoftState, shown_hard: HardState) -> Ready:
    """What there is to do now. It must be accepted before anything else happens to the core."""
    asynchronous = core.config.async_storage_writes
    soft, hard = core.soft_state(), core.hard_state()
    entries = core.log.unstable.next_entries()
    ready = Ready(
        soft_state=soft if soft != shown_soft else None,
        hard_state=hard if hard not in (shown_hard, EMPTY_HARD_STATE) else None,
        read_states=core.read_states,
        entries=entries,
        snapshot=core.log.unstable.next_snapshot(),
        committed_entries=core.log.next_committed(allow_unstable=not asynchronous),
        messages=list(core.messages),
        must_sync=bool(entries) or hard[:2] != shown_hard[:2],
    )
    if asynchronous:
        ready.messages += _work_for_threads(core, ready)
    else:
        ready.messages += [message for message in core.messages_after_append if message.to != core.id]
    return ready


def _work_for_threads(core: Core, ready: Ready) -> list[Message]:
    work = []
    if ready.entries or ready.hard_state or ready.snapshot or core.messages_after_append:
        work.append(_storage_append(core, ready))
    if ready.committed_entries:
        work.append(_storage_apply(core, ready.committed_entries))
    return work


def accept(core: Core, ready: Ready) -> list[Message]:
    """Note that `ready` has been handed out. Returns what a synchronous node has to step when it is done with it."""
    asynchronous = core.config.async_storage_writes
    steps: list[Message] = []
    if not asynchronous:
        steps = [message for message in core.messages_after_append if message.to == core.id]
        if core.log.unstable.entries or ready.snapshot:
            steps.append(_storage_append_response(core, ready.snapshot))
        if ready.committed_entries:
            steps.append(_storage_apply_response(core, ready.committed_entries))
    core.read_states = []
    core.messages = []
    core.messages_after_append = []
    core.log.unstable.accept_in_progress()
    if ready.committed_entries:
        core.log.accept_applying(ready.committed_entries, allow_unstable=not asynchronous)
    return steps


def _storage_append(core: Core, ready: Ready) -> Message:
    """Orders the append thread to write, and then to let go what may leave only after that."""
    hard = ready.hard_state or EMPTY_HARD_STATE
    responses = list(core.messages_after_append)
    if core.log.unstable.entries or ready.snapshot:
        responses.append(_storage_append_response(core, ready.snapshot))
    return Message(
        MessageType.STORAGE_APPEND,
        to=APPEND_THREAD,
        sender=core.id,
        entries=ready.entries,
        term=hard.term,
        vote=hard.vote,
        commit=hard.commit,
        snapshot=ready.snapshot,
        responses=responses,
    )


def _storage_append_response(core: Core, snapshot: Snapshot | None) -> Message:
    """Says how far the log is on disk once everything handed out so far has been written.

    It names the last entry even when this Ready brings none: an acknowledgement of an earlier term is not believed, so
    writes still under way when the term changed need another one.
    """
    response = Message(
        MessageType.STORAGE_APPEND_RESPONSE, to=core.id, sender=APPEND_THREAD, term=core.term, snapshot=snapshot
    )
    if core.log.unstable.entries:
        response.index = core.log.last_index()
        response.log_term = core.log.last_term()
    return response


def _storage_apply(core: Core, entries: list[Entry]) -> Message:
    return Message(
        MessageType.STORAGE_APPLY,
        to=APPLY_THREAD,
        sender=core.id,
        entries=entries,
        responses=[_storage_apply_response(core, entries)],
    )


def _storage_apply_response(core: Core, entries: list[Entry]) -> Message:
    return Message(MessageType.STORAGE_APPLY_RESPONSE, to=core.id, sender=APPLY_THREAD, entries=entries)
