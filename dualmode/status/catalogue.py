"""Decides: which of etcd's metrics we know, by name. What they count is given where the numbers are: a server binds
names to numbers, and what it binds nothing to is not shown, since a zero that is not counted would be a lie.

Names, kinds and labels are etcd 3.6's, so that its dashboards and alerts work; some gauges end in `_total` there.
"""

from __future__ import annotations

from typing import Final

from dualmode.status.families import Family

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

_SERVER: Final = (
    Family("etcd_server_has_leader", GAUGE, "Whether this member knows a leader: 1 or 0."),
    Family("etcd_server_is_leader", GAUGE, "Whether this member is the leader: 1 or 0."),
    Family("etcd_server_is_learner", GAUGE, "Whether this member is a learner: 1 or 0."),
    Family("etcd_server_leader_changes_seen_total", COUNTER, "Changes of leader seen."),
    Family("etcd_server_heartbeat_send_failures_total", COUNTER, "Heartbeats that left late."),
    Family("etcd_server_slow_apply_total", COUNTER, "Apply passes that took long."),
    Family("etcd_server_slow_read_indexes_total", COUNTER, "Confirmations of reads that took long."),
    Family("etcd_server_read_indexes_failed_total", COUNTER, "Reads that the cluster did not confirm."),
    Family("etcd_server_proposals_committed_total", GAUGE, "Index of the last entry known to be committed."),
    Family("etcd_server_proposals_applied_total", GAUGE, "Index of the last entry applied."),
    Family("etcd_server_proposals_pending", GAUGE, "Proposals on their way through the log."),
    Family("etcd_server_proposals_failed_total", COUNTER, "Proposals that failed."),
    Family("etcd_server_snapshot_apply_in_progress_total", GAUGE, "Whether a snapshot is being taken over: 1 or 0."),
    Family("etcd_server_quota_backend_bytes", GAUGE, "Size at which writes are refused."),
    Family("etcd_server_version", GAUGE, "The etcd release we answer as.", ("server_version",)),
    Family("etcd_server_id", GAUGE, "This member's id in hexadecimal.", ("server_id",)),
    Family("etcd_server_client_requests_total", COUNTER, "Calls of clients.", ("type", "client_api_version")),
    Family("etcd_server_learner_promote_successes", COUNTER, "Learners promoted."),
    Family("etcd_server_learner_promote_failures", COUNTER, "Promotions refused.", ("Reason",)),
    Family("etcd_server_health_success", COUNTER, "Answers of /health that were good."),
    Family("etcd_server_health_failures", COUNTER, "Answers of /health that were bad."),
    Family("etcd_server_healthcheck", GAUGE, "Last result of a check: 1 is good.", ("type", "name")),
    Family("etcd_server_healthchecks_total", COUNTER, "Results of checks.", ("type", "name", "status")),
    Family("etcd_server_apply_duration_seconds", HISTOGRAM, "Applying a request.", ("version", "op", "success")),
    Family("etcd_server_range_duration_seconds", HISTOGRAM, "Reading a range.", ("success",)),
    Family("etcd_cluster_version", GAUGE, "The version the cluster has agreed on.", ("cluster_version",)),
)

_DISK: Final = (
    Family("etcd_disk_wal_fsync_duration_seconds", HISTOGRAM, "Syncing the write-ahead log."),
    Family("etcd_disk_wal_write_duration_seconds", HISTOGRAM, "Writing to the write-ahead log, without the sync."),
    Family("etcd_disk_wal_write_bytes_total", COUNTER, "Bytes written to the write-ahead log."),
    Family("etcd_disk_backend_commit_duration_seconds", HISTOGRAM, "Giving one pass to the backend."),
    Family("etcd_disk_backend_snapshot_duration_seconds", HISTOGRAM, "Writing the store out as a snapshot."),
    Family("etcd_disk_backend_defrag_duration_seconds", HISTOGRAM, "Defragmenting."),
    Family("etcd_disk_defrag_inflight", GAUGE, "Whether defragmentation runs: 1 or 0."),
    Family("etcd_snap_fsync_duration_seconds", HISTOGRAM, "Syncing a snapshot file."),
    Family("etcd_snap_db_fsync_duration_seconds", HISTOGRAM, "Syncing a store received as a snapshot."),
    Family("etcd_snap_db_save_total_duration_seconds", HISTOGRAM, "Saving a store received as a snapshot."),
)

_MVCC: Final = (
    Family("etcd_mvcc_db_total_size_in_bytes", GAUGE, "Size of the store on disk."),
    Family("etcd_mvcc_db_total_size_in_use_in_bytes", GAUGE, "Size of what is in the store."),
    Family("etcd_mvcc_db_open_read_transactions", GAUGE, "Long reads that hold a view of the store."),
    Family("etcd_mvcc_put_total", COUNTER, "Puts applied by this member."),
    Family("etcd_mvcc_delete_total", COUNTER, "Deletes applied by this member."),
    Family("etcd_mvcc_range_total", COUNTER, "Ranges read by this member."),
    Family("etcd_mvcc_txn_total", COUNTER, "Transactions applied by this member."),
    Family("etcd_mvcc_hash_duration_seconds", HISTOGRAM, "Hashing the whole store."),
    Family("etcd_mvcc_hash_rev_duration_seconds", HISTOGRAM, "Hashing the store at a revision."),
)

_NETWORK: Final = (
    Family("etcd_network_client_grpc_received_bytes_total", COUNTER, "Bytes received from clients."),
    Family("etcd_network_client_grpc_sent_bytes_total", COUNTER, "Bytes sent to clients."),
    Family("etcd_network_server_stream_failures_total", COUNTER, "Streams that failed.", ("Type", "API")),
    Family("etcd_network_active_peers", GAUGE, "Peers connected.", ("Local", "Remote")),
    Family("etcd_network_known_peers", GAUGE, "Peers known.", ("Local", "Remote")),
    Family("etcd_network_disconnected_peers_total", COUNTER, "Connections to peers lost.", ("Local", "Remote")),
    Family("etcd_network_peer_sent_bytes_total", COUNTER, "Bytes sent to a peer.", ("To",)),
    Family("etcd_network_peer_received_bytes_total", COUNTER, "Bytes received from a peer.", ("From",)),
    Family("etcd_network_peer_sent_failures_total", COUNTER, "Messages to a peer that failed.", ("To",)),
    Family("etcd_network_peer_received_failures_total", COUNTER, "Messages from a peer that failed.", ("From",)),
    Family("etcd_network_peer_round_trip_time_seconds", HISTOGRAM, "Round trips to a peer.", ("To",)),
    Family("etcd_network_snapshot_send_success", COUNTER, "Snapshots sent.", ("To",)),
    Family("etcd_network_snapshot_send_failures", COUNTER, "Snapshots not sent.", ("To",)),
    Family("etcd_network_snapshot_receive_success", COUNTER, "Snapshots received.", ("From",)),
    Family("etcd_network_snapshot_receive_failures", COUNTER, "Snapshots not received.", ("From",)),
)

_DEBUGGING: Final = (
    Family("etcd_debugging_auth_revision", GAUGE, "Revision of the user store."),
    Family("etcd_debugging_lease_granted_total", COUNTER, "Leases granted."),
    Family("etcd_debugging_lease_renewed_total", COUNTER, "Renewals of leases seen by the leader."),
    Family("etcd_debugging_lease_revoked_total", COUNTER, "Leases revoked."),
    Family("etcd_debugging_lease_ttl_total", HISTOGRAM, "Seconds that leases are granted for."),
    Family("etcd_debugging_server_lease_expired_total", COUNTER, "Leases expired."),
    Family("etcd_debugging_mvcc_keys_total", GAUGE, "Keys."),
    Family("etcd_debugging_mvcc_watch_stream_total", GAUGE, "Watch streams open."),
    Family("etcd_debugging_mvcc_watcher_total", GAUGE, "Watchers."),
    Family("etcd_debugging_mvcc_slow_watcher_total", GAUGE, "Watchers that have to catch up."),
    Family("etcd_debugging_mvcc_events_total", COUNTER, "Events sent to watchers."),
    Family("etcd_debugging_mvcc_pending_events_total", GAUGE, "Events that wait for a slow watcher."),
    Family("etcd_debugging_mvcc_total_put_size_in_bytes", GAUGE, "Bytes of all puts applied."),
    Family("etcd_debugging_mvcc_current_revision", GAUGE, "Revision of the store."),
    Family("etcd_debugging_mvcc_compact_revision", GAUGE, "Revision up to which history is gone."),
    Family("etcd_debugging_mvcc_db_compaction_keys_total", COUNTER, "Rows removed by compactions."),
    Family("etcd_debugging_mvcc_db_compaction_last", GAUGE, "Unix time at which the last compaction ended."),
    Family("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", HISTOGRAM, "Steps of compactions."),
    Family("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", HISTOGRAM, "Compactions as a whole."),
    Family("etcd_debugging_server_alarms", GAUGE, "Alarms raised.", ("server_id", "alarm_type")),
    Family("etcd_debugging_snap_save_total_duration_seconds", HISTOGRAM, "Saving a snapshot file."),
)

_PROXY: Final = (
    Family("etcd_grpc_proxy_cache_hits_total", COUNTER, "Reads answered from the cache."),
    Family("etcd_grpc_proxy_cache_misses_total", COUNTER, "Reads that went to a member."),
    Family("etcd_grpc_proxy_cache_keys_total", GAUGE, "Keys in the cache."),
    Family("etcd_grpc_proxy_events_coalescing_total", COUNTER, "Events that one upstream watch brought to several."),
    Family("dualmode_proxy_endpoints", GAUGE, "Endpoints that are known."),
    Family("dualmode_proxy_connected", GAUGE, "Whether an endpoint is connected: 1 or 0."),
    Family("dualmode_proxy_endpoint_up", GAUGE, "Whether it is connected and fit: 1 or 0.", ("endpoint",)),
    Family("dualmode_proxy_calls_total", COUNTER, "gRPC calls that were forwarded."),
    Family("dualmode_proxy_calls_repeated_total", COUNTER, "Times that one of them was sent to another endpoint."),
    Family("dualmode_proxy_calls_ended_total", COUNTER, "Calls and requests that have ended.", ("method", "code")),
    Family("dualmode_proxy_call_seconds", HISTOGRAM, "How long they took.", ("method",)),
    Family("dualmode_proxy_endpoints_lost_total", COUNTER, "Connections to endpoints that were lost, or left."),
    Family("dualmode_proxy_rounds_failed_total", COUNTER, "Rounds in which no endpoint could be reached."),
    Family("dualmode_proxy_registered", GAUGE, "Whether this proxy has announced itself: 1 or 0."),
    Family("dualmode_proxy_announced", GAUGE, "Proxies that are announced under --resolver-prefix."),
    Family("dualmode_proxy_client_watches", GAUGE, "Watches of clients."),
    Family("dualmode_proxy_member_watches", GAUGE, "Watches at the members that they ride on."),
    Family("dualmode_proxy_cache_bytes", GAUGE, "Their size."),
    Family("dualmode_gateway_endpoints", GAUGE, "Endpoints of the TCP gateway."),
    Family("dualmode_gateway_endpoints_active", GAUGE, "Those that could be connected when they were last tried."),
    Family("dualmode_gateway_connections", GAUGE, "Connections that are open."),
    Family("dualmode_gateway_connections_total", COUNTER, "Connections that were taken."),
    Family("dualmode_gateway_connections_refused_total", COUNTER, "Connections closed because no endpoint was left."),
    Family("dualmode_gateway_sent_bytes_total", COUNTER, "Bytes from clients to members."),
    Family("dualmode_gateway_received_bytes_total", COUNTER, "Bytes from members to clients."),
    Family("etcd_grpc_proxy_watchers_coalescing_total", GAUGE, "Watchers that share an upstream watch."),
)

_PROCESS: Final = (
    Family("dualmode_connections", GAUGE, "Connections of clients."),
    Family("dualmode_connections_refused_total", COUNTER, "Connections closed because of --max-connections."),
    Family("os_fd_used", GAUGE, "File descriptors in use."),
    Family("os_fd_limit", GAUGE, "File descriptors allowed."),
)

_RPC_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")

_RPC: Final = (
    Family("grpc_server_started_total", COUNTER, "Calls started.", _RPC_LABELS),
    Family("grpc_server_handled_total", COUNTER, "Calls ended, by status.", (*_RPC_LABELS, "grpc_code")),
    Family("grpc_server_msg_received_total", COUNTER, "Messages received.", _RPC_LABELS),
    Family("grpc_server_msg_sent_total", COUNTER, "Messages sent.", _RPC_LABELS),
)

#: Every family we know, by name.
FAMILIES: Final = {
    family.name: family
    for group in (_SERVER, _DISK, _MVCC, _NETWORK, _DEBUGGING, _PROXY, _PROCESS, _RPC)
    for family in group
}
