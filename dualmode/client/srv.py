"""Does: asks DNS where a service is (SRV records, RFC 2782)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import dns.asyncresolver
import dns.exception

from dualmode.errors import PeerError


class SrvRecord(NamedTuple):
    """Who offers a service. A lower priority number comes first; among equal ones the weight says how often."""

    host: str
    port: int
    priority: int
    weight: int


#: The name of a service -> (host, port) of who offers it, in the order in which they are to be tried.
Lookup = Callable[[str], Awaitable[list[tuple[str, int]]]]
#: The same with all that the records say.
RecordLookup = Callable[[str], Awaitable[list[SrvRecord]]]


async def look_up_records(name: str) -> list[SrvRecord]:
    """Who offers the service `name` (`_etcd-server._tcp.example.org`), by priority and weight. Raises `PeerError`."""
    try:
        answer = await dns.asyncresolver.resolve(name, "SRV")
    except dns.exception.DNSException as error:
        raise PeerError(f"error querying DNS SRV records for {name}: {error}") from None
    records = [
        SrvRecord(record.target.to_text(omit_final_dot=True), record.port, record.priority, record.weight)
        for record in answer
    ]
    return sorted(records, key=lambda record: (record.priority, -record.weight))


async def look_up(name: str) -> list[tuple[str, int]]:
    """The same without the numbers. Raises `PeerError`."""
    return [(record.host, record.port) for record in await look_up_records(name)]


def service_name(service: str, suffix: str, domain: str) -> str:
    """etcd's names: an optional suffix keeps clusters of one domain apart."""
    return f"_{service}{'-' + suffix if suffix else ''}._tcp.{domain}"
