"""Does: finds the members of a new cluster that are not named: by DNS, or in another etcd (etcd's v3 discovery).

Both give what --initial-cluster would have said: name -> peer URLs, this member among them.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import trio

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.client.channel import open_channel
from dualmode.client.etcd import EtcdClient
from dualmode.client.srv import Lookup, look_up, service_name
from dualmode.client.status import CallError
from dualmode.config.settings import DiscoverySettings
from dualmode.edge.tls import ClientTlsSettings
from dualmode.errors import PeerError, StartError
from dualmode.urls import Url, parse_url

_log = log.get("discovery")
_REGISTRY: Final = "/_etcd/registry"

Members = dict[str, tuple[str, ...]]
#: Host and port -> the TCP addresses they stand for.
Resolve = Callable[[str, int], Awaitable[set[tuple[str, int]]]]


async def resolve_host(host: str, port: int) -> set[tuple[str, int]]:
    """By the machine's resolver; nothing for a name that is not known."""
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(str(address[0]), int(address[1])) for *_, address in found}


# --- DNS -----------------------------------------------------------------------------------------------------


async def members_by_srv(
    name: str,
    advertised: Sequence[Url],
    settings: DiscoverySettings,
    lookup: Lookup = look_up,
    resolve: Resolve = resolve_host,
) -> Members:
    """From the records `_etcd-server-ssl._tcp` (https) and `_etcd-server._tcp` (http) of the domain. The record that
    leads to one of our own peer URLs is us; the others have numbers for names, which is all that is needed. Raises
    StartError in etcd's words."""
    ours: set[tuple[str, int]] = set()
    for url in advertised:
        ours |= await resolve(url.host, url.port)
    found: Members = {}
    faults: list[str] = []
    for service, scheme in (("etcd-server-ssl", "https"), ("etcd-server", "http")):
        try:
            records = await lookup(service_name(service, settings.srv_name, settings.srv_domain))
        except PeerError as error:
            faults.append(str(error))
            continue
        for host, port in records:
            is_own = not ours.isdisjoint(await resolve(host, port))
            one = name if is_own else _free_number(found)
            found[one] = (*found.get(one, ()), f"{scheme}://{host}:{port}")
            if is_own and scheme not in {url.scheme for url in advertised}:
                raise StartError(
                    f"the SRV record for this member is of {scheme}: {host}:{port} is advertised otherwise"
                )
    if not found:
        raise StartError("; ".join(faults) or f"there are no SRV records of members for {settings.srv_domain}")
    if name not in found:
        raise StartError(f'cannot find local etcd member "{name}" in SRV records')
    return found


def _free_number(found: Members) -> str:
    number = 0
    while str(number) in found:
        number += 1
    return str(number)


# --- Another etcd --------------------------------------------------------------------------------------------


async def members_by_service(name: str, member_id: int, urls: Sequence[str], settings: DiscoverySettings) -> Members:
    """Registers this member under the token and waits until the cluster has its size. Raises StartError; connections
    that fail are tried again, at growing intervals, for as long as it takes."""
    tls = ClientTlsSettings(
        trusted_ca_file=settings.trusted_ca_file,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        insecure_skip_verify=settings.skip_verify,
    )
    pause_seconds, endpoints = 1.0, list(settings.endpoints)
    while True:
        endpoint = endpoints[0]
        endpoints.append(endpoints.pop(0))
        async with open_channel(str(endpoint), tls) as channel:
            client = EtcdClient(channel, timeout=settings.request_timeout_seconds)
            outcome = await _tried(client, settings, name, member_id, urls)
        if isinstance(outcome, dict):
            return outcome
        if isinstance(outcome, StartError):
            raise outcome
        _log.warning("the discovery service does not answer, trying again", error=str(outcome), url=str(endpoint))
        await trio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, limits.DISCOVERY_PAUSE_SECONDS)


async def _tried(
    client: EtcdClient, settings: DiscoverySettings, name: str, member_id: int, urls: Sequence[str]
) -> Members | StartError | CallError:
    """One try. What it ends with is given rather than raised, since the channel's nursery would wrap it up."""
    try:
        await _log_in(client, settings)
        return await _Registry(client, settings.token).join(name, member_id, urls)
    except (StartError, CallError) as error:
        return error


async def _log_in(client: EtcdClient, settings: DiscoverySettings) -> None:
    if settings.user:
        request = etcdserverpb.AuthenticateRequest(name=settings.user, password=settings.password)
        answer = await client.call("/etcdserverpb.Auth/Authenticate", request, etcdserverpb.AuthenticateResponse)
        client.metadata = (("token", answer.token),)


class _Registry:
    """The keys of one token."""

    def __init__(self, client: EtcdClient, token: str) -> None:
        self._client = client
        self._prefix = f"{_REGISTRY}/{token}"
        self._members_low = f"{self._prefix}/members/".encode()
        self._members_high = f"{self._prefix}/members0".encode()

    async def join(self, name: str, member_id: int, urls: Sequence[str]) -> Members:
        """All members, once they are there."""
        key = self._members_low + f"{member_id:x}".encode()
        size = await self._size()
        found, _ = await self._registered(size)
        if key not in {one.key for one in found}:
            if len(found) >= size:
                raise StartError("discovery: cluster is full")
            await self._client.put(key, ",".join(f"{name}={url}" for url in urls).encode())
            _log.info("registered with the discovery service", key=key.decode())
        return await self._wait(key, size)

    async def _size(self) -> int:
        text = await self._client.get(f"{self._prefix}/_config/size".encode())
        if text is None:
            raise StartError(f"discovery: size key not found: put the size under {self._prefix}/_config/size")
        if not text.isdigit() or not 0 < int(text) <= limits.DISCOVERY_MEMBERS:
            raise StartError(f"discovery: size key is bad: {text[:20]!r}")
        return int(text)

    async def _registered(self, size: int) -> tuple[list[Any], int]:
        """The first `size` of those who are there, oldest first, and the revision they were read at."""
        answer = await self._client.range(self._members_low, self._members_high)
        return sorted(answer.kvs, key=lambda one: one.create_revision)[:size], answer.header.revision

    async def _wait(self, key: bytes, size: int) -> Members:
        while True:
            found, revision = await self._registered(size)
            if key not in {one.key for one in found} and len(found) == size:
                raise StartError("discovery: cluster is full")
            if len(found) == size:
                return _decoded(found)
            _log.info("waiting for the other members", found=len(found), size=size)
            with await self._client.watch(self._members_low, self._members_high, start_revision=revision + 1) as watch:
                await anext(watch)


def _decoded(found: list[Any]) -> Members:
    members: Members = {}
    for one in found:
        for part in one.value.decode("utf-8", "replace").split(","):
            name, _, url = part.partition("=")
            try:
                members[name] = (*members.get(name, ()), str(parse_url(url)))
            except ValueError as error:
                raise StartError(f"discovery: {one.key!r} holds no member: {error}") from None
    if len(members) != len(found):
        raise StartError("discovery: found duplicate name: every member needs a --name of its own")
    return members
