"""Decides: what options mean to the TCP gateway (`dualmode proxy --mode tcp`), which reads nothing that passes through.

An option that promises protection, other keys or an answer of our own cannot be kept there and is refused: a gateway
that started without it would be taken for something that it is not. Others are told of once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dualmode.config.resolve import member_peer_urls
from dualmode.config.values import Values

_CALLS: Final = "calls pass through unread"
_TLS: Final = "TLS passes through to the members, which check their clients themselves"
_NO_ANSWERS: Final = "the gateway answers nothing itself"

#: Options that cannot be kept, with the reason. Their default is fine.
REFUSED: Final = {
    "proxy": "changes could not be told from reads, and would not be refused",
    "namespace": _CALLS,
    "resolver-prefix": _CALLS,
    "user-credentials": _CALLS,
    "host-whitelist": _CALLS,
    "cors": _CALLS,
    "cert-file": _TLS,
    "key-file": _TLS,
    "auto-tls": _TLS,
    "client-cert-auth": _TLS,
    "client-crl-file": _TLS,
    "client-cert-allowed-cn": _TLS,
    "client-cert-allowed-hostname": _TLS,
    "listen-client-http-urls": _NO_ANSWERS,
}

#: What the gateway goes by, beside what it refuses.
_MEANINGFUL: Final = frozenset(
    """
    mode endpoints discovery-srv discovery-srv-name insecure-discovery retry-delay proxy-dial-timeout
    listen-client-urls listen-metrics-urls socket-reuse-port config-file name data-dir proxy help version
    log-level log-format log-outputs
""".split()  # noqa: SIM905
)
#: And what only the gateway goes by.
_ONLY_TCP: Final = frozenset({"retry-delay"})


def faults(values: Values) -> Iterator[str]:
    """Of values whose --mode is tcp."""
    for name, reason in REFUSED.items():
        if _asks_for_it(name, values):
            shown = "--proxy readonly" if name == "proxy" else f"--{name}"
            yield f"{shown} does not go with --mode tcp: {reason}"
    for name in ("listen-client-urls", "listen-metrics-urls"):
        for url in values[name]:
            if url.is_tls:
                yield f"--{name} {url} does not go with --mode tcp, where TLS is not ours: write http://{url.address}"
    if member_peer_urls(values):
        yield "--mode tcp needs --endpoints or --discovery-srv: it asks no member for the others"


def _asks_for_it(name: str, values: Values) -> bool:
    value = values[name]
    if name == "proxy":
        return bool(value == "readonly")
    if name in ("host-whitelist", "cors"):
        return bool(value) and "*" not in value
    return bool(value)


def means_nothing(name: str, values: Values) -> bool:
    """Whether a given option has no effect on a proxy of this mode."""
    if values["mode"] == "tcp":
        return name not in _MEANINGFUL and name not in REFUSED
    return name in _ONLY_TCP
