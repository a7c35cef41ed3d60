"""Does: finds out, before a new member starts, what cluster it is to be a member of.

Joining, it asks those who are members already: they know the cluster's id, and the member's own. Making a new cluster
with others, it asks whether it has been there before: a member that lost its data must not come back as if it had not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

import dualmode
from dualmode import limits, log
from dualmode.errors import PeerError, StartError
from dualmode.member import identity
from dualmode.peer.client import PeerClient
from dualmode.peer.identity_headers import release_of
from dualmode.peer.member import Member

_log = log.get("member")

#: Name -> peer URLs, as --initial-cluster has them.
InitialCluster = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class JoinedCluster:
    """A cluster that has let us in."""

    member_id: int
    cluster_id: int
    members: tuple[Member, ...]


def match_members(
    name: str, initial_cluster: InitialCluster, members: Sequence[Member], cluster_id: int
) -> JoinedCluster:
    """Which of the cluster's members is which of those we were told of, by their peer URLs (etcd
    `ValidateClusterAndAssignIDs`). Raises StartError."""
    if name not in initial_cluster:
        raise StartError(f'couldn\'t find local name "{name}" in the initial cluster configuration')
    if len(initial_cluster) != len(members):
        raise StartError(
            f"error validating peerURLs {_described(members)}: member count is unequal: --initial-cluster names "
            f"{len(initial_cluster)} members, the cluster has {len(members)}; add this member to the cluster first"
        )
    by_urls = {frozenset(one.peer_urls): one for one in members}
    found: dict[str, Member] = {}
    for one, urls in initial_cluster.items():
        member = by_urls.get(frozenset(urls))
        if member is None:
            raise StartError(
                f"error validating peerURLs {_described(members)}: unmatched member while checking PeerURLs "
                f"({one}={','.join(urls)})"
            )
        found[one] = member
    return JoinedCluster(found[name].id, cluster_id, tuple(members))


def _described(members: Sequence[Member]) -> str:
    return "[" + " ".join(f"{one.id:x}={','.join(one.peer_urls)}" for one in members) + "]"


async def join(name: str, initial_cluster: InitialCluster, client: PeerClient) -> JoinedCluster:
    """Asks the members of a running cluster. Raises StartError when none answers or we are not among them."""
    others = [url for one, urls in initial_cluster.items() if one != name for url in urls]
    faults: list[str] = []
    for url in others:
        try:
            cluster_id, members = await client.members(url)
        except PeerError as error:
            faults.append(str(error))
            continue
        joined = match_members(name, initial_cluster, members, cluster_id)
        await _check_versions(others, client)
        return joined
    raise StartError(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs: "
        + "; ".join(faults or ["--initial-cluster names nobody else"])
    )


async def _check_versions(urls: Sequence[str], client: PeerClient) -> None:
    """At least one member must say the cluster's version, and none may say one that is above ours (etcd
    `isCompatibleWithCluster`)."""
    known: list[str] = []
    for url in urls:
        try:
            version = (await client.version(url)).get("etcdcluster", "")
        except PeerError as error:
            _log.warning("a member does not tell its version", error=str(error))
            continue
        if version and version != "not_decided":
            known.append(version)
    ours = release_of(dualmode.ETCD_VERSION)
    if not known or any(not (3, 0) <= release_of(version) <= ours for version in known):
        raise StartError(f"incompatible with current running cluster: it is of version {', '.join(known) or 'unknown'}")


async def check_is_new(name: str, initial_cluster: InitialCluster, token: str, client: PeerClient) -> None:
    """Whether the other members of a cluster to be made know us from before. Raises StartError then; members that do
    not answer (they start like us) say nothing."""
    own_id = identity.member_id(initial_cluster.get(name, ()), token)
    others = [url for one, urls in initial_cluster.items() if one != name for url in urls]
    known = False

    async def ask(url: str) -> None:
        nonlocal known
        try:
            with trio.fail_after(limits.PEER_DIAL_SECONDS):
                _, members = await client.members(url)
        except (PeerError, trio.TooSlowError):
            return
        known = known or any(one.id == own_id and one.client_urls for one in members)

    async with trio.open_nursery() as nursery:
        for url in others:
            nursery.start_soon(ask, url)
    if known:
        raise StartError(
            f"member {own_id:x} has already been bootstrapped: its data is lost; remove it from the cluster, add it "
            "again, and start it with --initial-cluster-state existing"
        )
