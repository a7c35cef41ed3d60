"""Decides: changes of the membership as log entries: their content, whether one holds, and what applying it does.

Every member judges a change when it applies it, by the members it knows then; all know the same, so all judge alike
(etcd `membership.ValidateConfigurationChange`). One that does not hold has its entry all the same: Raft is told of it
with member 0, which changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.cluster.membership import Membership
from dualmode.peer.member import Member
from dualmode.raft import ConfChange, ConfChangeType, ConfState, Entry, EntryType, RawNode, decode_change

_ADDS: Final = (ConfChangeType.ADD_NODE, ConfChangeType.ADD_LEARNER_NODE)


def member_json(member: Member, is_promotion: bool = False) -> bytes:
    """The context of a change, in etcd's form."""
    fields = member.to_json()
    if is_promotion:
        fields |= {"peerURLs": None, "isPromote": True}
    return json.dumps(fields, separators=(",", ":")).encode()


def add_change(change_id: int, member: Member) -> ConfChange:
    """Adds a member, as a voter or as a learner."""
    kind = ConfChangeType.ADD_LEARNER_NODE if member.is_learner else ConfChangeType.ADD_NODE
    return ConfChange(kind, member.id, member_json(member), change_id)


def promote_change(change_id: int, member_id: int) -> ConfChange:
    """Makes a voter of a learner."""
    return ConfChange(ConfChangeType.ADD_NODE, member_id, member_json(Member(member_id, ()), True), change_id)


def remove_change(change_id: int, member_id: int) -> ConfChange:
    """Removes a member for ever."""
    return ConfChange(ConfChangeType.REMOVE_NODE, member_id, b"", change_id)


def update_change(change_id: int, member: Member) -> ConfChange:
    """Gives a member other peer URLs."""
    return ConfChange(ConfChangeType.UPDATE_NODE, member.id, member_json(member), change_id)


def add_member_entry(index: int, term: int, member: Member) -> Entry:
    """The entry that adds a member at bootstrap (etcd: change id 0, the member's JSON as context)."""
    return Entry(EntryType.CONF_CHANGE, term, index, add_change(0, member).encode())


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """What has become of one entry."""

    change_id: int
    conf_state: ConfState  #: as of this entry
    fault: RpcError | None  #: why it changed nothing


def apply_conf_change(node: RawNode, membership: Membership, entry: Entry, is_replay: bool = False) -> AppliedChange:
    """Tells the Raft node and the membership; with `is_replay` the membership has it already, and only Raft must hear
    of it as it did the first time."""
    change = decode_change(entry)
    if not isinstance(change, ConfChange):
        return AppliedChange(0, node.apply_conf_change(change, entry.index), None)
    fault = None
    if is_replay:
        # A refused addition left no trace: its id is neither a member's nor a former one's.
        if change.type in _ADDS and not membership.has_known(change.node_id):
            change = replace(change, node_id=0)
    else:
        fault = _change_members(membership, change)
        if fault is not None:
            change = replace(change, node_id=0)
    return AppliedChange(change.id, node.apply_conf_change(change, entry.index), fault)


def changes_members(entries: list[Entry]) -> bool:
    """Whether any of these entries is a change of members."""
    return any(entry.type != EntryType.NORMAL for entry in entries)


def _change_members(membership: Membership, change: ConfChange) -> RpcError | None:
    """Changes the membership, or says why not."""
    member_id = change.node_id
    if membership.is_removed(member_id):
        return errors.MEMBER_NOT_FOUND
    if change.type == ConfChangeType.REMOVE_NODE:
        if membership.get(member_id) is None:
            return errors.MEMBER_NOT_FOUND
        membership.remove(member_id)
        return None
    described = _context_of(change)
    if described is None:
        return errors.BAD_MEMBER_URLS
    (fields, member), known = described, membership.get(member_id)
    if change.type == ConfChangeType.UPDATE_NODE:
        return _update(membership, known, member)
    if fields.get("isPromote"):
        return _promote(membership, known)
    return _add(membership, known, replace(member, is_learner=change.type == ConfChangeType.ADD_LEARNER_NODE))


def _context_of(change: ConfChange) -> tuple[dict[str, Any], Member] | None:
    """(the JSON, the member in it); None when it is none: a log entry must not end the member that applies it."""
    try:
        fields: dict[str, Any] = json.loads(change.context)
        member = Member.from_json(fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (fields, member) if member.id == change.node_id else None


def _add(membership: Membership, known: Member | None, member: Member) -> RpcError | None:
    if known is not None:
        return errors.MEMBER_EXISTS
    if membership.uses_any(member.peer_urls):
        return errors.PEER_URL_EXISTS
    if member.is_learner and membership.learners >= membership.max_learners:
        return errors.TOO_MANY_LEARNERS
    membership.put(member)
    return None


def _promote(membership: Membership, known: Member | None) -> RpcError | None:
    if known is None:
        return errors.MEMBER_NOT_FOUND
    if not known.is_learner:
        return errors.MEMBER_NOT_LEARNER
    membership.put(replace(known, is_learner=False))
    return None


def _update(membership: Membership, known: Member | None, member: Member) -> RpcError | None:
    if known is None:
        return errors.MEMBER_NOT_FOUND
    if membership.uses_any(member.peer_urls, but=member.id):
        return errors.PEER_URL_EXISTS
    membership.put(replace(known, peer_urls=member.peer_urls))
    return None
