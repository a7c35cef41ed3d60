"""Does: a whole cluster in one process: members on real files, on a network that is a dictionary and can be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from dualmode.edge.outbox import Outbox
from dualmode.errors import DualmodeError, RpcError
from dualmode.member.opening import Bootstrap, open_member
from dualmode.member.options import MemberOptions
from dualmode.member.server import MemberServer
from dualmode.member.snapshots.sender import SnapshotSender, Source
from dualmode.raft import Message
from dualmode.rpc.local import AwaitableReply

NAMES = ("one", "two", "three")
URLS = {name: (f"http://{name}:2380",) for name in NAMES}


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Lets the members run until something has come true."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is the code under test, it sets no event
            await trio.sleep(0.005)


class Port:
    """`exchange.Peers` of one member."""

    def __init__(self, group: Group, own_id: int) -> None:
        self._group = group
        self._own_id = own_id

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._group.deliver(self._own_id, message)


class Group:
    """The members that run, by name, and the network between them."""

    def __init__(self, directory: Path, nursery: trio.Nursery, **options: Any) -> None:
        self.members: dict[str, MemberServer] = {}
        self.cut_off: set[int] = set()
        #: Sees every message before it is delivered; False loses it.
        self.passes: Callable[[Message], bool] = lambda message: True
        self.snapshots_sent = 0
        self._directory = directory
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._stopped: dict[str, trio.Event] = {}
        self._options = {"heartbeat_seconds": 0.05, "election_seconds": 0.5, "free_space_bytes": 0} | options

    # --- Members -----------------------------------------------------------------------------------------------

    async def start(self, name: str) -> MemberServer:
        """On what its folder holds, or new."""
        member: MemberServer = await self._nursery.start(self._live, name)
        return member

    async def _live(self, name: str, *, task_status: trio.TaskStatus[MemberServer]) -> None:
        directory = self._directory / name
        (directory / "member").mkdir(parents=True, exist_ok=True)
        bootstrap = Bootstrap(name, URLS, "in-process")
        opened = open_member(directory / "member", directory / "member" / "wal", bootstrap)
        self._stopped[name] = trio.Event()
        try:
            member = MemberServer(MemberOptions(directory, **self._options), opened, Outbox())
            replica = member.replica
            replica.exchange.peers = Port(self, replica.node.id)
            sender = SnapshotSender(
                replica, member.snapshot_files, member.surroundings.run_blocking, self._send_snapshot
            )
            member.log_compactor.needed_index = lambda: sender.needed_index
            async with trio.open_nursery() as nursery:
                self._scopes[name] = nursery.cancel_scope
                await nursery.start(member.run)
                nursery.start_soon(sender.run)
                self.members[name] = member
                task_status.started(member)
        finally:
            self.members.pop(name, None)
            opened.close()
            self._stopped[name].set()

    async def stop(self, name: str) -> None:
        """Returns when its files are closed."""
        self._scopes[name].cancel()
        await self._stopped[name].wait()

    def by_id(self, member_id: int) -> MemberServer | None:
        return next((one for one in self.members.values() if one.replica.node.id == member_id), None)

    def name_of(self, member: MemberServer) -> str:
        return next(name for name, one in self.members.items() if one is member)

    async def leader(self, but: MemberServer | None = None) -> MemberServer:
        """Who leads, when all that are not cut off agree."""

        def agreed() -> MemberServer | None:
            reachable = [one for one in self.members.values() if one.replica.node.id not in self.cut_off]
            leaders = {one.replica.node.leader for one in reachable}
            found = self.by_id(leaders.pop()) if len(leaders) == 1 else None
            return found if found is not but else None

        await until(agreed)
        found = agreed()
        assert found is not None
        return found

    async def follower(self) -> MemberServer:
        leader = await self.leader()
        return next(one for one in self.members.values() if one is not leader)

    # --- The network -------------------------------------------------------------------------------------------

    def cut(self, member: MemberServer) -> None:
        self.cut_off.add(member.replica.node.id)

    def heal(self) -> None:
        self.cut_off.clear()

    def deliver(self, sender: int, message: Message) -> None:
        target = self.by_id(message.to)
        origin = self.by_id(sender)
        if target is None or self.cut_off & {sender, message.to}:
            if origin is not None:
                origin.replica.exchange.report_unreachable(message.to)
        elif self.passes(message):
            target.replica.exchange.receive(message)

    def _send_snapshot(self, message: Message, source: Source) -> None:
        self._nursery.start_soon(self._carry, message, source)

    async def _carry(self, message: Message, source: Source) -> None:
        target, origin, ok = self.by_id(message.to), self.by_id(message.sender), False
        path = self._directory / f"{message.to:x}-{id(source):x}.db"
        try:
            with path.open("wb") as file:
                async for chunk in source.chunks():
                    file.write(chunk)
            if target is not None and not self.cut_off & {message.to, message.sender}:
                await target.snapshot_receiver.receive(message, path)
                self.snapshots_sent += 1
                ok = True
        except DualmodeError:
            ok = False
        finally:
            source.close()
            if origin is not None:
                origin.replica.exchange.report_snapshot(message.to, ok)

    # --- What is equal everywhere ------------------------------------------------------------------------------

    async def check_equal(self) -> None:
        """All members come to the same applied index, and hold the same then."""
        await until(lambda: len({one.store.applied_index for one in self.members.values()}) == 1)
        stores = [one.store for one in self.members.values()]
        assert len({store.hash_by_revision(0) for store in stores}) == 1
        assert len({tuple(one.replica.applier.membership.members()) for one in self.members.values()}) == 1


async def ask(member: MemberServer, kind: int, request: Any) -> bytes:
    """Sends a request through the log; gives its answer or raises its RpcError."""
    reply = AwaitableReply()
    member.replica.intake.propose(kind, request.SerializeToString(), request, reply)
    with trio.fail_after(20):
        return await reply.result()


async def outcome(reply: AwaitableReply) -> bytes | RpcError:
    """Either, as a value."""
    try:
        with trio.fail_after(20):
            return await reply.result()
    except RpcError as error:
        return error


@asynccontextmanager
async def running(directory: Path, **options: Any) -> AsyncIterator[Group]:
    """Three members with a leader."""
    async with trio.open_nursery() as nursery:
        group = Group(directory, nursery, **options)
        for name in NAMES:
            await group.start(name)
        await group.leader()
        yield group
        for name in list(group.members):
            await group.stop(name)
        nursery.cancel_scope.cancel()
