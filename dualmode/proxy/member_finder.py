"""Does: finds out where the members are, at the start and from then on: members come and go without a restart.

Three ways, by what the proxy was told: endpoints by name; peer URLs of members (--initial-cluster, or what the cluster
file remembers), whose /members names the client URLs; SRV records. Then the cluster itself is asked, through the
endpoint in use (MemberList) or at a peer URL, every half minute and at once after an endpoint was lost. Endpoints that
were named stay in the list, last: what members say of themselves may not be how this machine reaches them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Final

import trio

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.client.calls import UnaryCall
from dualmode.client.srv import Lookup, look_up, service_name
from dualmode.client.status import CallError
from dualmode.config.settings import ProxySettings
from dualmode.errors import PeerError, StartError, StorageError
from dualmode.http.interface import Fields
from dualmode.peer.client import PeerClient
from dualmode.peer.member import Member
from dualmode.proxy.cluster_file import ClusterFile, KnownCluster
from dualmode.proxy.upstreams import Upstreams
from dualmode.urls import Url, parse_address, parse_url

_log = log.get("proxy")
_MEMBER_LIST: Final = b"/etcdserverpb.Cluster/MemberList"


class MemberFinder:
    """Of one proxy. `start` gives the first endpoints, `run` is its task."""

    def __init__(
        self, settings: ProxySettings, file: ClusterFile, client: PeerClient, lookup: Lookup = look_up
    ) -> None:
        self._settings = settings
        self._file = file
        self._client = client
        self._lookup = lookup
        self._named: tuple[Url, ...] = ()
        self._known = KnownCluster()
        self._wake = trio.Event()

    # --- At the start ----------------------------------------------------------------------------------------

    async def start(self) -> list[Url]:
        """Where to forward, in an order of this process's own, so that a fleet of proxies spreads. Raises StartError
        when nobody says where the members are; when only nobody answers, the list may be empty for now."""
        settings = self._settings
        if not settings.has_named_endpoints:
            self._known = self._file.read()
        if self._known != KnownCluster():
            _log.info("the cluster file says where the members are", peer_urls=[*map(str, self._known.peer_urls)])
        elif settings.srv_domain:
            self._named = tuple(await self._by_srv())
        else:
            self._named = tuple(parse_address(str(url)) for url in settings.endpoints)
        peer_urls = self._known.peer_urls or settings.member_peer_urls
        if not self._named:
            if not peer_urls:
                raise StartError("--endpoints must name at least one member")
            self._known = KnownCluster(peer_urls, self._known.client_urls)
            await self._ask_peers()
        return self._targets()

    async def _by_srv(self) -> list[Url]:
        """Clients' records: secure ones, and plain ones only when asked for. Raises StartError."""
        settings, found, faults = self._settings, list[Url](), list[str]()
        services = [("etcd-client-ssl", "https")]
        if settings.allows_insecure_srv:
            services.append(("etcd-client", "http"))
        for service, scheme in services:
            try:
                records = await self._lookup(service_name(service, settings.srv_name, settings.srv_domain))
            except PeerError as error:
                faults.append(str(error))
            else:
                found += [parse_url(f"{scheme}://{host}:{port}") for host, port in records]
        if not found:
            hint = "" if settings.allows_insecure_srv else " (--insecure-discovery takes records of plain HTTP too)"
            raise StartError("; ".join(faults or [f"no SRV records for {settings.srv_domain}"]) + hint)
        return found

    def _targets(self) -> list[Url]:
        """The members' own URLs in a shuffled order, then those that were named."""
        known = [url for url in self._known.client_urls if url not in self._named]
        targets = [*known, *self._named] if known else list(self._named)
        if not known:
            random.shuffle(targets)
        return targets

    # --- From then on ----------------------------------------------------------------------------------------

    def look_now(self) -> None:
        """An endpoint was lost, or found: the members may be others."""
        self._wake.set()

    async def run(self, upstreams: Upstreams) -> None:
        """Keeps the endpoints of `upstreams` up to date until cancelled."""
        interval = self._settings.refresh_seconds
        while True:
            with trio.move_on_after(interval if self._known.client_urls or self._named else limits.PROXY_RETRY_SECONDS):
                await self._wake.wait()
            self._wake = trio.Event()
            await self._look(upstreams)

    async def _look(self, upstreams: Upstreams) -> None:
        before = self._known
        members = await self._ask_endpoint(upstreams)
        if members:
            self._note(members)
        elif self._known.peer_urls:
            await self._ask_peers()
        if self._known != before:
            targets = self._targets()
            _log.info("endpoints found", endpoints=[str(url) for url in targets])
            upstreams.set_targets(targets)

    async def _ask_endpoint(self, upstreams: Upstreams) -> list[Member]:
        """By MemberList at the endpoint in use; nothing when it does not say, for want of a token or of a leader."""
        connection = upstreams.ready
        if connection is None or not connection.can_open_stream:
            return []
        call = UnaryCall(connection)
        try:
            with trio.fail_after(limits.PROXY_LOOK_SECONDS):
                call.start(request_head(connection.target, upstreams.scheme, _MEMBER_LIST), b"")
                answer = etcdserverpb.MemberListResponse.FromString(await call.result())
        except (CallError, trio.TooSlowError, ValueError) as error:
            call.cancel()
            _log.debug("an endpoint does not name the members", error=str(error))
            return []
        return [Member(one.ID, tuple(one.peerURLs), one.name, tuple(one.clientURLs)) for one in answer.members]

    async def _ask_peers(self) -> None:
        for url in self._known.peer_urls:
            try:
                _, members = await self._client.members(str(url))
            except PeerError as error:
                _log.warning("could not get cluster response", url=str(url), error=str(error))
            else:
                self._note(members)
                return

    def _note(self, members: Iterable[Member]) -> None:
        listed = list(members)
        client_urls = _parsed([url for one in listed for url in one.client_urls])
        if not client_urls:
            return
        known = KnownCluster(_parsed([url for one in listed for url in one.peer_urls]), client_urls)
        if known != self._known:
            self._known = known
            try:
                self._file.write(known)
            except StorageError as error:
                _log.warning("the members are not remembered", error=str(error))


def request_head(target: Url, scheme: bytes, path: bytes) -> Fields:
    """Of a call of the proxy's own: nobody's token goes with it."""
    return Fields(
        (b":method", b"POST"),
        (b":scheme", scheme),
        (b":path", path),
        (b":authority", b"localhost" if target.is_unix else target.address.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )


def _parsed(texts: Sequence[str]) -> tuple[Url, ...]:
    """Those that can be dialled, in an order of their own; members may say what they like of themselves."""
    found: list[Url] = []
    for text in texts:
        try:
            url = parse_url(text)
        except ValueError:
            continue
        if (url.is_unix or url.host) and url not in found:
            found.append(url)
    return tuple(sorted(found, key=str))
