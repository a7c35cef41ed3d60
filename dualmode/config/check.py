"""Decides: which values do not work alone or together, in etcd's words where etcd has them.

Every check looks at a few options, is left out when one of them is faulty already, and gives a line for each fault.
All of them run: an operator wants to hear everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from dualmode import limits
from dualmode.config import tcp_mode
from dualmode.config.features import parse_gates
from dualmode.config.option import BOTH, MEMBER, PROXY, Mode
from dualmode.config.resolve import advertised_by_proxy, member_peer_urls, retention
from dualmode.config.urls import is_bindable
from dualmode.config.values import Values
from dualmode.errors import StartError
from dualmode.urls import Url, parse_address

Faults = Iterator[str]


@dataclass(frozen=True, slots=True)
class _Check:
    options: tuple[str, ...]
    modes: tuple[Mode, ...]
    run: Callable[[Values], Faults]


_CHECKS: list[_Check] = []


def check(values: Values, mode: Mode) -> list[str]:
    """All faults of these values in this mode, each naming the sources of the values it is about."""
    faults = []
    for one in _CHECKS:
        if mode in one.modes and values.are_sound(*one.options):
            sources = dict.fromkeys(str(values.source(name)) for name in one.options if values.is_given(name))
            where = f"{', '.join(sources)}: " if sources else ""
            faults += [where + text for text in one.run(values)]
    return faults


def _checks(*options: str, modes: tuple[Mode, ...] = MEMBER) -> Callable[[Callable[[Values], Faults]], None]:
    def register(run: Callable[[Values], Faults]) -> None:
        _CHECKS.append(_Check(options, modes, run))

    return register


# --- Log -----------------------------------------------------------------------------------------------------


@_checks("log-outputs", modes=BOTH)
def _log_outputs(values: Values) -> Faults:
    outputs = values["log-outputs"]
    if "default" in outputs and len(outputs) > 1:
        yield 'multi logoutput for "default" is not supported yet'


# --- URLs ----------------------------------------------------------------------------------------------------


def _bindable(name: str, modes: tuple[Mode, ...]) -> None:
    @_checks(name, modes=modes)
    def _(values: Values) -> Faults:
        for url in values[name]:
            if not is_bindable(url):
                yield f"expected IP in URL for binding ({url})"


def _advertised(name: str) -> None:
    @_checks(name)
    def _(values: Values) -> Faults:
        for url in values[name]:
            if not url.is_unix and not url.host:
                yield f'--{name} "{url}" must be "host:port" (unexpected empty host ({url}))'


_bindable("listen-peer-urls", MEMBER)
for _name in ("listen-client-urls", "listen-client-http-urls", "listen-metrics-urls"):
    _bindable(_name, BOTH)
_advertised("initial-advertise-peer-urls")
_advertised("advertise-client-urls")


@_checks("listen-client-urls", modes=BOTH)
def _client_urls(values: Values) -> Faults:
    if not values["listen-client-urls"]:
        yield "--listen-client-urls must name at least one URL"


@_checks("listen-client-urls", "advertise-client-urls")
def _advertise_client_urls(values: Values) -> Faults:
    if values.is_given("listen-client-urls") and not values.is_given("advertise-client-urls"):
        yield "--advertise-client-urls is required when --listen-client-urls is set explicitly"


@_checks("initial-advertise-peer-urls")
def _advertise_peer_urls(values: Values) -> Faults:
    if not values["initial-advertise-peer-urls"]:
        yield "--initial-advertise-peer-urls must name at least one URL"


# --- Cluster -------------------------------------------------------------------------------------------------


@_checks("name")
def _name_of_member(values: Values) -> Faults:
    if not values["name"] or set("=,") & set(values["name"]):
        yield "--name must not be empty, nor hold '=' or ','"


@_checks("initial-cluster", "discovery", "discovery-srv", "discovery-endpoints")
def _one_bootstrap(values: Values) -> Faults:
    if sum(bool(values[name]) for name in ("initial-cluster", "discovery", "discovery-srv", "discovery-endpoints")) > 1:
        yield (
            "multiple discovery or bootstrap flags are set. "
            'Choose one of "initial-cluster", "discovery", "discovery-endpoints" or "discovery-srv"'
        )


@_checks("discovery-endpoints", "discovery-token")
def _discovery_token(values: Values) -> Faults:
    if bool(values["discovery-endpoints"]) != bool(values["discovery-token"]):
        yield "both --discovery-endpoints and --discovery-token must be set"


@_checks("initial-cluster")
def _one_owner_of_urls(values: Values) -> Faults:
    owners: dict[Url, str] = {}
    for name, urls in values["initial-cluster"].items():
        for url in urls:
            if owners.setdefault(url, name) != name:
                yield f"--initial-cluster gives {url} to both {owners[url]} and {name}"


# --- Raft ----------------------------------------------------------------------------------------------------


@_checks("heartbeat-interval")
def _heartbeat(values: Values) -> Faults:
    if values["heartbeat-interval"] <= 0:
        yield f"--heartbeat-interval must be >0 (set to {values['heartbeat-interval']}ms)"


@_checks("heartbeat-interval", "election-timeout")
def _election(values: Values) -> Faults:
    heartbeat, election = values["heartbeat-interval"], values["election-timeout"]
    if election <= 0:
        yield f"--election-timeout must be >0 (set to {election}ms)"
    elif heartbeat * limits.ELECTION_HEARTBEATS > election:
        yield (
            f"--election-timeout[{election}ms] should be at least as {limits.ELECTION_HEARTBEATS} times "
            f"as --heartbeat-interval[{heartbeat}ms]"
        )
    if election > limits.ELECTION_TIMEOUT_MILLISECONDS:
        yield (
            f"--election-timeout[{election}ms] is too long, "
            f"and should be set less than {limits.ELECTION_TIMEOUT_MILLISECONDS}ms"
        )


# --- TLS -----------------------------------------------------------------------------------------------------


def _pair(cert: str, key: str, modes: tuple[Mode, ...]) -> None:
    @_checks(cert, key, modes=modes)
    def _(values: Values) -> Faults:
        if bool(values[cert]) != bool(values[key]):
            missing = key if values[cert] else cert
            yield f"--{cert} and --{key} must both be present, --{missing} is missing"


_pair("cert-file", "key-file", BOTH)
_pair("client-cert-file", "client-key-file", MEMBER)
_pair("peer-cert-file", "peer-key-file", MEMBER)
_pair("peer-client-cert-file", "peer-client-key-file", MEMBER)
_pair("discovery-cert", "discovery-key", MEMBER)
_pair("cert", "key", PROXY)


def _certificate_for(urls: str, kind: str, prefix: str, modes: tuple[Mode, ...]) -> None:
    @_checks(urls, f"{prefix}cert-file", f"{prefix}auto-tls", modes=modes)
    def _(values: Values) -> Faults:
        if values[f"{prefix}cert-file"] or values[f"{prefix}auto-tls"]:
            return
        for url in values[urls]:
            if url.is_tls:
                yield (
                    f"TLS key/cert (--{prefix}cert-file, --{prefix}key-file) must be provided "
                    f"for {kind} url {url} with HTTPS scheme"
                )


_certificate_for("listen-client-urls", "client", "", BOTH)
_certificate_for("listen-client-http-urls", "client", "", BOTH)
_certificate_for("listen-metrics-urls", "metrics", "", BOTH)
_certificate_for("listen-peer-urls", "peer", "peer-", MEMBER)


@_checks("tls-min-version", "tls-max-version", modes=BOTH)
def _tls_versions(values: Values) -> Faults:
    lowest, highest = values["tls-min-version"], values["tls-max-version"]
    if highest and lowest > highest:  # TLS1.2 < TLS1.3 as text, too
        yield f"min version ({lowest}) is greater than max version ({highest})"


@_checks("self-signed-cert-validity", modes=BOTH)
def _validity(values: Values) -> Faults:
    if values["self-signed-cert-validity"] < 1:
        yield "--self-signed-cert-validity must be at least 1 (year)"


# --- Numbers -------------------------------------------------------------------------------------------------


def _at_least_one(name: str, modes: tuple[Mode, ...]) -> None:
    @_checks(name, modes=modes)
    def _(values: Values) -> Faults:
        if values[name] < 1:
            yield f"--{name} must be at least 1 (set to {values[name]})"


for _name in ("snapshot-count", "max-txn-ops", "max-learners", "compaction-batch-limit", "auth-token-ttl"):
    _at_least_one(_name, MEMBER)
for _name in ("max-request-bytes", "max-concurrent-streams"):
    _at_least_one(_name, BOTH)


def _not_negative(name: str, modes: tuple[Mode, ...]) -> None:
    @_checks(name, modes=modes)
    def _(values: Values) -> Faults:
        if values[name] < 0:
            yield f"--{name} must not be negative"


_DURATIONS: Final = (
    "autopilot-promote-after",
    "autopilot-remove-after",
    "raft-read-timeout",
    "raft-write-timeout",
    "compaction-sleep-interval",
    "corrupt-check-time",
    "compact-hash-check-time",
    "downgrade-check-time",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "discovery-dial-timeout",
    "discovery-request-timeout",
    "discovery-keepalive-time",
    "discovery-keepalive-timeout",
)
for _name in _DURATIONS:
    _not_negative(_name, MEMBER)
for _name in (
    "grpc-keepalive-min-time",
    "grpc-keepalive-interval",
    "grpc-keepalive-timeout",
    "watch-progress-notify-interval",
):
    _not_negative(_name, BOTH)
for _name in ("dial-keepalive-time", "dial-keepalive-timeout", "endpoints-auto-sync-interval"):
    _not_negative(_name, PROXY)


@_checks("auto-compaction-mode", "auto-compaction-retention")
def _retention(values: Values) -> Faults:
    try:
        retention(values["auto-compaction-mode"], values["auto-compaction-retention"])
    except ValueError as error:
        yield f"error parsing CompactionRetention: {error}"


# --- Users and features --------------------------------------------------------------------------------------


@_checks("bcrypt-cost")
def _bcrypt(values: Values) -> Faults:
    costs = limits.BCRYPT_COSTS
    if values["bcrypt-cost"] not in costs:
        yield f"--bcrypt-cost {values['bcrypt-cost']} is outside {costs.start} to {costs.stop - 1}"


@_checks("auth-token")
def _auth_token(values: Values) -> Faults:
    provider, *parts = values["auth-token"].split(",")
    if provider not in ("simple", "jwt"):
        yield f'unknown token type "{provider}", it must be simple or jwt'
    elif provider == "jwt":
        given = {part.partition("=")[0] for part in parts}
        if "sign-method" not in given or not given & {"pub-key", "priv-key"}:
            yield "jwt needs sign-method=... and pub-key=... or priv-key=..."


@_checks("feature-gates")
def _feature_gates(values: Values) -> Faults:
    try:
        parse_gates(values["feature-gates"])
    except ValueError as error:
        yield str(error)


@_checks("enable-lease-checkpoint", "enable-lease-checkpoint-persist")
def _lease_checkpoint(values: Values) -> Faults:
    if values["enable-lease-checkpoint-persist"] and not values["enable-lease-checkpoint"]:
        yield "setting experimental-enable-lease-checkpoint-persist requires experimental-enable-lease-checkpoint"


# --- Proxy ---------------------------------------------------------------------------------------------------


@_checks("endpoints", "initial-cluster", "discovery-srv", "initial-advertise-peer-urls", modes=PROXY)
def _somewhere_to_forward(values: Values) -> Faults:
    if not (values["endpoints"] or values["discovery-srv"] or member_peer_urls(values)):
        yield "--endpoints must name at least one member"


@_checks("endpoints", "listen-client-urls", modes=PROXY)
def _no_loop(values: Values) -> Faults:
    own = {url.address for url in values["listen-client-urls"]}
    for url in values["endpoints"]:
        if url.address in own:
            yield f"endpoint {url} is where this proxy itself listens"


@_checks("cache-bytes", "share-watches", "namespace", modes=PROXY)
def _cache_needs_watches(values: Values) -> Faults:
    if values["cache-bytes"] and not values["share-watches"]:
        yield "--cache-bytes needs --share-watches, which tells it what has changed"
    if values["cache-bytes"] and values["namespace"]:
        yield "--cache-bytes does not go with --namespace"


@_checks("user-credentials", "client-cert-auth", "trusted-ca-file", modes=PROXY)
def _credentials_need_certificates(values: Values) -> Faults:
    if values["user-credentials"] and not (values["client-cert-auth"] or values["trusted-ca-file"]):
        yield "--user-credentials needs --client-cert-auth and --trusted-ca-file: users are named by certificates"


@_checks("advertise-client-url", modes=PROXY)
def _advertised_by_proxy(values: Values) -> Faults:
    for address in values["advertise-client-url"]:
        try:
            parse_address(address)
        except StartError as error:
            yield f"invalid advertise-client-url: {error}"


@_checks("resolver-prefix", "resolver-ttl", "advertise-client-url", "advertise-client-urls", modes=PROXY)
def _resolver(values: Values) -> Faults:
    prefix, ttl_seconds = values["resolver-prefix"], values["resolver-ttl"]
    if prefix and ttl_seconds < 1:
        yield f"invalid resolver-ttl {ttl_seconds}"
    if ttl_seconds and not prefix:
        yield f'invalid resolver-prefix "{prefix}"'
    if prefix and not advertised_by_proxy(values):
        yield 'invalid advertise-client-url ""'


_OF_TCP_MODE: Final = ("mode", *tcp_mode.REFUSED, "listen-client-urls", "listen-metrics-urls", "endpoints")


@_checks(*_OF_TCP_MODE, "discovery-srv", "initial-cluster", "initial-advertise-peer-urls", modes=PROXY)
def _tcp_mode(values: Values) -> Faults:
    if values["mode"] == "tcp":
        yield from tcp_mode.faults(values)


@_checks("retry-delay", modes=PROXY)
def _retry_delay(values: Values) -> Faults:
    if values["retry-delay"] <= 0:
        yield "--retry-delay must be more than 0"
