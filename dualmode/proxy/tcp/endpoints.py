"""Does: finds the remotes of the TCP gateway at its start: endpoints by name, or the SRV records of clients.

As with etcd's gateway they are what they are from then on: who the members are is for clients to ask, since calls pass
through unread.
"""

from __future__ import annotations

from dualmode.client.srv import RecordLookup, look_up_records, service_name
from dualmode.config.settings import ProxySettings
from dualmode.errors import PeerError, StartError
from dualmode.proxy.tcp.remotes import Remote
from dualmode.urls import Url, parse_address


async def find_remotes(settings: ProxySettings, lookup: RecordLookup = look_up_records) -> list[Remote]:
    """Raises StartError when there are none, or their names cannot be dialled."""
    if settings.srv_domain:
        return await _by_srv(settings, lookup)
    return [Remote(parse_address(str(url))) for url in settings.endpoints]


async def _by_srv(settings: ProxySettings, lookup: RecordLookup) -> list[Remote]:
    """Records of members that serve TLS; plain ones only when asked for."""
    found: list[Remote] = []
    faults: list[str] = []
    services = [("etcd-client-ssl", "https")]
    if settings.allows_insecure_srv:
        services.append(("etcd-client", "http"))
    for service, scheme in services:
        try:
            records = await lookup(service_name(service, settings.srv_name, settings.srv_domain))
        except PeerError as error:
            faults.append(str(error))
        else:
            found += [Remote(Url(scheme, one.host, one.port), one.priority, one.weight) for one in records]
    if not found:
        hint = "" if settings.allows_insecure_srv else " (--insecure-discovery takes records of plain HTTP too)"
        raise StartError("; ".join(faults or [f"no SRV records for {settings.srv_domain}"]) + hint)
    return found
