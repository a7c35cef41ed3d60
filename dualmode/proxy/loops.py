"""Does: looks whether an endpoint is a listener of this very proxy, which would forward to itself without end.

As etcd's gateway does, names are compared by the addresses they stand for. A listener on all addresses of the machine
is found under each of them.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import trio

from dualmode.errors import StartError
from dualmode.urls import Url


async def refuse_loops(endpoints: Iterable[Url], listen_urls: Iterable[Url]) -> None:
    """Raises StartError naming both. An endpoint whose name is not known is no loop."""
    own = list(listen_urls)
    for endpoint in endpoints:
        for listener in own:
            if await _is_same(endpoint, listener):
                raise StartError(f"endpoint {endpoint} is where this proxy itself listens ({listener})")


async def _is_same(endpoint: Url, listener: Url) -> bool:
    if endpoint.is_unix or listener.is_unix:
        return endpoint.address == listener.address and endpoint.is_unix == listener.is_unix
    if endpoint.port != listener.port:
        return False
    theirs, ours = await _addresses(endpoint), await _addresses(listener)
    if theirs & ours:
        return True
    return any(ipaddress.ip_address(address).is_unspecified for address in ours) and any(map(_is_local, theirs))


async def _addresses(url: Url) -> set[str]:
    try:
        found = await trio.socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]).partition("%")[0] for _, _, _, _, address in found}


def _is_local(address: str) -> bool:
    """Whether it is one of this machine: only those can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
