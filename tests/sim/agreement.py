"""Does: the reckoning when nothing is wrong any more: members must come to have the same, and what was agreed on."""

from __future__ import annotations

from typing import Any

import trio

from tests.sim.ledger import Ledger
from tests.sim.membership_changes import Operator
from tests.sim.node import Life
from tests.sim.trace import Violation
from tests.sim.world import World

#: Within this time, and then go on.
_RECOVERY_SECONDS = 60.0


async def agree(world: World, operator: Operator) -> None:
    """Returns when all members are up and have applied the same. Raises Violation: when that never is, when they do not
    have the same, or not what the ledger has."""
    with trio.move_on_after(_RECOVERY_SECONDS):
        while True:
            operator.start_added()
            for node in world.nodes.values():
                world.start(node)
            leader = world.leader
            if leader is not None and (members := _members(world, leader)) and _is_level(members, leader):
                return compare(members, world.ledger)
            await trio.sleep(0.1)
    raise Violation(f"the cluster does not recover: {[_state(life) for life in world.lives]}")


def _members(world: World, leader: Life) -> list[Life]:
    """The members by the leader's word; none while somebody is missing."""
    by_id = {life.node.member_id: life for life in world.lives}
    wanted = [one.id for one in leader.member.cluster.members]
    return [by_id[one] for one in wanted] if all(one in by_id for one in wanted) else []


def _is_level(members: list[Life], leader: Life) -> bool:
    committed, term = leader.member.replica.node.committed, leader.member.replica.node.term
    return (
        leader.member.store.applied_term == term
        and {life.member.replica.node.leader for life in members} == {leader.node.member_id}
        and {life.member.store.applied_index for life in members} == {committed}
        and not any(life.member.compactor._wake.is_set() for life in members)
    )


def _state(life: Life) -> str:
    node = life.member.replica.node
    names = [one.peer_urls[0] for one in life.member.cluster.members]
    return (
        f"{life.node.name} term {node.term} {node.state.printed} applied {life.member.store.applied_index} of "
        f"{node.committed} members {names}"
    )


def compare(members: list[Life], ledger: Ledger) -> None:
    """All of them have the same, and it is what was agreed on. Raises Violation."""
    first = facts(members[0])
    if first["alarms"]:
        raise Violation(f"alarms are raised: {first['alarms']}")
    for life in members:
        found = facts(life)
        for name, value in found.items():
            if value != first[name]:
                raise Violation(f"{life.node.name} has {name} {value}, {members[0].node.name} {first[name]}")
        store = life.member.store
        if store.revision != ledger.revision:
            raise Violation(f"{life.node.name} is at revision {store.revision} and not {ledger.revision}")
        for commit in store.changes(max(2, store.compacted + 1), store.revision, b"\0", b"\0"):
            changes = tuple((change.key, change.is_delete, bytes(change.kv)) for change in commit.changes)
            if changes != ledger.commits[commit.revision]:
                raise Violation(f"{life.node.name} has {changes} at {commit.revision} in its store")


def facts(life: Life) -> dict[str, Any]:
    """What must be equal on all members."""
    member = life.member
    membership = member.replica.applier.membership
    return {
        "hash": member.store.hash_by_revision(0),
        "keys": member.store.select(b"\0", b"\0", 0),
        "compacted": member.store.compacted,
        "leases": sorted((one.lease_id, one.ttl_seconds) for one in member.store.leases.all()),
        "lessor": sorted(one.lease_id for one in member.lessor.by_expiry()),
        "members": membership.members(),
        "removed": membership.removed,
        "alarms": [str(one) for one in member.replica.applier.alarms.raised()],
        "version": membership.cluster_version,
        "voters": tuple(sorted(member.replica.conf_state.voters)),
        "learners": tuple(sorted(member.replica.conf_state.learners)),
    }
