"""Does: what this member answers other members on plain pages of its peer listener (`peer.interface.PeerService`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

import dualmode
from dualmode import errors, limits
from dualmode.api import etcdserverpb
from dualmode.member.cluster.service import ClusterService
from dualmode.member.lease.service import LeaseService
from dualmode.member.replica import Replica
from dualmode.peer.interface import KvHash
from dualmode.peer.member import Member
from dualmode.storage.mvcc.hashing import StoreHash


class PeerAnswers:
    """Of one member."""

    def __init__(
        self,
        replica: Replica,
        cluster: ClusterService,
        lease: LeaseService,
        hash_by_revision: Callable[[int], Awaitable[StoreHash]],
    ) -> None:
        self._replica = replica
        self._cluster = cluster
        self._lease = lease
        self._hash_by_revision = hash_by_revision

    def members(self) -> list[Member]:
        """As of what this member has applied."""
        return self._cluster.members

    def versions(self) -> dict[str, str]:
        """See PeerService."""
        cluster = self._replica.applier.membership.cluster_version
        return {
            "etcdserver": dualmode.ETCD_VERSION,
            "etcdcluster": cluster or "not_decided",
            "storage": dualmode.ETCD_VERSION,
        }

    def is_downgrade_enabled(self) -> bool:
        """See PeerService."""
        return self._replica.applier.downgrade.is_enabled

    async def promote(self, member_id: int) -> list[Member]:
        """See PeerService."""
        return await self._cluster.promote_here(member_id)

    async def keep_alive(self, lease_id: int) -> int:
        """See PeerService. Raises LEASE_NOT_FOUND, NOT_LEADER, TIMEOUT_WAIT_APPLIED."""
        await self._wait_until_applied()
        ttl = await self._lease.renew_here(lease_id)
        if ttl is None:
            raise errors.NOT_LEADER
        return ttl

    async def time_to_live(self, lease_id: int, with_keys: bool) -> bytes:
        """See PeerService. Raises as `keep_alive`."""
        await self._wait_until_applied()
        if not self._replica.is_leader:
            raise errors.NOT_LEADER
        request = etcdserverpb.LeaseTimeToLiveRequest(ID=lease_id, keys=with_keys)
        found = self._lease.time_to_live_here(request)
        if found.TTL == -1 and not found.grantedTTL:
            raise errors.LEASE_NOT_FOUND
        return bytes(found.SerializeToString())

    async def _wait_until_applied(self) -> None:
        """What was committed when the call came must be applied: a lease may be among it."""
        if not self._replica.is_leader:
            raise errors.NOT_LEADER
        with trio.move_on_after(limits.WAIT_APPLIED_SECONDS) as scope:
            await self._replica.applying.wait_until(self._replica.node.committed)
        if scope.cancelled_caught:
            raise errors.TIMEOUT_WAIT_APPLIED

    async def hash_kv(self, revision: int) -> KvHash:
        """See PeerService. Raises COMPACTED, FUTURE_REVISION."""
        checksum, compact_revision, current = await self._hash_by_revision(revision)
        return KvHash(current, checksum, compact_revision, revision if revision > 0 else current)
