"""Decides: what becomes of a proposal at a leader."""

from __future__ import annotations

from collections.abc import Sequence

from dualmode.raft import printing
from dualmode.raft.changes import ConfChangeV2, decode_change
from dualmode.raft.core import Core
from dualmode.raft.errors import ChangeDecodeError, ProposalDropped
from dualmode.raft.replication import append_entries, broadcast_append
from dualmode.raft.types import NONE, Entry, EntryType


def propose(core: Core, proposed: Sequence[Entry]) -> None:
    """Append entries and send them to everybody. Raises `ProposalDropped`."""
    if not proposed:
        core.fatal(f"{core.id:x} stepped empty MsgProp")
    _check_may_propose(core)
    first = core.log.last_index() + 1
    # The proposed objects may be shared with a message that arrives twice, so the log gets its own.
    entries = [
        Entry(item.type, data=item.data)
        if item.type == EntryType.NORMAL
        else _admit_change(core, item, first + position)
        for position, item in enumerate(proposed)
    ]
    _append(core, entries)


def propose_many(core: Core, batch: Sequence[bytes]) -> int:
    """The same for a batch of plain data, cheaper. Returns the index of the first entry. Raises `ProposalDropped`."""
    _check_may_propose(core)
    first, normal = core.log.last_index() + 1, EntryType.NORMAL
    _append(core, [Entry(normal, 0, 0, data) for data in batch])
    return first


def _check_may_propose(core: Core) -> None:
    if core.id not in core.tracker.progress:
        # Removed from the configuration while leading.
        raise ProposalDropped
    if core.transferee != NONE:
        core.logger.debug(
            f"{core.id:x} [term {core.term}] transfer leadership to {core.transferee:x} is in progress; "
            "dropping proposal"
        )
        raise ProposalDropped


def _append(core: Core, entries: list[Entry]) -> None:
    if not append_entries(core, entries):
        raise ProposalDropped
    broadcast_append(core)


def _admit_change(core: Core, item: Entry, index: int) -> Entry:
    """The entry itself, or the empty one that takes the place of a change that must not be proposed now."""
    try:
        change = decode_change(item).as_v2()
    except ChangeDecodeError as error:
        core.logger.error(f"{core.id:x} dropping proposal with an undecodable conf change: {error}")
        raise ProposalDropped from None
    reason = _reason_to_refuse(core, change)
    if reason and not core.config.disable_conf_change_validation:
        core.logger.info(
            f"{core.id:x} ignoring conf change {printing.change(change)} at config "
            f"{printing.configuration(core.tracker.configuration)}: {reason}"
        )
        return Entry()
    core.pending_conf_index = index
    return Entry(item.type, data=item.data)


def _reason_to_refuse(core: Core, change: ConfChangeV2) -> str:
    """Only one change may be on its way, and a joint configuration must be left before the next."""
    if core.pending_conf_index > core.log.applied:
        return f"possible unapplied conf change at index {core.pending_conf_index} (applied to {core.log.applied})"
    joint = core.tracker.configuration.joint
    if joint and change.changes:
        return "must transition out of joint config first"
    if not joint and not change.changes:
        return "not in joint state; refusing empty conf change"
    return ""
