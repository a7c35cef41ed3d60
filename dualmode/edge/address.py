"""Decides: which sockets a list of listen URLs asks for, and what each of them may speak.

etcd's rule: URLs with the same address share one socket, so `http://h:p` and `https://h:p` together make one port that
takes both, told apart by the first bytes (`edge/sniff.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dualmode.errors import StartError

#: scheme -> (is a unix socket, is TLS)
_SCHEMES = {"http": (False, False), "https": (False, True), "unix": (True, False), "unixs": (True, True)}


@dataclass(frozen=True, slots=True)
class Target:
    """One URL, taken apart: a TCP host and port, or the path of a unix socket."""

    is_tls: bool
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_unix(self) -> bool:
        return bool(self.path)

    @property
    def address(self) -> str:
        """`host:port` as people write it, or the socket's path."""
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Back to the form it came from."""
        scheme = "unix" if self.path else "http"
        return f"{scheme}{'s' if self.is_tls else ''}://{self.address}"


@dataclass(frozen=True, slots=True)
class Place:
    """One socket to bind, and what may arrive on it."""

    target: Target
    allows_plain: bool
    allows_tls: bool

    @property
    def urls(self) -> tuple[str, ...]:
        """The listen URLs that this socket serves."""
        kinds = [kind for kind, allowed in ((False, self.allows_plain), (True, self.allows_tls)) if allowed]
        target = self.target
        return tuple(Target(kind, target.host, target.port, target.path).url for kind in kinds)


def parse_url(url: str) -> Target:
    """Takes a listen or endpoint URL apart. A bare `host:port` is http, as etcdctl has it.

    `unix://name:port` and `unix:///run/etcd.sock` name a socket file; as in etcd, what follows the slashes is the path.
    Raises StartError naming the URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "http", url
    if scheme not in _SCHEMES:
        raise StartError(f"{url}: the scheme is {scheme!r}, it must be http, https, unix or unixs")
    is_unix, is_tls = _SCHEMES[scheme]
    if is_unix:
        if not rest or "\0" in rest:
            raise StartError(f"{url}: a unix socket needs a path")
        return Target(is_tls, path=rest)
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise StartError(f"{url}: {error}") from None
    if host is None or port is None or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise StartError(f"{url}: expected {scheme}://host:port and nothing after it")
    return Target(is_tls, host, port)


def places(urls: Iterable[str]) -> list[Place]:
    """One Place per address, in the order in which the addresses first appear. Raises StartError."""
    found: dict[str, Place] = {}
    for url in urls:
        target = parse_url(url)
        # Port 0 means "any free port", so two of them are two sockets.
        key = target.address if target.is_unix or target.port else f"{url} {len(found)}"
        known = found.get(key)
        found[key] = Place(
            known.target if known else target,
            allows_plain=not target.is_tls or (known is not None and known.allows_plain),
            allows_tls=target.is_tls or (known is not None and known.allows_tls),
        )
    return list(found.values())
