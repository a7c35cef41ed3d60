"""Does: one machine of the simulated cluster, and the member that lives on it, again and again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from dualmode.edge.outbox import Outbox
from dualmode.errors import RpcError, StorageError
from dualmode.member import identity
from dualmode.member.cluster.peer_answers import PeerAnswers
from dualmode.member.cluster.peering import Peering
from dualmode.member.opening import Bootstrap, open_member
from dualmode.member.options import MemberOptions
from dualmode.member.server import MemberServer
from dualmode.member.surroundings import Surroundings
from dualmode.rpc.local import LocalCall
from tests.sim.disk import Disk, SimulatedDoor, make_run_blocking
from tests.sim.network import Network, SimulatedPeerClient, SimulatedTransport
from tests.sim.plan import Plan
from tests.sim.trace import Trace

_DATE_SECONDS = 1_700_000_000.0


class LostError(Exception):
    """The client's connection to a member broke: nobody knows what became of its request."""


class Observer:
    """Who is told what members do; the checkers. All calls come before anybody else hears of it."""

    def on_opened(self, life: Life) -> None: ...

    def on_logged(self, life: Life, entries: list[Any]) -> None: ...

    def on_applying(self, life: Life, entries: list[Any]) -> None: ...

    def on_commits(self, life: Life, commits: list[Any]) -> None: ...

    def on_applied(self, life: Life) -> None: ...


class Life:
    """A member from its start to its crash."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.is_alive = False
        self._has_crashed = False
        self.began_at = trio.current_time()
        self.scope = trio.CancelScope()
        #: Cancelled at the crash, in whatever task they are: streams of clients.
        self.streams: dict[Any, None] = {}
        self._open(random.Random(f"{node.plan.seed} {node.name} {number}"))

    def _open(self, dice: random.Random) -> None:
        node, plan = self.node, self.node.plan
        folder = node.disk.folder
        snapshots = folder / "member" / "snap"
        shutil.rmtree(snapshots, ignore_errors=True)
        snapshots.mkdir()
        self.opened = open_member(
            folder / "member", folder / "member" / "wal", node.bootstrap, segment_bytes=plan.segment_bytes
        )
        node.disk.attach(self.opened)
        surroundings = Surroundings(
            dice=dice,
            unix_seconds=lambda: _DATE_SECONDS + node.date_offset_seconds + trio.current_time(),
            make_door=partial(SimulatedDoor, node.disk),
            run_blocking=make_run_blocking(node.disk),
        )
        options = MemberOptions(
            folder,
            heartbeat_seconds=0.1 / node.clock_rate,
            election_seconds=1.0 / node.clock_rate,
            pre_vote=plan.pre_vote,
            snapshot_count=plan.snapshot_count,
            snapshot_catch_up_entries=plan.catch_up_entries,
            wal_segments_kept=plan.segments_kept,
            free_space_bytes=0,
            slow_apply_seconds=1e9,
            watch_progress_seconds=3.0,
            lease_checkpoint=plan.lease_checkpoints,
            lease_checkpoint_persist=plan.lease_checkpoints,
            corrupt_check_seconds=7.0,
            compact_hash_check_seconds=3.0,
        )
        client: Any = SimulatedPeerClient(node.network, self.opened.member_id)
        self.member = MemberServer(options, self.opened, Outbox(), surroundings, peer_client=client)
        joined = node.bootstrap.joined
        self.receiver = Peering(
            self.member,
            (node.peer_url,),
            snapshots,
            remotes=tuple(one for one in joined.members if one.id != joined.member_id) if joined else (),
            make_transport=partial(SimulatedTransport, node.network, self),
        )
        self.transport: Any = self.receiver.transport
        member = self.member
        self.answers = PeerAnswers(member.replica, member.cluster, member.lease, member.maintenance.hash_by_revision)
        self._turn_clocks()
        self._observe(node.observer)

    def _turn_clocks(self) -> None:
        """This machine's clock runs at its own rate."""
        member: Any = self.member
        rate = self.node.clock_rate

        def now() -> float:
            return trio.current_time() * rate

        member.lease_expiry._now = member.lease._now = member.replica.applier._now = now
        if self.node.plan.lease_checkpoints:
            member.lessor._checkpoint_interval_seconds = 1.0  # of leases that live for some seconds

    def _observe(self, observer: Observer) -> None:
        passes: Any = self.member.replica._passes
        run, publish = passes.run, passes._publish
        storage: Any = self.opened.raft_storage
        append = storage.append

        def logged(entries: list[Any]) -> None:
            append(entries)
            if entries:
                observer.on_logged(self, entries)

        def published(commits: list[Any]) -> None:
            observer.on_commits(self, commits)
            publish(commits)

        def ran(entries: list[Any]) -> None:
            observer.on_applying(self, entries)
            run(entries)
            observer.on_applied(self)

        passes.run, passes._publish, storage.append = ran, published, logged
        observer.on_opened(self)

    async def live(self) -> None:
        """Runs until the crash, an orderly stop or its removal from the cluster. What a member raises ends the run."""
        node = self.node
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    node.network.lives[node.member_id] = self
                    self.is_alive = True
                    nursery.start_soon(self._stop_when_removed)
                    await nursery.start(self.receiver.run)
                    await self.receiver.checks.check_at_start()
                    await nursery.start(self.member.run)
                    nursery.start_soon(self.receiver.announce, node.name, [f"http://{node.name}:2379"])
                    await trio.sleep_forever()
        finally:
            self._be_gone()
            if self._has_crashed:
                with suppress(StorageError):
                    self.opened.close()
            else:
                self.opened.close()

    async def _stop_when_removed(self) -> None:
        await self.receiver.removed.wait()
        self.node.trace.note("removed", self.node.name)
        self.node.is_removed = True
        self._be_gone()
        self.scope.cancel()

    def _be_gone(self) -> None:
        if self.is_alive:
            self.is_alive = False
            del self.node.network.lives[self.node.member_id]
            for stream in list(self.streams):
                stream.go()

    def crash(self) -> None:
        """The power goes: what others hear from here on is nothing."""
        self._be_gone()
        self._has_crashed = True
        self.node.disk.crash(self.opened)
        self.scope.cancel()

    async def call(
        self, handler: Callable[[Any, bytes], None], message: bytes, timeout_seconds: float = 8.0, client: object = None
    ) -> bytes:
        """A client's unary call. Raises the call's `RpcError`, or `LostError`."""
        network = self.node.network
        await trio.sleep(network.delay_seconds)
        if not self.is_alive:
            raise LostError
        refusal, answer = None, b""
        with trio.move_on_after(timeout_seconds) as scope:
            try:
                answer = await self._call(handler, message, client)
            except RpcError as error:
                refusal = error
            await trio.sleep(network.delay_seconds)
        # What a process says while it dies reaches nobody.
        if scope.cancelled_caught or not self.is_alive:
            raise LostError
        if refusal is not None:
            raise refusal
        return answer

    async def _call(self, handler: Callable[[Any, bytes], None], message: bytes, client: object) -> bytes:
        """As a connection does it: what can be answered at once is, at the end of the read."""
        call, outbox = LocalCall(), self.member.outbox
        outbox.reader = client or call
        with outbox:
            handler(call, message)
        return await call.result()


class Node:
    """A machine: its disk, its clock, its place in the cluster. `start` and `stop` are for the world."""

    def __init__(
        self,
        name: str,
        bootstrap: Bootstrap,
        member_id: int,
        disk: Disk,
        dice: random.Random,
        *,
        plan: Plan,
        network: Network,
        trace: Trace,
        observer: Observer,
    ) -> None:
        self.name = name
        self.peer_url = bootstrap.members[name][0]
        self.bootstrap = bootstrap
        self.member_id = member_id
        self.disk = disk
        self.plan = plan
        self.network = network
        self.trace = trace
        self.observer = observer
        self.clock_rate = 1 + dice.uniform(-plan.clock_drift, plan.clock_drift)
        self.date_offset_seconds = dice.uniform(-1, 1) * plan.date_offset_seconds
        self.is_removed = False
        self.life: Life | None = None
        self._lives = 0
        self._ended = trio.Event()

    @property
    def is_up(self) -> bool:
        """Whether a member lives here."""
        return self.life is not None

    def start(self, nursery: trio.Nursery) -> None:
        """A member begins to live here, on what the disk has."""
        assert self.life is None
        self._lives += 1
        self.trace.note("start", self.name)
        self.life = Life(self, self._lives)
        self._ended = trio.Event()
        nursery.start_soon(self._live, self.life)

    async def _live(self, life: Life) -> None:
        try:
            await life.live()
        finally:
            self.life = None
            self._ended.set()

    async def crash(self) -> None:
        """Returns when all traces of the process are gone."""
        life = self.life
        if life is None or not life.is_alive:
            return
        self.trace.note("crash", self.name)
        life.crash()
        await self._ended.wait()
        self.disk.drop_former()

    async def stop(self) -> None:
        """In order, as by SIGTERM."""
        if self.life is None or not self.life.is_alive:
            return
        self.trace.note("stop", self.name)
        life, ended = self.life, self._ended
        await life.receiver.hand_over()
        life.scope.cancel()
        await ended.wait()


def bootstrap_id(name: str, bootstrap: Bootstrap) -> int:
    """The member id that a bootstrap gives."""
    return identity.member_id(bootstrap.members[name], bootstrap.cluster_token)
