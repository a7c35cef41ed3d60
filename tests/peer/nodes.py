"""Does: members that are nothing but a transport and its listener, on loopback; they keep what they hear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from dualmode import errors
from dualmode.api import etcdserverpb
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
    """A RaftReceiver that only listens."""

    messages: list[Message] = field(default_factory=list)
    unreachable: list[int] = field(default_factory=list)
    snapshots: list[tuple[int, bool]] = field(default_factory=list)
    files: list[tuple[Message, bytes]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    is_told_to_go: bool = False
    refuses_files: bool = False

    def receive(self, message: Message) -> None:
        self.messages.append(message)

    def report_unreachable(self, member_id: int) -> None:
        self.unreachable.append(member_id)

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        self.snapshots.append((member_id, ok))

    def is_removed(self, member_id: int) -> bool:
        return member_id in self.removed

    def on_removed(self) -> None:
        self.is_told_to_go = True

    async def receive_snapshot(self, message: Message, file: Path) -> None:
        if self.refuses_files:
            raise DualmodeError("of no use")
        self.files.append((message, file.read_bytes()))  # noqa: ASYNC240 - a test's small file
        file.unlink()  # noqa: ASYNC240


class Answers:
    """A PeerService with answers of the test's own."""

    def __init__(self) -> None:
        self.listed = [Member(1, ("http://one:2380",), "one", ("http://one:2379",)), Member(2, ("http://two:2380",))]
        self.error: DualmodeError | None = None

    def members(self) -> list[Member]:
        return self.listed

    def versions(self) -> dict[str, str]:
        return {"etcdserver": "3.6.0", "etcdcluster": "3.5.0", "storage": "3.6.0"}

    def is_downgrade_enabled(self) -> bool:
        return True

    async def promote(self, member_id: int) -> list[Member]:
        self._fail()
        return [Member(member_id, ("http://new:2380",))]

    async def keep_alive(self, lease_id: int) -> int:
        self._fail()
        return lease_id * 10

    async def time_to_live(self, lease_id: int, with_keys: bool) -> bytes:
        self._fail()
        keys = [b"k"] if with_keys else []
        answer = etcdserverpb.LeaseTimeToLiveResponse(ID=lease_id, TTL=5, grantedTTL=9, keys=keys)
        return bytes(answer.SerializeToString())

    async def hash_kv(self, revision: int) -> KvHash:
        self._fail()
        if revision > 100:
            raise errors.FUTURE_REVISION
        return KvHash(50, 7, -1, revision)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class Node:
    """One running transport."""

    transport: PeerTransport
    heard: Heard
    answers: Answers
    url: str
    stop: Callable[[], Awaitable[None]]

    @property
    def id(self) -> int:
        return self.transport.identity.member_id


@dataclass(frozen=True)
class Tls:
    """What a node listens and dials with."""

    server: ServerTls
    stream: ClientTls
    call: ClientTls


class Network:
    """Starts nodes. Used inside `network`."""

    def __init__(self, nursery: trio.Nursery, directory: Path) -> None:
        self._nursery = nursery
        self._directory = directory

    async def start(
        self, member_id: int, cluster_id: int = CLUSTER, version: str = "3.6.0", tls: Tls | None = None, port: int = 0
    ) -> Node:
        """A node of this id, listening."""
        scheme = "https" if tls else "http"
        listeners = bind_all(places([f"{scheme}://127.0.0.1:{port}"]))
        url = f"{scheme}://{listeners[0].address}"
        heard, answers = Heard(), Answers()
        folder = self._directory / f"{member_id:x}"
        folder.mkdir(exist_ok=True)
        transport = PeerTransport(
            PeerIdentity(member_id, cluster_id, (url,), version),
            heard,
            snapshot_dir=folder,
            stream_tls=tls.stream if tls else None,
            call_tls=tls.call if tls else None,
        )
        server = Server(listeners, peer_mux(transport, answers), ServerOptions(tls=tls.server if tls else None))
        scope, over = trio.CancelScope(), trio.Event()

        async def run(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            try:
                with scope:
                    async with trio.open_nursery() as nursery:
                        await nursery.start(server.run)
                        await nursery.start(transport.run)
                        task_status.started()
            finally:
                over.set()

        async def stop() -> None:
            scope.cancel()
            await over.wait()

        await self._nursery.start(run)
        return Node(transport, heard, answers, url, stop)


@asynccontextmanager
async def network(directory: Path) -> AsyncIterator[Network]:
    """Everything that is started in it ends with it."""
    async with trio.open_nursery() as nursery:
        yield Network(nursery, directory)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Returns once it holds; looked at at every turn of the loop."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what it looks at tells nobody
            await trio.sleep(0.005)  # lets the sockets be heard; bounded by the scope above


def know_each_other(*nodes: Node) -> None:
    """All of them are members to all others."""
    for node in nodes:
        node.transport.set_peers((other.id, (other.url,)) for other in nodes)
