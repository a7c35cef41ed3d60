"""Does: one end of the peer protocol on a loopback port of its own: a transport, its routes, and who hears it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.edge.address import places
from dualmode.edge.listener import bind_all
from dualmode.edge.server import Server, ServerOptions
from dualmode.edge.tls import ClientTls, ServerTls
from dualmode.errors import DualmodeError
from dualmode.peer.interface import KvHash, PeerIdentity
from dualmode.peer.member import Member
from dualmode.peer.routes import peer_mux
from dualmode.peer.transport import PeerTransport
from dualmode.raft import Message

CLUSTER = 0xC1


@dataclass
class Heard:
    """A RaftReceiver that remembers."""

    messages: list[Message] = field(default_factory=list)
    unreachable: list[int] = field(default_factory=list)
    snapshots: list[tuple[int, bool]] = field(default_factory=list)
    received: list[tuple[Message, bytes]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    is_out: bool = False
    #: What `receive_snapshot` raises.
    fault: DualmodeError | None = None

    def receive(self, message: Message) -> None:
        self.messages.append(message)

    def report_unreachable(self, member_id: int) -> None:
        self.unreachable.append(member_id)

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        self.snapshots.append((member_id, ok))

    def is_removed(self, member_id: int) -> bool:
        return member_id in self.removed

    def on_removed(self) -> None:
        self.is_out = True

    async def receive_snapshot(self, message: Message, file: Path) -> None:
        content = file.read_bytes()  # noqa: ASYNC240 - small
        file.unlink()  # noqa: ASYNC240
        if self.fault is not None:
            raise self.fault
        self.received.append((message, content))


class Service:
    """A PeerService with one lease, 5, and one hash; `refusal` is raised in place of any answer."""

    refusal: errors.RpcError | None = None

    def _check(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def members(self) -> list[Member]:
        return [Member(2**64 - 1, ("http://a:1",), "a", ("http://a:2",)), Member(7, ("http://b:1",), is_learner=True)]

    def versions(self) -> dict[str, str]:
        return {"etcdserver": "3.6.0", "etcdcluster": "3.6.0", "storage": "3.6.0"}

    def is_downgrade_enabled(self) -> bool:
        return True

    async def promote(self, member_id: int) -> list[Member]:
        self._check()
        return [Member(member_id, ("http://b:1",))]

    async def keep_alive(self, lease_id: int) -> int:
        self._check()
        if lease_id != 5:
            raise errors.LEASE_NOT_FOUND
        return 60

    async def time_to_live(self, lease_id: int, with_keys: bool) -> bytes:
        self._check()
        keys = [b"k"] if with_keys else []
        return bytes(pb.LeaseTimeToLiveResponse(ID=lease_id, TTL=9, grantedTTL=60, keys=keys).SerializeToString())

    async def hash_kv(self, revision: int) -> KvHash:
        self._check()
        return KvHash(9, 0xFFFFFFFF, -1, revision)


@dataclass
class End:
    """One member's end."""

    url: str
    heard: Heard
    transport: PeerTransport
    service: Service
    server: Server
    snapshot_dir: Path


@asynccontextmanager
async def speaking(
    member_id: int,
    directory: Path,
    *,
    address: str = "127.0.0.1:0",
    cluster_id: int = CLUSTER,
    version: str = "3.6.0",
    server_tls: ServerTls | None = None,
    client_tls: Callable[[], ClientTls] | None = None,
) -> AsyncIterator[End]:
    """Listens and speaks until it is left."""
    scheme = "https" if server_tls else "http"
    [listener] = bind_all(places([f"{scheme}://{address}"]))
    url = f"{scheme}://{listener.address}"
    heard, service = Heard(), Service()
    snapshot_dir = directory / f"{member_id:x}"
    snapshot_dir.mkdir(exist_ok=True)
    transport = PeerTransport(
        PeerIdentity(member_id, cluster_id, (url,), version),
        heard,
        snapshot_dir=snapshot_dir,
        stream_tls=client_tls() if client_tls else None,
        call_tls=client_tls() if client_tls else None,
    )
    server = Server([listener], peer_mux(transport, service), ServerOptions(tls=server_tls))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await nursery.start(transport.run)
        try:
            yield End(url, heard, transport, service, server, snapshot_dir)
        finally:
            nursery.cancel_scope.cancel()


def introduce(*ends: End) -> None:
    """Tells each of all others."""
    for end in ends:
        for other in ends:
            end.transport.add_peer(other.transport.identity.member_id, (other.url,))
