"""From options to settings: units, defaults that depend on others, and what zero means."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualmode import limits
from dualmode.config.load import load
from dualmode.config.option import Mode
from dualmode.config.resolve import retention
from dualmode.config.settings import MemberSettings, ProxySettings


def _member(line: str = "", command: str = "") -> MemberSettings:
    settings = load(command, line.split(), {}).settings(Mode.MEMBER)
    assert isinstance(settings, MemberSettings)
    return settings


def _proxy(line: str = "", command: str = "proxy") -> ProxySettings:
    settings = load(command, line.split(), {}).settings(Mode.PROXY)
    assert isinstance(settings, ProxySettings)
    return settings


def test_a_member_by_default() -> None:
    settings = _member()
    assert settings.data_dir == Path("default.etcd")
    assert settings.member_dir == Path("default.etcd/member")
    assert settings.storage.wal_dir == Path("default.etcd/member/wal")
    assert [str(url) for url in settings.serving.client_urls] == ["http://localhost:2379"]
    assert {name: list(map(str, urls)) for name, urls in settings.cluster.initial_cluster.items()} == {
        "default": ["http://localhost:2380"]
    }
    assert settings.raft.election_ticks == 10
    assert settings.storage.quota_bytes == limits.QUOTA_BYTES
    assert settings.storage.fsync
    assert settings.serving.keepalive_interval_seconds == 7200.0
    assert settings.log.outputs == ("default",)
    assert not settings.serving.tls.has_certificate
    assert not settings.cluster.discovery.is_wanted


def test_the_name_is_in_the_data_dir_and_in_the_cluster() -> None:
    settings = _member("--name m1 --initial-advertise-peer-urls http://10.0.0.1:2380")
    assert settings.data_dir == Path("m1.etcd")
    assert list(settings.cluster.initial_cluster) == ["m1"]
    assert [str(url) for url in settings.cluster.initial_cluster["m1"]] == ["http://10.0.0.1:2380"]


def test_no_cluster_is_made_up_where_discovery_is_wanted() -> None:
    settings = _member("--discovery-endpoints d:1 --discovery-token t --discovery-user u:secret")
    discovery = settings.cluster.discovery
    assert settings.cluster.initial_cluster == {}
    assert discovery.is_wanted
    assert (discovery.user, discovery.password) == ("u", "secret")
    assert discovery.dial_timeout_seconds == 2.0
    assert (
        _member(
            "--discovery-endpoints d:1 --discovery-token t --discovery-user u --discovery-password p"
        ).cluster.discovery.password
        == "p"
    )


@pytest.mark.parametrize(("text", "quota"), [("0", 2 << 30), ("-1", None), ("1000", 1000)])
def test_quota(text: str, quota: int | None) -> None:
    assert _member(f"--quota-backend-bytes={text}").storage.quota_bytes == quota


@pytest.mark.parametrize(
    ("mode", "text", "kept"),
    [
        ("periodic", "0", (0, 0)),
        ("periodic", "", (0, 0)),
        ("periodic", "1", (3_600_000_000_000, 0)),
        ("periodic", "5m", (300_000_000_000, 0)),
        ("revision", "1000", (0, 1000)),
    ],
)
def test_retention(mode: str, text: str, kept: tuple[int, int]) -> None:
    assert retention(mode, text) == kept


def test_retention_in_settings() -> None:
    assert _member("--auto-compaction-retention=90s").storage.retention_seconds == 90.0
    settings = _member("--auto-compaction-mode=revision --auto-compaction-retention=7")
    assert (settings.storage.compaction_mode, settings.storage.retention_revisions) == ("revision", 7)


def test_tls_groups_do_not_mix() -> None:
    line = (
        "--cert-file=a --key-file=b --trusted-ca-file=c --client-cert-auth --client-crl-file=d"
        " --client-cert-allowed-hostname=e --peer-cert-file=f --peer-key-file=g --peer-trusted-ca-file=h"
        " --peer-crl-file=i --peer-cert-allowed-cn=j,k --peer-cert-allowed-hostname=l --cipher-suites=m,n"
        " --peer-auto-tls --experimental-peer-skip-client-san-verification"
    )
    settings = _member(line)
    client, peer = settings.serving.tls, settings.cluster.peer_tls
    assert (client.cert_file, client.key_file, client.trusted_ca_file, client.crl_file) == ("a", "b", "c", "d")
    assert (client.client_cert_auth, peer.client_cert_auth) == (True, False)
    assert (client.allowed_hostnames, client.allowed_common_names) == (("e",), ())
    assert (peer.cert_file, peer.key_file, peer.trusted_ca_file, peer.crl_file) == ("f", "g", "h", "i")
    assert (peer.allowed_common_names, peer.allowed_hostnames) == (("j", "k"), ("l",))
    assert client.cipher_suites == peer.cipher_suites == ("m", "n")
    assert (client.is_automatic, peer.is_automatic) == (False, True)
    assert peer.skip_client_san_verification
    assert client.has_certificate
    assert peer.has_certificate


@pytest.mark.parametrize(
    ("line", "checks"),
    [
        ("", (True, False)),
        ("--initial-corrupt-check=false", (False, False)),
        ("--experimental-initial-corrupt-check", (True, False)),
        ("--feature-gates=InitialCorruptCheck=true", (True, False)),
        ("--feature-gates=AllAlpha=true", (True, True)),
        ("--feature-gates=AllAlpha=true,InitialCorruptCheck=false", (False, True)),
        ("--feature-gates=AllBeta=true", (True, False)),
    ],
)
def test_features(line: str, checks: tuple[bool, bool]) -> None:
    found = _member(line).checks
    assert (found.initial_corrupt_check, found.lease_checkpoint) == checks


@pytest.mark.parametrize(
    ("line", "stops"),
    [
        ("", False),
        ("--feature-gates=StopGRPCServiceOnDefrag=true", True),
        ("--experimental-stop-grpc-service-on-defrag", True),
    ],
)
def test_defragmentation_may_stop_the_health_service(line: str, stops: bool) -> None:
    assert _member(line).checks.stop_serving_on_defragmentation is stops


def test_a_proxy_by_name() -> None:
    settings = _proxy()
    assert settings.data_dir == Path("default.proxy")
    assert settings.proxy_dir == Path("default.proxy/proxy")
    assert [str(url) for url in settings.serving.client_urls] == ["http://127.0.0.1:23790"]
    assert [str(url) for url in settings.endpoints] == ["http://127.0.0.1:2379"]
    assert settings.member_peer_urls == ()
    assert not settings.is_readonly


def test_a_proxy_as_etcd_has_it() -> None:
    settings = _proxy("--proxy=readonly --initial-cluster=a=http://a:1,b=http://b:1", command="")
    assert settings.data_dir == Path("default.etcd")
    assert [str(url) for url in settings.serving.client_urls] == ["http://localhost:2379"]
    assert [str(url) for url in settings.member_peer_urls] == ["http://a:1", "http://b:1"]
    assert settings.endpoints == ()
    assert settings.is_readonly


def test_etcds_proxy_without_a_cluster_looks_at_this_machine() -> None:
    assert [str(url) for url in _proxy("--proxy=on", command="").member_peer_urls] == ["http://localhost:2380"]


@pytest.mark.parametrize(
    ("line", "endpoints", "peers", "domain"),
    [
        ("--endpoints=b:1,a:1", ["http://b:1", "http://a:1"], [], ""),
        ("--initial-cluster=x=http://a:1", [], ["http://a:1"], ""),
        ("--endpoints=b:1 --initial-cluster=x=http://a:1", ["http://b:1"], [], ""),
        ("--discovery-srv=d", [], [], "d"),
        ("--discovery-srv=d --initial-cluster=x=http://a:1", [], [], "d"),
    ],
)
def test_one_source_of_endpoints(line: str, endpoints: list[str], peers: list[str], domain: str) -> None:
    settings = _proxy(line)
    assert [str(url) for url in settings.endpoints] == endpoints
    assert [str(url) for url in settings.member_peer_urls] == peers
    assert settings.srv_domain == domain


def test_named_endpoints_beat_srv_records() -> None:
    settings = _proxy("--endpoints=b:1 --discovery-srv=d")
    assert ([str(url) for url in settings.endpoints], settings.srv_domain) == (["http://b:1"], "")


def test_units_of_a_proxy() -> None:
    settings = _proxy("--proxy-dial-timeout=1500 --namespace=\u00e9/ --dial-keepalive-time=3s")
    assert settings.dial_timeout_seconds == 1.5
    assert settings.namespace == b"\xc3\xa9/"
    assert settings.keepalive_time_seconds == 3.0
    assert settings.advertise_client_urls == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        _member().name = "x"  # type: ignore[misc]
