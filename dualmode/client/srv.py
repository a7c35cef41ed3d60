"""Does: asks DNS where a service is (SRV records, RFC 2782)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import dns.asyncresolver
import dns.exception

from dualmode.errors import PeerError

#: The name of a service -> (host, port) of who offers it, in the order in which they are to be tried.
Lookup = Callable[[str], Awaitable[list[tuple[str, int]]]]


async def look_up(name: str) -> list[tuple[str, int]]:
    """Who offers the service `name` (`_etcd-server._tcp.example.org`), by priority and weight. Raises `PeerError`."""
    try:
        answer = await dns.asyncresolver.resolve(name, "SRV")
    except dns.exception.DNSException as error:
        raise PeerError(f"error querying DNS SRV records for {name}: {error}") from None
    records = sorted(answer, key=lambda record: (record.priority, -record.weight))
    return [(record.target.to_text(omit_final_dot=True), record.port) for record in records]


def service_name(service: str, suffix: str, domain: str) -> str:
    """etcd's names: an optional suffix keeps clusters of one domain apart."""
    return f"_{service}{'-' + suffix if suffix else ''}._tcp.{domain}"
