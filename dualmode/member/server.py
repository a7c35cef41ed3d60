"""Does: the services of a member on its core, and the tasks that keep both going."""

from __future__ import annotations

import secrets
from functools import partial

import trio

from dualmode.edge.outbox import Outbox
from dualmode.member.auth.access import Access
from dualmode.member.auth.method_rules import guarded
from dualmode.member.auth.passwords import Passwords
from dualmode.member.auth.service import AuthService
from dualmode.member.auth.verified_passwords import VerifiedPasswords
from dualmode.member.cluster.service import ClusterService
from dualmode.member.concurrency.election import ElectionService
from dualmode.member.concurrency.local_client import LocalClient, Services
from dualmode.member.concurrency.lock import LockService
from dualmode.member.core import MemberCore
from dualmode.member.kv.range_stream import RangeStream
from dualmode.member.kv.service import KvService
from dualmode.member.leader_streams import LeaderStreams
from dualmode.member.lease.cluster_leader import ClusterLeader
from dualmode.member.lease.expiry import LeaseExpiry
from dualmode.member.lease.service import LeaseService
from dualmode.member.maintenance.service import MaintenanceService
from dualmode.member.maintenance.snapshot_service import SnapshotService
from dualmode.member.opening import OpenMember
from dualmode.member.options import MemberOptions
from dualmode.member.surroundings import Surroundings
from dualmode.member.watch.service import WatchService
from dualmode.peer.client import PeerClient
from dualmode.rpc.calls import Method


class MemberServer(MemberCore):
    """One member, whole: what its core does, offered to clients."""

    def __init__(
        self,
        options: MemberOptions,
        opened: OpenMember,
        outbox: Outbox,
        surroundings: Surroundings | None = None,
        peer_client: PeerClient | None = None,
    ) -> None:
        super().__init__(options, opened, outbox, surroundings)
        self.peer_client = peer_client or PeerClient(None)
        replica, accounts = self.replica, self.management.accounts
        self.access = Access(
            accounts,
            self.management.tokens,
            self.store.leases,
            trusts_certificates=options.auth.trusts_certificates,
        )
        self.leader_streams = LeaderStreams()
        self.watch = WatchService(self.watch_hub, self.leader_streams, self.access.check_read)
        self._make_lease_services()
        self.kv = KvService(
            replica, options.max_txn_operations, self.compactor.physical, self.access, options.slow_apply_seconds
        )
        self.range_stream = RangeStream(replica, self.kv.counts, self.access.check_read, options.max_request_bytes)
        passwords = Passwords(options.auth.bcrypt_cost, VerifiedPasswords(secrets.token_bytes(32)))
        self.auth = AuthService(replica, accounts, self.access, self.management.tokens, passwords)
        self.cluster = ClusterService(
            replica,
            self.request_ids.next,
            self.surroundings.unix_seconds,
            is_strict=options.strict_reconfig_check,
            request_timeout_seconds=options.request_timeout_seconds,
        )
        self.maintenance = MaintenanceService(replica, options.quota_bytes, options.heartbeat_seconds, self.store_guard)
        self.snapshot = SnapshotService(replica, self.snapshot_files)
        local = Services(self.kv.range, self.kv.txn, self.kv.delete_range, self.lease.grant, self.watch_hub)
        self.election = ElectionService(partial(LocalClient, local), self.leader_streams)
        self.lock = LockService(partial(LocalClient, local))

    def _make_lease_services(self) -> None:
        options, replica = self.options, self.replica
        leader = ClusterLeader(replica, self.peer_client, options.election_seconds)
        self.lease_expiry = LeaseExpiry(
            self.lessor,
            leader,
            replica.intake.propose,
            propose_for=self.access.root,
            extend_seconds=options.election_seconds,
        )
        replica.leadership.on_change.append(self.lease_expiry.on_leadership)
        self.lease = LeaseService(
            self.lessor,
            self.store.leases,
            leader,
            self.leader_streams,
            propose=replica.intake.propose,
            header_field=lambda: self.headers.field(self.store.revision),
            next_lease_id=self.request_ids.next_lease,
            request_timeout_seconds=options.request_timeout_seconds,
            guard=self.access,
        )

    def methods(self) -> list[Method]:
        """All RPCs this member serves, each behind the rule of who may call it."""
        services = (
            self.kv,
            self.range_stream,
            self.watch,
            self.lease,
            self.cluster,
            self.maintenance,
            self.election,
            self.lock,
            self.snapshot,
            self.auth,
        )
        return [guarded(method, self.access) for service in services for method in service.methods()]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled. Raises `StorageError` when the disk fails; the first error ends everything."""
        try:
            async with trio.open_nursery() as nursery:
                self.outbox.start(nursery)
                nursery.start_soon(self.replica.run)
                nursery.start_soon(self.watch.run)
                nursery.start_soon(self.lease_expiry.run)
                nursery.start_soon(self._look_for_leader)
                nursery.start_soon(self.compactor.run)
                if self.auto_compactor is not None:
                    nursery.start_soon(self.auto_compactor.run)
                nursery.start_soon(self.log_compactor.run)
                task_status.started()
        finally:
            self.disk_door.close()

    async def _look_for_leader(self) -> None:
        while True:
            await trio.sleep(self.options.election_seconds)
            self.leader_streams.look(self.replica.has_leader)
