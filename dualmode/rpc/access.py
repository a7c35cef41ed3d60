"""Decides: who may use the plain HTTP side: the host whitelist and CORS, as etcd's access controller has them.

gRPC calls are not asked: browsers cannot make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from dualmode.http.interface import Pairs, RequestHead
from dualmode.http.routing import PeerIdentity

_ANY: Final = "*"
_GATEWAY: Final = b"/v3"

_METHODS: Final = (b"access-control-allow-methods", b"POST, GET, OPTIONS, PUT, DELETE")
_HEADERS: Final = (b"access-control-allow-headers", b"accept, content-type, authorization")

_UNKNOWN_HOST: Final = (
    "The host name of this request is not on the list of this server. A page that a browser shows could otherwise "
    "reach it by DNS rebinding (CVE-2018-5702). Use TLS, or add the name to --host-whitelist.\n"
)
_COMMON_NAME: Final = (
    "CommonName of client sending a request against gateway will be ignored and not used as expected\n"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of what was asked for."""

    status: int
    text: str


def host_of(authority: bytes) -> str:
    """The name in a Host header: without port, and without the brackets of an IPv6 address that has one."""
    text = authority.decode("latin-1")
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.endswith("]")):
        return text
    return host.removeprefix("[").removesuffix("]")


class AccessRules:
    """Options `--host-whitelist` and `--cors`. "*" and an empty list allow everything."""

    def __init__(
        self, hosts: Iterable[str], origins: Iterable[str], refuses_common_names: Callable[[], bool] = lambda: False
    ) -> None:
        """`refuses_common_names`: client certificates are checked and users are on, so a name in a certificate would
        be taken for a user, but the gateway does not pass it on."""
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._refuses_common_names = refuses_common_names

    def refusal(self, head: RequestHead, peer: PeerIdentity) -> Refusal | None:
        """Why a request is not served, or None. The whitelist is for plain connections: over TLS a browser checks the
        name itself."""
        if not peer.is_tls:
            return None if self._knows(head.authority) else Refusal(421, _UNKNOWN_HOST)
        if peer.common_name and head.path.startswith(_GATEWAY) and self._refuses_common_names():
            return Refusal(400, _COMMON_NAME)
        return None

    def _knows(self, authority: bytes) -> bool:
        return not self._hosts or _ANY in self._hosts or host_of(authority) in self._hosts

    def cors_fields(self, origin: bytes | None) -> Pairs:
        """Response headers that let a page of this origin read the answer; none if it may not."""
        if not self._origins or _ANY in self._origins:
            allowed = b"*"
        elif origin is not None and origin.decode("latin-1") in self._origins:
            allowed = origin
        else:
            return ()
        return (_METHODS, (b"access-control-allow-origin", allowed), _HEADERS)
