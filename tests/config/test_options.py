"""The table: whole, consistent, and knowing every flag that a real etcd knows."""

from __future__ import annotations

import re
import subprocess

import pytest

from dualmode.config.option import Mode, Option
from dualmode.config.options import BY_NAME, BY_PLACE, GROUPS, OPTIONS, YAML_GROUPS
from tests.interop.servers import DEBIAN_ETCD, ETCD

#: What 3.6 has and 3.5.1 has not.
ADDED_IN_36 = frozenset(
    """
    feature-gates log-format max-learners discovery-token discovery-endpoints discovery-dial-timeout
    discovery-request-timeout discovery-keepalive-time discovery-keepalive-timeout discovery-insecure-transport
    discovery-insecure-skip-tls-verify discovery-cert discovery-key discovery-cacert discovery-user discovery-password
    compact-hash-check-time compaction-batch-limit compaction-sleep-interval corrupt-check-time downgrade-check-time
    memory-mlock peer-skip-client-san-verification snapshot-catchup-entries warning-apply-duration
    warning-unary-request-duration watch-progress-notify-interval bootstrap-defrag-threshold-megabytes
    enable-distributed-tracing distributed-tracing-address distributed-tracing-service-name
    distributed-tracing-instance-id distributed-tracing-sampling-rate
""".split()  # noqa: SIM905
)

#: Of `etcd grpc-proxy start` and `etcd gateway start`.
OF_THE_PROXIES = frozenset(
    """
    listen-addr endpoints discovery-srv discovery-srv-name insecure-discovery metrics-addr advertise-client-url
    resolver-prefix resolver-ttl namespace enable-pprof data-dir max-send-bytes max-recv-bytes cert key cacert
    insecure-skip-tls-verify cert-file key-file trusted-ca-file auto-tls client-crl-file listen-cipher-suites
    experimental-serializable-ordering experimental-leasing-prefix debug max-concurrent-streams dial-keepalive-time
    dial-keepalive-timeout permit-without-stream grpc-keepalive-min-time grpc-keepalive-interval
    grpc-keepalive-timeout endpoints-auto-sync-interval tls-min-version tls-max-version self-signed-cert-validity
    experimental-enable-grpc-logging retry-delay
""".split()  # noqa: SIM905
)


@pytest.mark.interop
@pytest.mark.parametrize("program", [path for path in (ETCD, DEBIAN_ETCD) if path.exists()])
def test_every_flag_of_etcd_is_known(program: object) -> None:
    text = subprocess.run([str(program), "--help"], capture_output=True, text=True, check=False, timeout=20)
    flags = set(re.findall(r"^\s+--([a-z0-9-]+)", text.stdout + text.stderr, re.MULTILINE))
    assert len(flags) >= 80
    assert flags - BY_NAME.keys() == set()


def test_flags_of_later_releases_and_of_the_proxies_are_known() -> None:
    assert {*ADDED_IN_36, *OF_THE_PROXIES} - BY_NAME.keys() == set()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_defaults_are_values(option: Option) -> None:
    for command in ("", *Mode):
        value = option.kind.parse(option.default_for(command))
        assert option.kind.parse(option.kind.show(value)) == value


def test_every_option_helps_or_says_why_not() -> None:
    assert [option.name for option in OPTIONS if not (option.help or option.ignored)] == []


def test_variables_of_an_option() -> None:
    assert BY_NAME["corrupt-check-time"].variables == (
        "DUALMODE_CORRUPT_CHECK_TIME",
        "DUALMODE_EXPERIMENTAL_CORRUPT_CHECK_TIME",
        "ETCD_CORRUPT_CHECK_TIME",
        "ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME",
    )


def test_no_two_options_share_a_variable() -> None:
    variables = [variable for option in OPTIONS for variable in option.variables]
    assert len(variables) == len(set(variables))


def test_groups_of_the_file() -> None:
    assert {"client-transport-security", "peer-transport-security", "socket-options"} == YAML_GROUPS
    assert BY_PLACE["peer-transport-security", "cert-file"].name == "peer-cert-file"
    assert not YAML_GROUPS & BY_NAME.keys()


def test_titles_are_unique() -> None:
    assert len({group.title for group in GROUPS}) == len(GROUPS)
