"""Decides: options become settings: defaults that depend on others, units, and etcd's meanings of zero.

Called with values that `check.py` found nothing wrong with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dualmode import limits
from dualmode.config.durations import SECOND, parse_duration
from dualmode.config.features import is_enabled
from dualmode.config.option import Mode
from dualmode.config.settings import (
    AuthSettings,
    CallSettings,
    CheckSettings,
    ClusterSettings,
    DiscoverySettings,
    LogSettings,
    MemberSettings,
    ProxySettings,
    RaftSettings,
    ServingSettings,
    StorageSettings,
    TlsGroup,
    UpstreamTls,
)
from dualmode.config.values import Values
from dualmode.urls import Url


def data_dir(values: Values, command: str) -> Path:
    """`NAME.etcd`, as etcd has it; a proxy that is asked for by name keeps out of the member's."""
    given = values["data-dir"]
    ending = "proxy" if command == Mode.PROXY else "etcd"
    return Path(given or f"{values['name']}.{ending}")


def retention(mode: str, text: str) -> tuple[int, int]:
    """Of `--auto-compaction-retention`: nanoseconds or revisions to keep, the other being 0. Raises ValueError.

    A bare number means revisions in one mode and hours in the other.
    """
    text = text.strip() or "0"
    if mode == "revision":
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f'"{text}" is not a number of revisions')
        return 0, int(text)
    nanoseconds = int(text) * 3600 * SECOND if text.isascii() and text.isdigit() else parse_duration(text)
    if nanoseconds < 0:
        raise ValueError(f'"{text}" is negative')
    return nanoseconds, 0


def log_settings(values: Values) -> LogSettings:
    """What the log needs, before a mode is known."""
    return LogSettings(values["log-level"], values["log-format"], values["log-outputs"] or ("default",))


def member_settings(values: Values) -> MemberSettings:
    """All of a member."""
    directory = data_dir(values, values.command)
    return MemberSettings(
        name=values["name"],
        data_dir=directory,
        log=log_settings(values),
        serving=_serving(values),
        cluster=_cluster(values),
        raft=RaftSettings(
            heartbeat_milliseconds=values["heartbeat-interval"],
            election_milliseconds=values["election-timeout"],
            initial_tick_advance=values["initial-election-tick-advance"],
            pre_vote=values["pre-vote"],
            snapshot_entries=values["snapshot-count"],
            catchup_entries=values["snapshot-catchup-entries"],
            read_timeout_seconds=_seconds(values, "raft-read-timeout"),
            write_timeout_seconds=_seconds(values, "raft-write-timeout"),
        ),
        storage=_storage(values, directory),
        calls=CallSettings(
            max_txn_operations=values["max-txn-ops"],
            slow_apply_seconds=_seconds(values, "warning-apply-duration"),
            slow_call_seconds=_seconds(values, "warning-unary-request-duration"),
        ),
        auth=AuthSettings(values["auth-token"], values["auth-token-ttl"], values["bcrypt-cost"]),
        checks=CheckSettings(
            initial_corrupt_check=is_enabled(values, "InitialCorruptCheck", "initial-corrupt-check"),
            corrupt_check_seconds=_seconds(values, "corrupt-check-time"),
            compact_hash_check=is_enabled(values, "CompactHashCheck", "compact-hash-check-enabled"),
            compact_hash_check_seconds=_seconds(values, "compact-hash-check-time"),
            lease_checkpoint=is_enabled(values, "LeaseCheckpoint", "enable-lease-checkpoint"),
            lease_checkpoint_persist=is_enabled(values, "LeaseCheckpointPersist", "enable-lease-checkpoint-persist"),
            stop_serving_on_defragmentation=is_enabled(
                values, "StopGRPCServiceOnDefrag", "stop-grpc-service-on-defrag"
            ),
        ),
    )


def proxy_settings(values: Values) -> ProxySettings:
    """All of a proxy."""
    peer_urls = member_peer_urls(values)
    srv_domain = "" if values.is_given("endpoints") else values["discovery-srv"]
    return ProxySettings(
        name=values["name"],
        data_dir=data_dir(values, values.command),
        log=log_settings(values),
        serving=_serving(values),
        endpoints=() if peer_urls or srv_domain else values["endpoints"],
        has_named_endpoints=values.is_given("endpoints"),
        member_peer_urls=peer_urls,
        srv_domain=srv_domain,
        srv_name=values["discovery-srv-name"],
        allows_insecure_srv=values["insecure-discovery"],
        upstream_tls=UpstreamTls(
            values["cert"],
            values["key"],
            values["cacert"],
            values["tls-server-name"],
            skip_verify=values["insecure-skip-tls-verify"],
        ),
        credentials_file=Path(values["user-credentials"]) if values["user-credentials"] else None,
        lets_unknown_users_pass=values["unknown-users"] == "anonymous",
        relays_bytes=values["mode"] == "tcp",
        retry_delay_seconds=_seconds(values, "retry-delay"),
        is_readonly=values["proxy"] == "readonly",
        endpoint_policy=values["endpoint-policy"],
        shares_watches=values["share-watches"],
        cache_bytes=values["cache-bytes"],
        has_access_log=values["access-log"],
        refresh_seconds=_refresh_seconds(values),
        namespace=values["namespace"].encode(errors="surrogateescape"),
        advertise_client_urls=advertised_by_proxy(values),
        resolver_prefix=values["resolver-prefix"],
        resolver_ttl_seconds=values["resolver-ttl"],
        dial_timeout_seconds=values["proxy-dial-timeout"] / 1000,
        keepalive_time_seconds=_seconds(values, "dial-keepalive-time"),
        keepalive_timeout_seconds=_seconds(values, "dial-keepalive-timeout"),
    )


def _refresh_seconds(values: Values) -> float:
    """By the flag of etcd's gRPC proxy if it was given, else by that of its v2 proxy."""
    if values.is_given("endpoints-auto-sync-interval"):
        return _seconds(values, "endpoints-auto-sync-interval")
    return float(values["proxy-refresh-interval"] / 1000)


def member_peer_urls(values: Values) -> tuple[Url, ...]:
    """Where a proxy asks for the members: as with etcd's v2 proxy, at the URLs of --initial-cluster, unless endpoints
    are named. `dualmode --proxy on` alone means etcd's default cluster, the member on this machine."""
    if values.is_given("endpoints") or values.is_given("discovery-srv"):
        return ()
    urls = {url for urls in values["initial-cluster"].values() for url in urls}
    if not urls and not values["endpoints"]:
        urls = set(values["initial-advertise-peer-urls"])
    return tuple(sorted(urls, key=str))


def advertised_by_proxy(values: Values) -> tuple[str, ...]:
    """By the flag of etcd's gRPC proxy, whose text is what clients are told, or by that of members if it was given."""
    addresses: tuple[str, ...] = values["advertise-client-url"]
    if not addresses and values.is_given("advertise-client-urls"):
        addresses = tuple(map(str, values["advertise-client-urls"]))
    return addresses


def _serving(values: Values) -> ServingSettings:
    return ServingSettings(
        client_urls=values["listen-client-urls"],
        client_http_urls=values["listen-client-http-urls"],
        metrics_urls=values["listen-metrics-urls"],
        tls=_tls_group(values, ""),
        http2_engine=values["http2-engine"],
        concurrent_streams=values["max-concurrent-streams"],
        max_connections=values["max-connections"],
        max_connections_per_address=values["max-connections-per-address"],
        max_request_bytes=values["max-request-bytes"],
        keepalive_min_time_seconds=_seconds(values, "grpc-keepalive-min-time"),
        keepalive_interval_seconds=_seconds(values, "grpc-keepalive-interval"),
        keepalive_timeout_seconds=_seconds(values, "grpc-keepalive-timeout"),
        keepalive_without_streams=values["permit-without-stream"],
        reuse_port=values["socket-reuse-port"],
        cors=values["cors"],
        host_whitelist=values["host-whitelist"],
        has_json_gateway=values["enable-grpc-gateway"],
        has_extensive_metrics=values["metrics"] == "extensive",
        watch_progress_seconds=_seconds(values, "watch-progress-notify-interval"),
    )


def _cluster(values: Values) -> ClusterSettings:
    discovery = _discovery(values)
    advertised = values["initial-advertise-peer-urls"]
    members: dict[str, tuple[Url, ...]] = values["initial-cluster"]
    if not members and not discovery.is_wanted:
        members = {values["name"]: advertised}
    return ClusterSettings(
        peer_urls=values["listen-peer-urls"],
        advertise_peer_urls=advertised,
        advertise_client_urls=values["advertise-client-urls"],
        peer_tls=_tls_group(values, "peer-"),
        initial_cluster=members,
        is_existing=values["initial-cluster-state"] == "existing",
        token=values["initial-cluster-token"],
        discovery=discovery,
        strict_reconfig_check=values["strict-reconfig-check"],
        max_learners=values["max-learners"],
        highest_version=values["highest-cluster-version"],
        force_new_cluster=values["force-new-cluster"],
        promote_after_seconds=_seconds(values, "autopilot-promote-after"),
        remove_after_seconds=_seconds(values, "autopilot-remove-after"),
        downgrade_check_seconds=_seconds(values, "downgrade-check-time"),
    )


def _discovery(values: Values) -> DiscoverySettings:
    user, _, password = values["discovery-user"].partition(":")
    return DiscoverySettings(
        url=values["discovery"],
        http_proxy=values["discovery-proxy"],
        falls_back_to_proxy=values["discovery-fallback"] == "proxy",
        srv_domain=values["discovery-srv"],
        srv_name=values["discovery-srv-name"],
        token=values["discovery-token"],
        endpoints=values["discovery-endpoints"],
        dial_timeout_seconds=_seconds(values, "discovery-dial-timeout"),
        request_timeout_seconds=_seconds(values, "discovery-request-timeout"),
        keepalive_time_seconds=_seconds(values, "discovery-keepalive-time"),
        keepalive_timeout_seconds=_seconds(values, "discovery-keepalive-timeout"),
        is_insecure=values["discovery-insecure-transport"],
        skip_verify=values["discovery-insecure-skip-tls-verify"],
        cert_file=values["discovery-cert"],
        key_file=values["discovery-key"],
        trusted_ca_file=values["discovery-cacert"],
        user=user,
        password=values["discovery-password"] or password,
    )


def _storage(values: Values, directory: Path) -> StorageSettings:
    quota = values["quota-backend-bytes"]
    kept_nanoseconds, kept_revisions = retention(values["auto-compaction-mode"], values["auto-compaction-retention"])
    return StorageSettings(
        wal_dir=Path(values["wal-dir"] or directory / Mode.MEMBER / "wal"),
        wal_segments_kept=values["max-wals"],
        quota_bytes=None if quota < 0 else quota or limits.QUOTA_BYTES,
        fsync=not values["unsafe-no-fsync"],
        compaction_mode=values["auto-compaction-mode"],
        retention_seconds=kept_nanoseconds / SECOND,
        retention_revisions=kept_revisions,
        compaction_step_rows=values["compaction-batch-limit"],
        compaction_pause_seconds=_seconds(values, "compaction-sleep-interval"),
    )


def _tls_group(values: Values, prefix: str) -> TlsGroup:
    """Of the client listeners (no prefix) or the peer listeners; the names differ in a few places only."""
    is_peer = bool(prefix)
    certificate_prefix = "peer-cert" if is_peer else "client-cert"

    def of_group(name: str) -> Any:
        return values[prefix + name]

    return TlsGroup(
        cert_file=of_group("cert-file"),
        key_file=of_group("key-file"),
        trusted_ca_file=of_group("trusted-ca-file"),
        client_cert_auth=of_group("client-cert-auth"),
        client_cert_file=of_group("client-cert-file"),
        client_key_file=of_group("client-key-file"),
        crl_file=values["peer-crl-file" if is_peer else "client-crl-file"],
        allowed_common_names=values[f"{certificate_prefix}-allowed-cn"],
        allowed_hostnames=values[f"{certificate_prefix}-allowed-hostname"],
        skip_client_san_verification=values["peer-skip-client-san-verification"] if is_peer else True,
        is_automatic=of_group("auto-tls"),
        self_signed_validity_years=values["self-signed-cert-validity"],
        cipher_suites=values["cipher-suites"],
        min_version=values["tls-min-version"],
        max_version=values["tls-max-version"],
    )


def _seconds(values: Values, name: str) -> float:
    nanoseconds: int = values[name]
    return nanoseconds / SECOND
