"""Does: finds out which version the whole cluster has, and has it agreed on when this member leads (etcd
`monitorVersions`).

The cluster's version is the lowest of its members'. It only rises, and only when every member has been heard; an
operator who enables a downgrade has it go down by one minor version at once, so that members of that version may join,
and the downgrade is over when all have it.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

import dualmode
from dualmode import limits, log
from dualmode.errors import PeerError, RpcError
from dualmode.member.cluster.announcing import Announcer
from dualmode.member.replica import Replica
from dualmode.peer.client import PeerClient
from dualmode.peer.identity_headers import release_of
from dualmode.peer.member import Member

_log = log.get("member")
#: What is agreed on while nobody knows better.
_LOWEST = "3.0.0"


def cluster_version_of(versions: dict[int, str | None], highest: str) -> str | None:
    """The version of a cluster whose members have these, but not above `highest`; None while one has not been heard
    of."""
    known = [release_of(version) for version in versions.values() if version is not None]
    if not known or len(known) < len(versions):
        return None
    major, minor = min(*known, release_of(highest))
    return f"{major}.{minor}.0"


def next_version(current: str | None, decided: str | None, downgrade_target: str) -> str | None:
    """What is to be agreed on now; None: nothing new."""
    if current is None:
        return decided or _LOWEST
    if decided is None:
        return None
    if downgrade_target:
        is_lower = release_of(downgrade_target) < min(release_of(current), release_of(decided))
        return downgrade_target if is_lower else None
    return decided if release_of(decided) > release_of(current) else None


class VersionMonitor:
    """Looks every few seconds, and when this member begins to lead. `run` is its task."""

    def __init__(self, replica: Replica, client: PeerClient, announcer: Announcer, highest: str) -> None:
        self._replica = replica
        self._client = client
        self._announcer = announcer
        self._highest = highest
        self._wake = trio.Event()
        #: By member id; None: not heard of at the last look.
        self.versions: dict[int, str | None] = {}
        self.on_version: Callable[[], None] = lambda: None
        replica.leadership.on_change.append(self._on_leadership)

    def _on_leadership(self, is_leading: bool) -> None:
        if is_leading:
            self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with trio.move_on_after(limits.VERSION_CHECK_SECONDS):
                await self._wake.wait()
            self._wake = trio.Event()
            if self._replica.is_leader:
                await self._look()

    async def _look(self) -> None:
        await self._ask_all()
        applier = self._replica.applier
        decided, target = cluster_version_of(self.versions, self._highest), applier.downgrade.target_version
        wanted = next_version(applier.membership.cluster_version, decided, target)
        if not self._replica.is_leader:
            return
        try:
            if wanted is not None:
                await self._announcer.announce_version(wanted)
            elif target and decided == target:
                await self._announcer.end_downgrade()
        except RpcError as error:
            _log.warning("failed to update the cluster version", cluster_version=wanted, error=error.message)

    async def _ask_all(self) -> None:
        versions: dict[int, str | None] = {self._replica.node.id: dualmode.ETCD_VERSION}
        async with trio.open_nursery() as nursery:
            for member in self._replica.applier.membership.members():
                if member.id not in versions:
                    versions[member.id] = None
                    nursery.start_soon(self._ask, member, versions)
        self.versions = versions

    async def _ask(self, member: Member, versions: dict[int, str | None]) -> None:
        for url in member.peer_urls:
            try:
                versions[member.id] = (await self._client.version(url)).get("etcdserver")
                return
            except PeerError as error:
                _log.debug("a member does not tell its version", url=url, error=str(error))
