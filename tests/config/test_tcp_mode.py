"""What goes with --mode tcp, what is refused there, and what is only told of."""

from __future__ import annotations

import pytest

from dualmode.config.load import load
from dualmode.config.option import Mode
from dualmode.config.settings import ProxySettings
from dualmode.errors import ConfigError


def faults_of(*flags: str, command: str = "proxy", environ: dict[str, str] | None = None) -> list[str]:
    try:
        load(command, ["--mode=tcp", *flags], environ or {}).settings(Mode.PROXY)
    except ConfigError as error:
        return error.faults
    return []


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--proxy=readonly", "--proxy readonly does not go with --mode tcp: changes could not be told from reads"),
        ("--namespace=/a/", "--namespace does not go with --mode tcp: calls pass through unread"),
        ("--host-whitelist=example.org", "--host-whitelist does not go with --mode tcp"),
        ("--cors=http://a", "--cors does not go with --mode tcp"),
        ("--auto-tls", "--auto-tls does not go with --mode tcp: TLS passes through to the members"),
        ("--client-cert-auth", "--client-cert-auth does not go with --mode tcp"),
        ("--client-crl-file=f", "--client-crl-file does not go with --mode tcp"),
        ("--client-cert-allowed-cn=a", "--client-cert-allowed-cn does not go with --mode tcp"),
        ("--client-cert-allowed-hostname=a", "--client-cert-allowed-hostname does not go with --mode tcp"),
        ("--listen-client-http-urls=http://127.0.0.1:1", "--listen-client-http-urls does not go with --mode tcp"),
        ("--initial-cluster=a=http://b:1", "--mode tcp needs --endpoints or --discovery-srv"),
        ("--retry-delay=0", "--retry-delay must be more than 0"),
        ("--retry-delay=-1s", "--retry-delay must be more than 0"),
    ],
)
def test_what_cannot_be_kept_is_refused(flag: str, told: str) -> None:
    (fault,) = faults_of(flag)
    assert told in fault


def test_tls_is_not_ours() -> None:
    faults = faults_of("--listen-client-urls=https://127.0.0.1:1", "--cert-file=a", "--key-file=b")
    assert len(faults) == 3
    assert "where TLS is not ours: write http://127.0.0.1:1" in faults[-1]


def test_a_promise_of_the_environment_is_refused_as_well() -> None:
    assert len(faults_of(environ={"ETCD_CLIENT_CERT_AUTH": "true"})) == 1


@pytest.mark.parametrize(
    "flag",
    [
        "--proxy=on",
        "--cors=*",
        "--host-whitelist=*",
        "--listen-addr=127.0.0.1:23790",
        "--listen-client-urls=unix:///run/gateway",
        "--endpoints=https://a:1,b:2",
        "--discovery-srv=example.org",
        "--retry-delay=1s",
        "--proxy-dial-timeout=100",
        "--listen-metrics-urls=http://127.0.0.1:1",
    ],
)
def test_what_goes_with_it(flag: str) -> None:
    loaded = load("proxy", ["--mode=tcp", flag], {})
    settings = loaded.settings(Mode.PROXY)
    assert isinstance(settings, ProxySettings)
    assert settings.relays_bytes
    assert loaded.notices_for(Mode.PROXY) == []


def test_endpoints_are_needed_without_the_sub_command() -> None:
    (fault,) = faults_of("--proxy=on", command="")
    assert "--mode tcp needs --endpoints or --discovery-srv" in fault
    assert faults_of("--proxy=on", "--endpoints=a:1", command="") == []


@pytest.mark.parametrize(
    ("flags", "notices"),
    [
        (["--mode=tcp", "--share-watches=false"], ["--share-watches means nothing with --mode tcp"]),
        (["--mode=tcp", "--cacert=f", "--trusted-ca-file=f"],
         ["--trusted-ca-file means nothing with --mode tcp", "--cacert means nothing with --mode tcp"]),
        (["--retry-delay=1s"], ["--retry-delay means nothing with --mode http"]),
        ([], []),
    ],
)  # fmt: skip
def test_the_rest_is_told_of(flags: list[str], notices: list[str]) -> None:
    assert load("proxy", flags, {}).notices_for(Mode.PROXY) == notices


def test_the_address_of_etcds_gateway_needs_no_scheme() -> None:
    settings = load("proxy", ["--listen-addr=127.0.0.1:1"], {}).settings(Mode.PROXY)
    assert [str(url) for url in settings.serving.client_urls] == ["http://127.0.0.1:1"]
