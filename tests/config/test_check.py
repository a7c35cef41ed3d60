"""Values that do not work, alone or together: each is told, in etcd's words where etcd has them."""

from __future__ import annotations

import pytest

from dualmode.config.check import check
from dualmode.config.flags import parse_flags
from dualmode.config.option import Mode
from dualmode.config.options import BY_NAME
from dualmode.config.values import Values


def _values(line: str, command: str = "") -> Values:
    reading = parse_flags(line.split(), BY_NAME)
    assert reading.faults == []
    return Values(command, reading.given)


_CLIENT = "--advertise-client-urls=http://127.0.0.1:1 --listen-client-urls="


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("--log-outputs=default,stderr", 'multi logoutput for "default" is not supported yet'),
        ("--listen-peer-urls=http://example.org:1", "expected IP in URL for binding (http://example.org:1)"),
        ("--listen-peer-urls=http://:1", "expected IP in URL for binding (http://:1)"),
        ("--listen-metrics-urls=http://a:1", "expected IP in URL for binding (http://a:1)"),
        ("--listen-client-http-urls=http://a:1", "expected IP in URL for binding (http://a:1)"),
        (f"{_CLIENT}http://a:1", "expected IP in URL for binding (http://a:1)"),
        (f"{_CLIENT}", "--listen-client-urls must name at least one URL"),
        (
            "--listen-client-urls=http://127.0.0.1:1",
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            "--initial-advertise-peer-urls=http://:1",
            '--initial-advertise-peer-urls "http://:1" must be "host:port" (unexpected empty host (http://:1))',
        ),
        (
            "--advertise-client-urls=http://:1",
            '--advertise-client-urls "http://:1" must be "host:port" (unexpected empty host (http://:1))',
        ),
        ("--initial-advertise-peer-urls=", "--initial-advertise-peer-urls must name at least one URL"),
        ("--name=", "--name must not be empty"),
        ("--name=a=b", "--name must not be empty, nor hold '=' or ','"),
        (
            "--discovery=http://d/t --initial-cluster=default=http://localhost:2380",
            "multiple discovery or bootstrap flags are set",
        ),
        ("--discovery-srv=a --discovery-endpoints=b:1 --discovery-token=t", "multiple discovery or bootstrap flags"),
        ("--discovery-endpoints=b:1", "both --discovery-endpoints and --discovery-token must be set"),
        ("--discovery-token=t", "both --discovery-endpoints and --discovery-token must be set"),
        ("--initial-cluster=a=http://h:1,b=http://h:1", "--initial-cluster gives http://h:1 to both a and b"),
        ("--heartbeat-interval=0", "--heartbeat-interval must be >0 (set to 0ms)"),
        ("--election-timeout=0", "--election-timeout must be >0 (set to 0ms)"),
        (
            "--heartbeat-interval=201",
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[201ms]",
        ),
        ("--election-timeout=50001", "--election-timeout[50001ms] is too long, and should be set less than 50000ms"),
        ("--cert-file=a", "--cert-file and --key-file must both be present, --key-file is missing"),
        ("--key-file=a", "--cert-file and --key-file must both be present, --cert-file is missing"),
        ("--client-cert-file=a", "--client-key-file is missing"),
        ("--peer-key-file=a", "--peer-cert-file is missing"),
        ("--peer-client-cert-file=a", "--peer-client-key-file is missing"),
        ("--discovery-cert=a", "--discovery-key is missing"),
        (
            f"{_CLIENT}https://127.0.0.1:1",
            "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS",
        ),
        ("--listen-client-http-urls=https://127.0.0.1:1", "must be provided for client url https://127.0.0.1:1"),
        ("--listen-metrics-urls=https://127.0.0.1:1", "must be provided for metrics url https://127.0.0.1:1"),
        (
            "--listen-peer-urls=unixs:///a",
            "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url unixs:///a",
        ),
        (
            "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2",
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        ("--self-signed-cert-validity=0", "--self-signed-cert-validity must be at least 1 (year)"),
        ("--snapshot-count=0", "--snapshot-count must be at least 1 (set to 0)"),
        ("--max-txn-ops=0", "--max-txn-ops must be at least 1"),
        ("--max-learners=0", "--max-learners must be at least 1"),
        ("--compaction-batch-limit=0", "--compaction-batch-limit must be at least 1"),
        ("--auth-token-ttl=0", "--auth-token-ttl must be at least 1"),
        ("--max-request-bytes=0", "--max-request-bytes must be at least 1"),
        ("--max-concurrent-streams=0", "--max-concurrent-streams must be at least 1"),
        ("--corrupt-check-time=-1s", "--corrupt-check-time must not be negative"),
        ("--grpc-keepalive-timeout=-1s", "--grpc-keepalive-timeout must not be negative"),
        ("--auto-compaction-retention=x", 'error parsing CompactionRetention: invalid duration "x"'),
        ("--auto-compaction-retention=-1h", 'error parsing CompactionRetention: "-1h" is negative'),
        (
            "--auto-compaction-mode=revision --auto-compaction-retention=5m",
            'error parsing CompactionRetention: "5m" is not a number of revisions',
        ),
        ("--bcrypt-cost=3", "--bcrypt-cost 3 is outside 4 to 31"),
        ("--bcrypt-cost=32", "--bcrypt-cost 32 is outside 4 to 31"),
        ("--auth-token=paper", 'unknown token type "paper", it must be simple or jwt'),
        ("--auth-token=jwt", "jwt needs sign-method=... and pub-key=... or priv-key=..."),
        ("--auth-token=jwt,sign-method=RS256", "jwt needs sign-method"),
        ("--feature-gates=Nonsense=true", "unrecognized feature gate: Nonsense"),
        ("--feature-gates=LeaseCheckpoint", "missing bool value for feature gate: LeaseCheckpoint"),
        ("--feature-gates=LeaseCheckpoint=maybe", "invalid value of LeaseCheckpoint"),
        (
            "--experimental-enable-lease-checkpoint-persist",
            "setting experimental-enable-lease-checkpoint-persist requires experimental-enable-lease-checkpoint",
        ),
    ],
)
def test_faults_of_a_member(line: str, fault: str) -> None:
    faults = check(_values(line), Mode.MEMBER)
    assert len(faults) == 1
    assert fault in faults[0]
    # The source comes first, and is the flag that was given.
    assert any(faults[0].startswith(flag.partition("=")[0]) for flag in line.split())


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("--endpoints=", "--endpoints must name at least one member"),
        ("--endpoints=127.0.0.1:23790", "endpoint http://127.0.0.1:23790 is where this proxy itself listens"),
        ("--cert=a", "--cert and --key must both be present, --key is missing"),
        ("--resolver-prefix=p --advertise-client-urls=http://a:1", "invalid resolver-ttl 0"),
        ("--resolver-ttl=5", 'invalid resolver-prefix ""'),
        ("--resolver-prefix=p --resolver-ttl=5", 'invalid advertise-client-url ""'),
        ("--advertise-client-url=http://:1", "invalid advertise-client-url: URL must name a host: http://:1"),
        ("--dial-keepalive-time=-1s", "--dial-keepalive-time must not be negative"),
        ("--listen-client-urls=https://127.0.0.1:1", "must be provided for client url https://127.0.0.1:1"),
    ],
)
def test_faults_of_a_proxy(line: str, fault: str) -> None:
    faults = check(_values(line, "proxy"), Mode.PROXY)
    assert len(faults) == 1
    assert fault in faults[0]


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"{_CLIENT}http://localhost:1,http://[::1]:2,unix:///a",
        f"{_CLIENT}https://0.0.0.0:1 --auto-tls",
        f"{_CLIENT}https://0.0.0.0:1 --cert-file=a --key-file=b",
        "--listen-peer-urls=",
        "--heartbeat-interval=200",
        "--election-timeout=50000",
        "--tls-min-version=TLS1.3 --tls-max-version=TLS1.3",
        "--auto-compaction-retention=1h30m",
        "--auto-compaction-mode=revision --auto-compaction-retention=1000",
        "--auth-token=jwt,pub-key=a,priv-key=b,sign-method=RS256,ttl=10m",
        "--enable-lease-checkpoint --enable-lease-checkpoint-persist",
        "--feature-gates=LeaseCheckpoint=true,AllBeta=false",
        "--quota-backend-bytes=-1",
    ],
)
def test_what_works(line: str) -> None:
    assert check(_values(line), Mode.MEMBER) == []


def test_what_only_a_member_needs_is_not_asked_of_a_proxy() -> None:
    line = "--listen-client-urls=http://127.0.0.1:1 --heartbeat-interval=0 --bcrypt-cost=99 --cert-file=a --key-file=b"
    assert check(_values(line, "proxy"), Mode.PROXY) == []


def test_a_faulty_value_is_not_checked_against_others() -> None:
    values = _values("--heartbeat-interval=x --election-timeout=1")
    assert len(values.faults) == 1
    assert check(values, Mode.MEMBER) == []


def test_one_option_with_several_faults() -> None:
    assert len(check(_values("--listen-peer-urls=http://a:1,http://b:1"), Mode.MEMBER)) == 2
