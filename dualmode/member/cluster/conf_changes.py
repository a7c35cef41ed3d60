"""Decides: changes of the membership as log entries: their content, and what applying one does."""

from __future__ import annotations

import json

from dualmode.member.cluster.membership import Membership
from dualmode.peer.member import Member
from dualmode.raft import ConfChange, ConfChangeType, ConfState, Entry, EntryType, RawNode, decode_change


def add_member_entry(index: int, term: int, member: Member) -> Entry:
    """The entry that adds a member at bootstrap (etcd: change id 0, the member's JSON as context)."""
    context = json.dumps(member.to_json(), separators=(",", ":")).encode()
    change = ConfChange(ConfChangeType.ADD_NODE, member.id, context)
    return Entry(EntryType.CONF_CHANGE, term, index, change.encode())


def apply_conf_change(node: RawNode, membership: Membership | None, entry: Entry) -> ConfState:
    """Tells the Raft node, and the membership unless this is a replay (None) of what it knows."""
    change = decode_change(entry)
    if membership is not None and isinstance(change, ConfChange):
        _change_members(membership, change)
    return node.apply_conf_change(change, entry.index)


def _change_members(membership: Membership, change: ConfChange) -> None:
    if change.type == ConfChangeType.REMOVE_NODE:
        membership.remove(change.node_id)
        return
    member = Member.from_json(json.loads(change.context))
    known = membership.get(member.id)
    if known is not None and change.type == ConfChangeType.ADD_NODE and known.is_learner:
        # A promotion: the context carries no URLs, the member keeps what it has.
        member = Member(known.id, known.peer_urls, known.name, known.client_urls, is_learner=False)
    membership.put(member)
