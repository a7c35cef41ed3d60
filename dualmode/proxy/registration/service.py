"""Does: MemberList of a proxy that has an address to advertise, and the tasks behind it."""

from __future__ import annotations

import socket

import trio

from dualmode.api import etcdserverpb
from dualmode.client.etcd import Calls
from dualmode.config.settings import ProxySettings
from dualmode.proxy.registration.announcements import announcement, member_list
from dualmode.proxy.registration.announcing import Announcing
from dualmode.proxy.registration.following import Following
from dualmode.rpc.calls import Kind, Method, UnaryCall
from dualmode.rpc.decode import decode


class RegistrationService:
    """The handler of `etcdserverpb.Cluster/MemberList` in a proxy. `run` is its task."""

    def __init__(self, settings: ProxySettings, calls: Calls) -> None:
        self._addresses = settings.advertise_client_urls
        self._hostname = socket.gethostname()
        self._announcing: Announcing | None = None
        self._following: Following | None = None
        if settings.resolver_prefix:
            # As with etcd, the announcement lies in the namespace that the proxy's clients see.
            prefix = settings.namespace + settings.resolver_prefix.encode()
            keys = [announcement(prefix, address, self._hostname) for address in self._addresses]
            self._announcing = Announcing(calls, keys, settings.resolver_ttl_seconds)
            self._following = Following(calls, prefix)

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        kind, request, response = Kind.UNARY, pb.MemberListRequest, pb.MemberListResponse
        return [Method("etcdserverpb.Cluster", "MemberList", kind, request, response, self.member_list)]

    @property
    def is_registered(self) -> bool:
        """Whether this proxy is announced, as far as it knows."""
        return self._announcing is not None and self._announcing.is_registered

    @property
    def announced_proxies(self) -> int:
        """How many are known under the prefix, with this one."""
        return len(self._following.announcements) if self._following is not None else 0

    async def run(self) -> None:
        """Works until cancelled."""
        if self._announcing is None or self._following is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announcing.run)
            nursery.start_soon(self._following.run)

    async def withdraw(self) -> None:
        """At the end, while there is still a way to the members: no client is to find this proxy any more."""
        if self._announcing is not None:
            await self._announcing.withdraw()

    def member_list(self, call: UnaryCall, message: bytes) -> None:
        """The handler: from what is known, without asking anybody. Raises RpcError."""
        decode(etcdserverpb.MemberListRequest, message)
        others = self._following.announcements.members() if self._following is not None else []
        call.reply(member_list(others, self._addresses, self._hostname).SerializeToString())
