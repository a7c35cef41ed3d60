"""Decides: which of a member's numbers stand behind which of etcd's metric names. Read at scrape time only."""

from __future__ import annotations

import dualmode
from dualmode.member.facts import alarm_name
from dualmode.member.server import MemberServer
from dualmode.status.families import Labels, Value
from dualmode.status.rpc_metrics import Bindings


def bindings(member: MemberServer, quota_bytes: int) -> Bindings:
    """Name -> what reads the number."""
    return _server(member, quota_bytes) | _store(member) | _watch_and_lease(member)


def _server(member: MemberServer, quota_bytes: int) -> Bindings:
    replica, counters = member.replica, member.counters
    applier = replica.applier
    own_id = f"{applier.headers.member_id:x}"
    return {
        "etcd_server_has_leader": lambda: int(replica.has_leader),
        "etcd_server_is_leader": lambda: int(replica.is_leader),
        "etcd_server_is_learner": lambda: int(replica.is_learner),
        "etcd_server_leader_changes_seen_total": lambda: counters.leader_changes,
        "etcd_server_proposals_committed_total": lambda: replica.node.committed,
        "etcd_server_proposals_applied_total": lambda: counters.applied_index,
        "etcd_server_proposals_pending": lambda: replica.intake.pending_proposals,
        "etcd_server_slow_apply_total": lambda: counters.slow_applies,
        "etcd_server_heartbeat_send_failures_total": lambda: counters.late_heartbeats,
        "etcd_server_slow_read_indexes_total": lambda: replica.intake.reads.slow_rounds,
        "etcd_server_read_indexes_failed_total": lambda: replica.intake.reads.failed_rounds,
        "etcd_server_snapshot_apply_in_progress_total": lambda: int(member.snapshot_receiver.is_installing),
        "etcd_server_learner_promote_successes": lambda: member.cluster.promotions,
        "etcd_server_learner_promote_failures": lambda: member.cluster.promotions_refused,
        "etcd_server_proposals_failed_total": lambda: counters.proposals_failed,
        "etcd_server_quota_backend_bytes": lambda: quota_bytes,
        "etcd_server_version": lambda: _labelled((dualmode.ETCD_VERSION,)),
        "etcd_server_id": lambda: _labelled((own_id,)),
        "etcd_cluster_version": lambda: _labelled((applier.membership.cluster_version or "",)),
        "etcd_debugging_server_alarms": lambda: _labelled(
            *((f"{one.memberID:x}", alarm_name(one.alarm)) for one in applier.alarms.raised())
        ),
        "etcd_disk_wal_fsync_duration_seconds": lambda: member.wal_sync_seconds,
    }


def _labelled(*labels: Labels) -> Value:
    """The value 1 under each of these labels: metrics that say something by being there."""
    return dict.fromkeys(labels, 1)


def _store(member: MemberServer) -> Bindings:
    store, applier = member.opened.store, member.replica.applier
    return {
        "etcd_mvcc_db_total_size_in_bytes": lambda: store.total_size,
        "etcd_mvcc_db_total_size_in_use_in_bytes": lambda: store.in_use_size,
        "etcd_disk_backend_commit_duration_seconds": lambda: store.backend.write_seconds,
        "etcd_disk_backend_defrag_duration_seconds": lambda: member.maintenance.defragmentation_seconds,
        "etcd_disk_defrag_inflight": lambda: int(member.maintenance.is_defragmenting),
        "etcd_mvcc_put_total": lambda: applier.counts.puts,
        "etcd_mvcc_delete_total": lambda: applier.counts.deletes,
        "etcd_mvcc_txn_total": lambda: applier.counts.txns,
        "etcd_mvcc_range_total": lambda: member.kv.ranges,
        "etcd_debugging_mvcc_current_revision": lambda: store.revision,
        "etcd_debugging_mvcc_compact_revision": lambda: store.compacted,
        "etcd_debugging_auth_revision": lambda: applier.accounts.revision,
    }


def _watch_and_lease(member: MemberServer) -> Bindings:
    hub, lessor = member.watch_hub, member.lessor
    return {
        "etcd_debugging_mvcc_watch_stream_total": lambda: hub.streams,
        "etcd_debugging_mvcc_watcher_total": lambda: hub.watchers,
        "etcd_debugging_mvcc_slow_watcher_total": lambda: hub.slow_watchers,
        "etcd_debugging_mvcc_events_total": lambda: hub.events,
        "etcd_debugging_lease_granted_total": lambda: lessor.granted,
        "etcd_debugging_lease_renewed_total": lambda: lessor.renewed,
        "etcd_debugging_lease_revoked_total": lambda: lessor.revoked,
        "etcd_debugging_server_lease_expired_total": lambda: lessor.expired_total,
    }
