"""Decides: a URL of a listener, member or endpoint, by etcd's rules, as a value.

`scheme://host:port` with http or https, or `unix://path`, `unixs://path` where all that follows the slashes is the path
of a socket file. Nothing may follow the port. An empty host is a URL still; what it is for decides whether it will do.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from dualmode.errors import StartError

SCHEMES: Final = ("http", "https", "unix", "unixs")
_PORTS: Final = 65_536


@dataclass(frozen=True, slots=True, order=True)
class Url:
    """One URL, taken apart. `str(url)` is the form it came from."""

    scheme: str
    host: str = ""  #: without the brackets of IPv6
    port: int = 0
    path: str = ""  #: of a unix socket

    @property
    def is_unix(self) -> bool:
        return self.scheme in ("unix", "unixs")

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("https", "unixs")

    @property
    def address(self) -> str:
        """`host:port` as people write it, or the socket's path."""
        if self.is_unix:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


def parse_url(text: str) -> Url:
    """Raises ValueError in etcd's words."""
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"URL scheme must be http, https, unix, or unixs: {text}")
    if scheme in ("unix", "unixs"):
        if not rest or "\0" in rest:
            raise ValueError(f"URL must have a socket path: {text}")
        return Url(scheme, path=rest)
    authority, _, path = rest.partition("/")
    if path:
        raise ValueError(f"URL must not contain a path: {text}")
    host, port = _split_authority(text, authority)
    return Url(scheme, host, port)


def parse_endpoint(text: str) -> Url:
    """An endpoint as etcdctl takes them: a URL, or a bare `host:port`, which is http. Raises ValueError."""
    return parse_url(text if "://" in text else f"http://{text.strip()}")


def parse_address(text: str) -> Url:
    """The same for what is to be bound or dialled now, so there must be a host. Raises StartError naming the URL."""
    try:
        url = parse_endpoint(text)
    except ValueError as error:
        raise StartError(str(error)) from None
    if not url.is_unix and not url.host:
        raise StartError(f"URL must name a host: {text}")
    return url


def _split_authority(text: str, authority: str) -> tuple[str, int]:
    if any(character in authority for character in "@?#\\") or not authority.isprintable() or " " in authority:
        raise ValueError(f'URL address does not have the form "host:port": {text}')
    if authority.startswith("["):
        host, bracket, port_text = authority[1:].partition("]:")
        well_formed = bool(bracket) and _is_ipv6(host)
    else:
        host, separator, port_text = authority.rpartition(":")
        well_formed = bool(separator) and ":" not in host and "[" not in host and "]" not in host
    if not well_formed or not (port_text.isascii() and port_text.isdigit()):
        raise ValueError(f'URL address does not have the form "host:port": {text}')
    if len(port_text) > len(str(_PORTS)) or int(port_text) >= _PORTS:
        raise ValueError(f"URL port must be below {_PORTS}: {text}")
    return host, int(port_text)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return False
    return True
