"""Does: puts together what a member is below its services: store, leases, users, replica, and who looks after them."""

from __future__ import annotations

from collections.abc import Callable

import trio

from dualmode import limits
from dualmode.edge.outbox import Outbox
from dualmode.member.apply.alarms import Alarms
from dualmode.member.apply.applier import Applier
from dualmode.member.auth.assembly import make_management
from dualmode.member.cluster.membership import Membership
from dualmode.member.free_space import FreeSpace
from dualmode.member.headers import ResponseHeaders
from dualmode.member.identity import RequestIds
from dualmode.member.lease.lessor import Lessor, minimum_ttl_seconds
from dualmode.member.log_compaction import LogCompactor
from dualmode.member.log_snapshot import LogSnapshot
from dualmode.member.log_writer import LogWriter
from dualmode.member.maintenance.auto_compaction import AutoCompactor
from dualmode.member.maintenance.compaction import Compactor
from dualmode.member.maintenance.compaction_pace import CompactionPace
from dualmode.member.maintenance.compaction_plans import make_plan
from dualmode.member.maintenance.quota import Quota
from dualmode.member.maintenance.space_guard import SpaceGuard
from dualmode.member.opening import OpenMember, make_node
from dualmode.member.options import MemberOptions
from dualmode.member.replica import Replica
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.snapshots.file import SnapshotFiles
from dualmode.member.snapshots.receiver import SnapshotReceiver
from dualmode.member.surroundings import Surroundings
from dualmode.member.watch.hub import WatchHub
from dualmode.metrics import Histogram, exponential_buckets
from dualmode.raft import RawNode


class MemberCore:
    """Everything that works without a client. `MemberServer` puts the services on top."""

    def __init__(
        self, options: MemberOptions, opened: OpenMember, outbox: Outbox, surroundings: Surroundings | None = None
    ) -> None:
        self.options = options
        self.surroundings = surroundings or Surroundings()
        self.opened = opened
        self.outbox = outbox
        self.store = opened.store
        self.headers = ResponseHeaders(opened.cluster_id, opened.member_id)
        self.request_ids = RequestIds(opened.member_id, int(self.surroundings.unix_seconds() * 1000))
        self.wal_sync_seconds = Histogram(exponential_buckets(0.001, 2, 14))
        self.counters = ReplicaCounters()
        self.disk_door = self.surroundings.make_door(self.wal_sync_seconds.observe)
        checkpoint_seconds = limits.LEASE_CHECKPOINT_INTERVAL_SECONDS if options.lease_checkpoint else None
        self.lessor = Lessor(minimum_ttl_seconds(options.election_seconds), checkpoint_seconds)
        self.lessor.load(self.store.leases.all())
        self.management = make_management(self.store, options.auth, trio.current_time)
        self.watch_hub = WatchHub(
            self.store, self.headers.field, interval_seconds=self._with_jitter(options.watch_progress_seconds)
        )
        #: Held by whoever has the store worked on in a thread, so that nobody replaces it meanwhile.
        self.store_guard = trio.Lock()
        self.log_writer = LogWriter(opened.wal, opened.raft_storage, self.disk_door, options.fsync)
        self.replica = self._make_replica()
        self.space_guard = self._guard_space()
        run_blocking = self.surroundings.run_blocking
        self.compactor = Compactor(
            self.store,
            CompactionPace(options.compaction_step_rows, options.compaction_pause_seconds),
            run_blocking=run_blocking,
            store_guard=self.store_guard,
        )
        self.auto_compactor = self._make_auto_compactor()
        self.log_compactor = self._make_log_compactor()
        self.snapshot_files = SnapshotFiles(self.store, options.data_dir, run_blocking)
        self.snapshot_receiver = SnapshotReceiver(
            self.replica, self.log_writer, options.data_dir / "member", run_blocking, self.store_guard, self._reload
        )
        self._compacted = self.store.compacted
        self.replica.applying.on_applied = self._on_applied
        outbox.before_answers = self.replica.turn_at_once

        #: Called when a snapshot has said who the members are.
        self.on_members_replaced: Callable[[], None] = lambda: None

    def _make_replica(self) -> Replica:
        options, opened = self.options, self.opened
        applier = Applier(
            self.store,
            self.lessor,
            Alarms(self.store),
            Membership(self.store, options.max_learners),
            self.headers,
            trio.current_time,
            self.management,
        )
        applier.keeps_checkpoints = options.lease_checkpoint_persist
        return Replica(
            self._make_node(),
            opened.log_snapshot.conf_state,
            self.store,
            applier,
            self.log_writer,
            self.counters,
            request_timeout_seconds=options.request_timeout_seconds,
            tick_seconds=options.heartbeat_seconds,
            max_request_bytes=options.max_request_bytes,
            slow_apply_seconds=options.slow_apply_seconds,
            next_request_id=self.request_ids.next,
            publish=self.watch_hub.publish,
            outbox=self.outbox,
            free_space=FreeSpace(options.data_dir, options.free_space_bytes),
        )

    def _make_node(self) -> RawNode:
        options = self.options
        ticks = max(2, round(options.election_seconds / options.heartbeat_seconds))
        return make_node(self.opened, ticks, options.pre_vote, self.surroundings.dice.randrange)

    def _guard_space(self) -> SpaceGuard:
        """The quota is asked twice: before a request is proposed, and when it is applied."""
        applier = self.replica.applier
        quota = Quota(self.options.quota_bytes, self.options.max_request_bytes)
        guard = SpaceGuard(quota, self.store, applier.alarms, self.opened.member_id, self.replica.intake.propose)
        self.replica.intake.admit = guard.admit
        applier.quota, applier.on_no_room = quota, guard.raise_alarm
        return guard

    def _make_auto_compactor(self) -> AutoCompactor | None:
        options, replica, store = self.options, self.replica, self.store
        plan = make_plan(
            options.auto_compaction_mode,
            options.auto_compaction_seconds,
            options.auto_compaction_revisions,
            trio.current_time(),
        )
        if plan is None:
            return None
        return AutoCompactor(
            plan, replica.intake.propose, revision=lambda: store.revision, is_leader=lambda: replica.is_leader
        )

    def _make_log_compactor(self) -> LogCompactor:
        options, opened = self.options, self.opened
        return LogCompactor(
            self.store,
            opened.wal,
            opened.raft_storage,
            opened.log_snapshot,
            count=options.snapshot_count,
            segments_kept=options.wal_segments_kept,
            catch_up_entries=options.snapshot_catch_up_entries,
            in_pass=self.replica.applying.in_pass,
            run_blocking=self.surroundings.run_blocking,
            store_guard=self.store_guard,
        )

    def _reload(self, snapshot: LogSnapshot) -> None:
        """The store is that of a snapshot from the leader: whoever remembers something of it reads it anew."""
        applier = self.replica.applier
        applier.membership.load()
        applier.alarms.load()
        applier.downgrade.load()
        self.management.accounts.load()
        self.lessor.load(self.store.leases.all())
        self.watch_hub.replace_history(self.store)
        self.log_compactor.replaced(snapshot)
        self._compacted = self.store.compacted
        self.compactor.schedule()
        self.on_members_replaced()

    def _on_applied(self, index: int, term: int) -> None:
        self.log_compactor.note_applied(index, term, self.replica.conf_state)
        self.space_guard.note_size()
        compacted = self.store.compacted
        if compacted != self._compacted:
            self._compacted = compacted
            self.compactor.schedule()

    def _with_jitter(self, interval_seconds: float) -> Callable[[], float]:
        """etcd spreads progress notifications by up to a tenth, so that not all streams are woken together."""
        dice = self.surroundings.dice
        return lambda: interval_seconds * (1 + dice.random() / 10)
