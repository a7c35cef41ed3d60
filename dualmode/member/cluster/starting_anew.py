"""Decides: the entries that make a member the only one of its cluster (etcd's --force-new-cluster).

For when the majority is lost for good. Behind all that is in the log entries remove every other member, and make a
voter of this one if it is none. They count as committed, though nobody else has seen them: that is what makes this
unsafe, should one of the others still live.

etcd gives up what this member does not know to be committed. The tail of its log may have been, and acknowledged, with
only the news of it still on the way; nobody is left who could say otherwise. So here it is kept: a write whose client
was told of a timeout may turn out to have happened, which is what a timeout means anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from dualmode.member.cluster.conf_changes import add_change, promote_change, remove_change
from dualmode.peer.member import Member
from dualmode.raft import AnyConfChange, ConfChange, ConfChangeType, ConfState, Entry, EntryType, decode_change


def lone_member_entries(
    own_id: int, peer_urls: tuple[str, ...], conf_state: ConfState, entries: Sequence[Entry], term: int, last_index: int
) -> list[Entry]:
    """What is appended behind `last_index`. `conf_state` is that of the log snapshot which `entries` come behind. This
    member stays a voter, or becomes one, before the others go: a cluster never has none."""
    voters, learners = set(conf_state.voters) | set(conf_state.voters_outgoing), set(conf_state.learners)
    for entry in entries:
        if entry.type != EntryType.NORMAL:
            _follow(voters, learners, decode_change(entry))
    changes: list[ConfChange] = []
    if own_id in learners:
        changes.append(promote_change(0, own_id))
    elif own_id not in voters:
        changes.append(add_change(0, Member(own_id, peer_urls)))
    others = sorted((voters | learners) - {own_id})
    changes += [remove_change(0, one) for one in others]
    return [
        Entry(EntryType.CONF_CHANGE, term, index, change.encode())
        for index, change in enumerate(changes, last_index + 1)
    ]


def _follow(voters: set[int], learners: set[int], change: AnyConfChange) -> None:
    for one in change.as_v2().changes:
        if one.type == ConfChangeType.UPDATE_NODE:
            continue
        voters.discard(one.node_id)
        learners.discard(one.node_id)
        if one.type == ConfChangeType.ADD_NODE:
            voters.add(one.node_id)
        elif one.type == ConfChangeType.ADD_LEARNER_NODE:
            learners.add(one.node_id)
