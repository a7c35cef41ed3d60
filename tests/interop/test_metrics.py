"""The metrics that etcd's Grafana dashboard and alert rules ask for, beside etcd's own page."""

from __future__ import annotations

import http.client

import pytest

from tests.interop.conftest import Farm
from tests.interop.grpc_client import connect
from tests.interop.servers import Server

pytestmark = pytest.mark.interop

#: Of a member alone; what is about peers is counted where there are some.
ASKED_FOR = (
    "etcd_server_has_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_quota_backend_bytes",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_disk_wal_fsync_duration_seconds_bucket",
    "etcd_disk_backend_commit_duration_seconds_bucket",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_cpu_seconds_total",
    "process_start_time_seconds",
)


def page(server: Server) -> list[str]:
    connection = http.client.HTTPConnection(server.target, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return lines


def values(lines: list[str], name: str) -> list[float]:
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + " ", name + "{"))]


def test_what_dashboards_and_alerts_ask_for_is_there(farm: Farm) -> None:
    for server in (farm.etcd(), farm.tested()):
        with connect(server) as client:
            for number in range(20):
                client.Put(key=b"k", value=b"%d" % number)
        lines = page(server)
        assert [name for name in ASKED_FOR if not values(lines, name)] == [], server.name
        for name in ("etcd_disk_wal_fsync_duration_seconds_count", "etcd_disk_backend_commit_duration_seconds_count"):
            assert values(lines, name)[0] > 0
        assert values(lines, "etcd_server_has_leader") == [1]
        puts = [line for line in lines if line.startswith("grpc_server_handled_total") and 'grpc_method="Put"' in line]
        assert sum(float(line.rpartition(" ")[2]) for line in puts if 'grpc_code="OK"' in line) >= 20


def test_bounds_of_histograms_are_etcds(farm: Farm) -> None:
    def bounds(server: Server, name: str) -> list[float]:
        lines = [line for line in page(server) if line.startswith(name + "_bucket")]
        return [float(line.partition('le="')[2].partition('"')[0].replace("+Inf", "inf")) for line in lines]

    for name in (
        "etcd_disk_wal_fsync_duration_seconds",
        "etcd_disk_backend_commit_duration_seconds",
        "etcd_disk_backend_defrag_duration_seconds",
    ):
        theirs, ours = (bounds(server, name) for server in (farm.etcd(), farm.tested()))
        assert ours == pytest.approx(theirs), name
