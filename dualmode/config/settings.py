"""Decides: what a mode is started with: every option resolved, checked and in our own terms and units.

Nothing here knows flags; `resolve.py` makes these from the options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dualmode.urls import Url


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the log shows; the arguments of `log.configure`."""

    level: str
    form: str  #: json or console
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TlsGroup:
    """Files and rules of TLS on one kind of listener; empty strings are "not given"."""

    cert_file: str
    key_file: str
    trusted_ca_file: str
    client_cert_auth: bool
    #: For calls of our own, where they are not the server's.
    client_cert_file: str
    client_key_file: str
    crl_file: str
    allowed_common_names: tuple[str, ...]
    allowed_hostnames: tuple[str, ...]
    skip_client_san_verification: bool
    is_automatic: bool  #: --auto-tls: a self-signed certificate is made when no file is given
    self_signed_validity_years: int
    cipher_suites: tuple[str, ...]  #: IANA names
    min_version: str  #: TLS1.2, TLS1.3 or empty
    max_version: str

    @property
    def has_certificate(self) -> bool:
        return bool(self.cert_file) or self.is_automatic


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """What both modes serve their clients with."""

    client_urls: tuple[Url, ...]
    client_http_urls: tuple[Url, ...]  #: when given, plain HTTP is served here and gRPC alone on client_urls
    metrics_urls: tuple[Url, ...]
    tls: TlsGroup
    http2_engine: str  #: native or h2
    concurrent_streams: int
    max_connections: int  #: of clients; 0: no limit
    max_connections_per_address: int
    max_request_bytes: int
    keepalive_min_time_seconds: float
    keepalive_interval_seconds: float  #: 0: never ping
    keepalive_timeout_seconds: float
    keepalive_without_streams: bool
    reuse_port: bool
    cors: tuple[str, ...]  #: empty or "*": every origin
    host_whitelist: tuple[str, ...]  #: empty or "*": every host
    has_json_gateway: bool
    has_extensive_metrics: bool
    watch_progress_seconds: float


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """How a new cluster finds its members, when they are not named; all empty when they are."""

    url: str  #: v2
    http_proxy: str
    falls_back_to_proxy: bool
    srv_domain: str
    srv_name: str
    token: str  #: v3
    endpoints: tuple[Url, ...]
    dial_timeout_seconds: float
    request_timeout_seconds: float
    keepalive_time_seconds: float
    keepalive_timeout_seconds: float
    is_insecure: bool
    skip_verify: bool
    cert_file: str
    key_file: str
    trusted_ca_file: str
    user: str
    password: str

    @property
    def is_wanted(self) -> bool:
        return bool(self.url or self.srv_domain or self.endpoints)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Who this member is to the others."""

    peer_urls: tuple[Url, ...]  #: where we listen
    advertise_peer_urls: tuple[Url, ...]
    advertise_client_urls: tuple[Url, ...]
    peer_tls: TlsGroup
    #: Name to peer URLs of a new cluster; this member alone when nothing was said. Empty when discovery is wanted.
    initial_cluster: Mapping[str, tuple[Url, ...]]
    is_existing: bool  #: join a cluster rather than make one
    token: str
    discovery: DiscoverySettings
    strict_reconfig_check: bool
    max_learners: int
    highest_version: str  #: "3.6": the cluster's version is raised no higher
    force_new_cluster: bool
    promote_after_seconds: float  #: autopilot: a learner that has been ready for so long; 0: never
    remove_after_seconds: float  #: autopilot: a member that has been dead for so long; 0: never
    downgrade_check_seconds: float


@dataclass(frozen=True, slots=True)
class RaftSettings:
    """Timing of Raft, and how much of its log is kept."""

    heartbeat_milliseconds: int
    election_milliseconds: int
    initial_tick_advance: bool
    pre_vote: bool
    snapshot_entries: int
    catchup_entries: int
    read_timeout_seconds: float
    write_timeout_seconds: float

    @property
    def election_ticks(self) -> int:
        """A tick is a heartbeat."""
        return self.election_milliseconds // self.heartbeat_milliseconds


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """What is kept on the disk, and how carefully."""

    wal_dir: Path
    wal_segments_kept: int  #: 0: all
    quota_bytes: int | None  #: None: no quota
    fsync: bool
    compaction_mode: str  #: periodic or revision
    retention_seconds: float  #: periodic; 0: never compact
    retention_revisions: int  #: revision; 0: never compact
    compaction_step_rows: int
    compaction_pause_seconds: float


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Bounds of calls, and from when on they are slow."""

    max_txn_operations: int
    slow_apply_seconds: float
    slow_call_seconds: float


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """How users log in."""

    token: str  #: simple, or jwt with its options, as --auth-token has it
    token_ttl_seconds: int
    bcrypt_cost: int


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """Comparing the data of members, and what outlives a leader."""

    initial_corrupt_check: bool
    corrupt_check_seconds: float  #: 0: never
    compact_hash_check: bool
    compact_hash_check_seconds: float
    lease_checkpoint: bool
    lease_checkpoint_persist: bool
    stop_serving_on_defragmentation: bool  #: as far as the health service says


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """Everything `dualmode member` starts with."""

    name: str
    data_dir: Path
    log: LogSettings
    serving: ServingSettings
    cluster: ClusterSettings
    raft: RaftSettings
    storage: StorageSettings
    calls: CallSettings
    auth: AuthSettings
    checks: CheckSettings

    @property
    def member_dir(self) -> Path:
        return self.data_dir / "member"


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS of a proxy toward the members; empty strings are "not given"."""

    cert_file: str
    key_file: str
    trusted_ca_file: str  #: empty: the system's
    server_name: str  #: that members' certificates must have; empty: the host that is dialled
    skip_verify: bool


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Everything `dualmode proxy` starts with. One of endpoints, member_peer_urls and srv_domain says where to."""

    name: str
    data_dir: Path
    log: LogSettings
    serving: ServingSettings
    endpoints: tuple[Url, ...]
    has_named_endpoints: bool  #: somebody gave them: what is remembered of another cluster does not count then
    #: As etcd's v2 proxy has it: peer URLs (of --initial-cluster) whose /members names the endpoints.
    member_peer_urls: tuple[Url, ...]
    srv_domain: str
    srv_name: str
    allows_insecure_srv: bool
    upstream_tls: UpstreamTls
    #: Users and passwords for the names in clients' certificates; None: certificates say nothing to members.
    credentials_file: Path | None
    lets_unknown_users_pass: bool
    relays_bytes: bool  #: --mode tcp: nothing that passes through is read
    retry_delay_seconds: float  #: of --mode tcp: until a member that could not be connected is tried again
    is_readonly: bool
    endpoint_policy: str  #: a name of `proxy.policies.POLICIES`
    shares_watches: bool  #: identical watches of several clients are one at the members
    cache_bytes: int  #: of answers to serializable reads that are kept; 0: none
    has_access_log: bool  #: a line for every call
    refresh_seconds: float  #: between two looks at the member list; 0: never
    namespace: bytes
    advertise_client_urls: tuple[str, ...]  #: as text, URLs or host:port; empty: MemberList is forwarded
    resolver_prefix: str  #: empty: this proxy does not announce itself
    resolver_ttl_seconds: int
    dial_timeout_seconds: float
    keepalive_time_seconds: float  #: 0: never ping
    keepalive_timeout_seconds: float

    @property
    def proxy_dir(self) -> Path:
        return self.data_dir / "proxy"
