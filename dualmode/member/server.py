"""Does: puts one member together from what is on its disk, and runs its tasks."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from dualmode import limits
from dualmode.edge.outbox import Outbox
from dualmode.member.apply.alarms import Alarms
from dualmode.member.apply.applier import Applier
from dualmode.member.auth.access import Access
from dualmode.member.auth.assembly import AuthOptions, make_management
from dualmode.member.auth.method_rules import guarded
from dualmode.member.auth.passwords import Passwords
from dualmode.member.auth.service import AuthService
from dualmode.member.auth.verified_passwords import VerifiedPasswords
from dualmode.member.cluster.membership import Membership
from dualmode.member.cluster.service import ClusterService
from dualmode.member.concurrency.election import ElectionService
from dualmode.member.concurrency.local_client import LocalClient, Services
from dualmode.member.concurrency.lock import LockService
from dualmode.member.disk_door import DiskDoor
from dualmode.member.free_space import FreeSpace
from dualmode.member.headers import ResponseHeaders
from dualmode.member.identity import RequestIds
from dualmode.member.kv.range_stream import RangeStream
from dualmode.member.kv.service import KvService
from dualmode.member.leader_streams import LeaderStreams
from dualmode.member.lease.access import OneMember
from dualmode.member.lease.expiry import LeaseExpiry
from dualmode.member.lease.lessor import Lessor, minimum_ttl_seconds
from dualmode.member.lease.service import LeaseService
from dualmode.member.log_compaction import LogCompactor
from dualmode.member.log_writer import LogWriter
from dualmode.member.maintenance.auto_compaction import AutoCompactor
from dualmode.member.maintenance.compaction import Compactor
from dualmode.member.maintenance.compaction_plans import make_plan
from dualmode.member.maintenance.quota import Quota
from dualmode.member.maintenance.service import MaintenanceService
from dualmode.member.maintenance.snapshot_service import SnapshotService
from dualmode.member.maintenance.space_guard import SpaceGuard
from dualmode.member.opening import OpenMember, make_node
from dualmode.member.replica import Replica
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.watch.hub import WatchHub
from dualmode.member.watch.service import WatchService
from dualmode.metrics import Histogram, exponential_buckets
from dualmode.rpc.calls import Method


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What a member can be told about itself; where and how it listens is not its business."""

    data_dir: Path
    heartbeat_seconds: float = 0.1
    election_seconds: float = 1.0
    pre_vote: bool = True
    snapshot_count: int = limits.LOG_SNAPSHOT_ENTRIES
    snapshot_catch_up_entries: int = 5_000
    max_request_bytes: int = limits.MAX_REQUEST_BYTES
    max_txn_operations: int = limits.MAX_TXN_OPERATIONS
    quota_bytes: int | None = limits.DEFAULT_QUOTA_BYTES  #: None: no quota
    watch_progress_seconds: float = 600.0
    free_space_bytes: int = limits.FREE_SPACE_BYTES
    slow_apply_seconds: float = 0.1
    fsync: bool = True
    compaction_step_rows: int = limits.COMPACTION_STEP_ROWS
    compaction_pause_seconds: float = limits.COMPACTION_PAUSE_SECONDS
    wal_segments_kept: int = limits.WAL_SEGMENTS_KEPT
    auto_compaction_mode: str = "periodic"
    auto_compaction_seconds: float = 0.0  #: periodic; 0: never
    auto_compaction_revisions: int = 0  #: revision; 0: never
    lease_checkpoint: bool = False
    lease_checkpoint_persist: bool = False
    auth: AuthOptions = AuthOptions()  # noqa: RUF009 - a constant

    @property
    def request_timeout_seconds(self) -> float:
        """How long a request may be on its way through the log (etcd: 5 s and two election timeouts)."""
        return 5.0 + 2 * self.election_seconds


class MemberServer:
    """One member: the replica, the services on it, and the tasks that keep both going."""

    def __init__(self, options: MemberOptions, opened: OpenMember, outbox: Outbox) -> None:
        self.opened = opened
        self.outbox = outbox
        self._election_seconds = options.election_seconds
        self.wal_sync_seconds = Histogram(exponential_buckets(0.001, 2, 14))
        self.counters = ReplicaCounters()
        store = opened.store
        headers = ResponseHeaders(opened.cluster_id, opened.member_id)
        checkpoint_seconds = limits.LEASE_CHECKPOINT_INTERVAL_SECONDS if options.lease_checkpoint else None
        self.lessor = Lessor(minimum_ttl_seconds(options.election_seconds), checkpoint_seconds)
        self.lessor.load(store.leases.all())
        management = make_management(store, options.auth, trio.current_time)
        applier = Applier(store, self.lessor, Alarms(store), Membership(store), headers, trio.current_time, management)
        self.watch_hub = WatchHub(store, headers.field, interval_seconds=_with_jitter(options.watch_progress_seconds))
        self.disk_door = DiskDoor(self.wal_sync_seconds.observe)
        request_ids = RequestIds(opened.member_id, int(time.time() * 1000))
        self.replica = Replica(
            self._make_node(options),
            opened.log_snapshot.conf_state,
            store,
            applier,
            LogWriter(opened.wal, opened.raft_storage, self.disk_door, options.fsync),
            self.counters,
            request_timeout_seconds=options.request_timeout_seconds,
            tick_seconds=options.heartbeat_seconds,
            max_request_bytes=options.max_request_bytes,
            slow_apply_seconds=options.slow_apply_seconds,
            next_request_id=request_ids.next,
            publish=self.watch_hub.publish,
            flush=outbox.flush,
            free_space=FreeSpace(options.data_dir, options.free_space_bytes),
        )
        quota = Quota(options.quota_bytes, options.max_request_bytes)
        self.space_guard = SpaceGuard(quota, store, applier.alarms, opened.member_id, self.replica.propose)
        self.replica.admit = self.space_guard.admit
        applier.quota, applier.on_no_room = quota, self.space_guard.raise_alarm
        applier.keeps_checkpoints = options.lease_checkpoint_persist
        self.compactor = Compactor(store, options.compaction_step_rows, options.compaction_pause_seconds)
        self._compacted = store.compacted
        self.auto_compactor = self._make_auto_compactor(options)
        self.log_compactor = LogCompactor(
            opened.backend,
            opened.wal,
            opened.raft_storage,
            opened.log_snapshot,
            count=options.snapshot_count,
            segments_kept=options.wal_segments_kept,
            catch_up_entries=options.snapshot_catch_up_entries,
            in_pass=self.replica.in_pass,
        )
        self.replica.on_applied = self._on_applied
        outbox.before_answers = self.replica.turn_at_once
        leader = OneMember()
        self.access = Access(
            management.accounts,
            management.tokens,
            store.leases,
            trusts_certificates=options.auth.trusts_certificates,
        )
        self.lease_expiry = LeaseExpiry(
            self.lessor,
            leader,
            self.replica.propose,
            propose_for=self.access.root,
            extend_seconds=options.election_seconds,
        )
        self.replica.on_leadership.append(self.lease_expiry.on_leadership)
        self.leader_streams = LeaderStreams()
        self.watch = WatchService(self.watch_hub, self.leader_streams, self.access.check_read)
        self.lease = LeaseService(
            self.lessor,
            store.leases,
            leader,
            self.leader_streams,
            propose=self.replica.propose,
            header_field=lambda: headers.field(store.revision),
            next_lease_id=request_ids.next_lease,
            request_timeout_seconds=options.request_timeout_seconds,
            guard=self.access,
        )
        self.kv = KvService(self.replica, options.max_txn_operations, self.compactor.physical, self.access)
        passwords = Passwords(options.auth.bcrypt_cost, VerifiedPasswords(secrets.token_bytes(32)))
        self.auth = AuthService(self.replica, management.accounts, self.access, management.tokens, passwords)
        self.range_stream = RangeStream(self.replica, self.kv.counts, self.access.check_read, options.max_request_bytes)
        self.cluster = ClusterService(self.replica)
        local = Services(self.kv.range, self.kv.txn, self.kv.delete_range, self.lease.grant, self.watch_hub)
        self.election = ElectionService(partial(LocalClient, local), self.leader_streams)
        self.lock = LockService(partial(LocalClient, local))
        self.maintenance = MaintenanceService(self.replica, options.quota_bytes, options.heartbeat_seconds)
        self.snapshot = SnapshotService(self.replica, options.data_dir)

    def _make_node(self, options: MemberOptions) -> Any:
        ticks = max(2, round(options.election_seconds / options.heartbeat_seconds))
        dice = random.SystemRandom()
        return make_node(self.opened, ticks, options.pre_vote, dice.randrange)

    def _make_auto_compactor(self, options: MemberOptions) -> AutoCompactor | None:
        plan = make_plan(
            options.auto_compaction_mode,
            options.auto_compaction_seconds,
            options.auto_compaction_revisions,
            trio.current_time(),
        )
        if plan is None:
            return None
        replica, store = self.replica, self.opened.store
        return AutoCompactor(
            plan, replica.propose, revision=lambda: store.revision, is_leader=lambda: replica.is_leader
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
            await trio.sleep(self._election_seconds)
            self.leader_streams.look(self.replica.has_leader)

    def _on_applied(self, index: int, term: int) -> None:
        self.log_compactor.note_applied(index, term, self.replica.conf_state)
        self.space_guard.note_size()
        compacted = self.opened.store.compacted
        if compacted != self._compacted:
            self._compacted = compacted
            self.compactor.schedule()


def _with_jitter(interval_seconds: float) -> Callable[[], float]:
    """etcd spreads progress notifications by up to a tenth, so that not all streams are woken together."""
    dice = random.SystemRandom()
    return lambda: interval_seconds * (1 + dice.random() / 10)
