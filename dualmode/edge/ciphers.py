"""Decides: cipher suite and TLS version names, as etcd's flags spell them, in OpenSSL's words.

etcd takes Go's names (those of the IANA registry). TLS 1.3 suites are accepted and ignored: neither Go nor OpenSSL's
cipher list lets anyone choose among them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final

from dualmode.errors import StartError

OPENSSL_NAMES: Final = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
}
TLS13_NAMES: Final = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})

VERSIONS: Final = {
    "": None,
    "TLS1.2": ssl.TLSVersion.TLSv1_2,
    "TLS1.3": ssl.TLSVersion.TLSv1_3,
}


def openssl_ciphers(names: Iterable[str]) -> str:
    """The names as one OpenSSL cipher list, TLS 1.3 suites left out; "" keeps OpenSSL's choice. Raises StartError."""
    chosen = []
    for name in names:
        if name in OPENSSL_NAMES:
            chosen.append(OPENSSL_NAMES[name])
        elif name not in TLS13_NAMES:
            raise StartError(f'unexpected TLS cipher suite "{name}"')
    return ":".join(chosen)


def tls_version(name: str) -> ssl.TLSVersion | None:
    """ "TLS1.2" or "TLS1.3"; "" is None, which leaves the bound open. Raises StartError."""
    if name not in VERSIONS:
        raise StartError(f"unexpected TLS version {name!r}, it must be TLS1.2 or TLS1.3")
    return VERSIONS[name]
