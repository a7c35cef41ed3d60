"""Does: the way between members and from clients to them: everything on it may be late, lost, twice or out of order.

Messages travel as the bytes of etcd's protocol, so that members share nothing. A link may be cut in one direction. What
comes to a member that is down is lost; what a member had sent before it went down arrives all the same.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from dualmode import errors
from dualmode.errors import DualmodeError, PeerError, RpcError
from dualmode.peer.codec import decode_message, encode_message
from dualmode.peer.interface import KvHash, PeerIdentity
from dualmode.peer.member import Member
from dualmode.raft import Message, MessageType
from tests.sim.trace import Trace

if TYPE_CHECKING:
    from tests.sim.node import Life

#: Deliveries are rounded up to this, so that the loop wakes for several at once.
_GRAIN_SECONDS = 0.0005


class Network:
    """All links. `lives` has who is up, by member id; the world keeps it."""

    def __init__(self, dice: random.Random, trace: Trace, on_sent: Callable[[Message], None]) -> None:
        self._dice = dice
        self.trace = trace
        self.on_sent = on_sent
        self.lives: dict[int, Life] = {}
        self.loss = self.duplication = self.disorder = 0.0
        self.delay_seconds = 0.001
        self._cut: dict[tuple[int, int], None] = {}
        self._healed_at: dict[tuple[int, int], float] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._last: dict[tuple[int, int], float] = {}
        self._scope = trio.CancelScope()

    # --- Its state ----------------------------------------------------------------------------------------------

    def cut(self, sender: int, to: int) -> None:
        """Nothing gets from one to the other from now on."""
        self._cut[sender, to] = None

    def heal(self) -> None:
        """All links work again."""
        for link in self._cut:
            self._healed_at[link] = trio.current_time()
        self._cut = {}

    def connected_since(self, one: int, other: int) -> float | None:
        """Since when both hear each other; None when they do not."""
        links = ((one, other), (other, one))
        if one not in self.lives or other not in self.lives or any(link in self._cut for link in links):
            return None
        healed = max(self._healed_at.get(link, 0.0) for link in links)
        return max(healed, self.lives[one].began_at, self.lives[other].began_at)

    def reaches(self, sender: int, to: int) -> bool:
        """Whether somebody is there to take what is sent now."""
        return to in self.lives and (sender, to) not in self._cut

    def delay(self) -> float:
        """Of one message: mostly short, now and then long."""
        dice = self._dice
        seconds = self.delay_seconds * (0.5 + dice.expovariate(1.0))
        return seconds * 50 if dice.random() < 0.005 else seconds

    # --- Carrying -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Delivers what is due, until cancelled."""
        while True:
            with trio.CancelScope() as self._scope:
                self._scope.deadline = self._due[0][0] if self._due else float("inf")
                await trio.sleep_forever()
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something after a while."""
        self.at(trio.current_time() + seconds, action)

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Does something at a time."""
        due = (int(due / _GRAIN_SECONDS) + 1) * _GRAIN_SECONDS
        heapq.heappush(self._due, (due, next(self._numbers), action))
        self._scope.deadline = self._due[0][0]

    def send(self, life: Life, message: Message) -> None:
        """A member says something to another one."""
        if not life.is_alive:
            return
        self.on_sent(message)
        dice, link = self._dice, (message.sender, message.to)
        if link in self._cut or dice.random() < self.loss:
            self.trace.note("lost", f"{message.type.name} {_short(message)}")
            if dice.random() < 0.3:
                life.receiver.report_unreachable(message.to)
            return
        body = encode_message(message)
        # A forwarded proposal is a request to do something once more; nothing between members is sent twice that was
        # sent once, neither by etcd nor by us, so that doubling it would blame Raft for what no transport does.
        may_double = message.type is not MessageType.PROPOSAL
        for _ in range(2 if may_double and dice.random() < self.duplication else 1):
            due = trio.current_time() + self.delay()
            if dice.random() >= self.disorder:
                due = self._last[link] = max(due, self._last.get(link, 0.0))
            self.at(due, lambda: self._deliver(link, body))

    def _deliver(self, link: tuple[int, int], body: bytes) -> None:
        sender, to = link
        if not self.reaches(sender, to):
            return
        life = self.lives[to]
        if life.receiver.is_removed(sender):
            self.later(self.delay(), lambda: self._tell_removed(to, sender))
            return
        message = decode_message(body)
        self.trace.note("deliver", f"{message.type.name} {_short(message)}")
        life.transport.heard_of(sender)
        life.receiver.receive(message)

    def _tell_removed(self, sender: int, to: int) -> None:
        if self.reaches(sender, to):
            self.lives[to].receiver.on_removed()


def _short(message: Message) -> str:
    ends = f"{message.sender & 0xFFFF:04x}>{message.to & 0xFFFF:04x}"
    return f"{ends} term {message.term} index {message.index} {len(message.entries)}"


class _Link:
    """One peer, as far as anybody asks a transport about it."""

    def __init__(self, network: Network, own_id: int, member_id: int) -> None:
        self._network = network
        self._ends = own_id, member_id

    @property
    def active_since(self) -> float | None:
        """See peer.remote_peer.RemotePeer."""
        return self._network.connected_since(*self._ends)


class SimulatedTransport:
    """Stands in for `peer.transport.PeerTransport`: the same words, other wires."""

    def __init__(
        self,
        network: Network,
        life: Life,
        identity: PeerIdentity,
        receiver: Any,
        *,
        snapshot_dir: Path,
        stream_tls: None,
        call_tls: None,
        read_seconds: float,
        write_seconds: float,
    ) -> None:
        self.identity = identity
        self.receiver = receiver
        self._network = network
        self._life = life
        self._snapshot_dir = snapshot_dir
        self.peers: dict[int, _Link] = {}
        self._nursery: trio.Nursery | None = None
        self._waiting: list[Callable[[], None]] = []

    def add_peer(self, member_id: int, peer_urls: Sequence[str]) -> None:
        """See PeerTransport."""
        if member_id != self.identity.member_id and member_id not in self.peers:
            self.peers[member_id] = _Link(self._network, self.identity.member_id, member_id)

    def heard_of(self, member_id: int) -> None:
        """Somebody speaks to us whom the log has not named yet: answers can go there (`add_remote`)."""
        self.add_peer(member_id, ())

    def remove_peer(self, member_id: int) -> None:
        """See PeerTransport."""
        self.peers.pop(member_id, None)

    def set_peers(self, members: Iterable[tuple[int, Sequence[str]]]) -> None:
        """See PeerTransport."""
        self.peers = {}
        for member_id, urls in members:
            self.add_peer(member_id, urls)

    def active_since(self, member_id: int) -> float | None:
        """See PeerTransport."""
        return self._network.connected_since(self.identity.member_id, member_id)

    def send(self, messages: Sequence[Message]) -> None:
        """See PeerTransport."""
        for message in messages:
            if message.to in self.peers:
                self._network.send(self._life, message)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See PeerTransport."""
        async with trio.open_nursery() as self._nursery:
            for start in self._waiting:
                start()
            task_status.started()
            await trio.sleep_forever()

    def start_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """See PeerTransport."""
        if self._nursery is None:
            self._waiting.append(lambda: self.start_soon(function, *args))
        else:
            self._nursery.start_soon(function, *args)

    # --- Snapshots ----------------------------------------------------------------------------------------------

    def send_snapshot(self, message: Message, source: Any) -> None:
        """See PeerTransport."""
        self._network.on_sent(message)
        self.start_soon(self._send_snapshot, message, source)

    async def _send_snapshot(self, message: Message, source: Any) -> None:
        taken = False
        try:
            pieces = [piece async for piece in _all(source.chunks())]
            taken = await self._carry(message, b"".join(pieces))
        finally:
            if self._life.is_alive:
                if not taken:
                    self.receiver.report_unreachable(message.to)
                self.receiver.report_snapshot(message.to, taken)

    async def _carry(self, message: Message, database: bytes) -> bool:
        network, body = self._network, encode_message(message)
        await trio.sleep(network.delay() + len(database) / 10_000_000)
        if message.to not in self.peers or not network.reaches(message.sender, message.to):
            return False
        receiving, done = network.lives[message.to], trio.Event()
        outcome: list[bool] = []

        async def take() -> None:
            outcome.append(await receiving.transport.take_snapshot(decode_message(body), database))
            done.set()

        receiving.transport.start_soon(take)
        with trio.move_on_after(20):
            await done.wait()
        await trio.sleep(network.delay())
        return outcome == [True] and network.reaches(message.to, message.sender)

    async def take_snapshot(self, message: Message, database: bytes) -> bool:
        """The other end of `send_snapshot`."""
        assert message.snapshot is not None
        self._network.trace.note("snapshot", f"{_short(message)} at {message.snapshot.metadata.index}")
        self.heard_of(message.sender)
        path = self._snapshot_dir / f"{message.snapshot.metadata.index:016x}.snap.db"
        path.write_bytes(database)
        try:
            await self.receiver.receive_snapshot(message, path)
        except DualmodeError as error:
            self._network.trace.note("snapshot refused", str(error))
            return False
        return True


async def _all(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk


class SimulatedPeerClient:
    """Stands in for `peer.client.PeerClient`: calls that one member makes to another."""

    def __init__(self, network: Network, own_id: int) -> None:
        self._network = network
        self._own_id = own_id

    async def members(self, url: str) -> tuple[int, list[Member]]:
        """See PeerClient."""
        life = self._find(url)
        members: list[Member] = await self._ask(url, lambda answers: _now(answers.members()))
        return life.member.opened.cluster_id, members

    async def version(self, url: str) -> dict[str, str]:
        """See PeerClient."""
        versions: dict[str, str] = await self._ask(url, lambda answers: _now(answers.versions()))
        return versions

    async def is_downgrade_enabled(self, url: str) -> bool:
        """See PeerClient."""
        return bool(await self._ask(url, lambda answers: _now(answers.is_downgrade_enabled())))

    async def keep_alive(self, url: str, lease_id: int) -> int:
        """See PeerClient."""
        told = (errors.LEASE_NOT_FOUND, errors.NOT_LEADER, errors.TIMEOUT_WAIT_APPLIED)
        return int(await self._ask(url, lambda answers: answers.keep_alive(lease_id), told))

    async def hash_kv(self, url: str, revision: int, cluster_id: int) -> KvHash:
        """See PeerClient."""
        told = (errors.COMPACTED, errors.FUTURE_REVISION)
        answer: KvHash = await self._ask(url, lambda answers: answers.hash_kv(revision), told)
        return answer

    async def promote(self, url: str, member_id: int) -> list[Member]:
        """See PeerClient."""
        told = (errors.MEMBER_NOT_FOUND, errors.MEMBER_NOT_LEARNER, errors.LEARNER_NOT_READY)
        members: list[Member] = await self._ask(url, lambda answers: answers.promote(member_id), told)
        return members

    def _find(self, url: str) -> Life:
        for life in self._network.lives.values():
            if life.node.peer_url == url and self._network.reaches(self._own_id, life.node.member_id):
                return life
        raise PeerError(f"{url}: nobody answers")

    async def _ask(self, url: str, call: Callable[[Any], Awaitable[Any]], told: tuple[RpcError, ...] = ()) -> Any:
        await trio.sleep(self._network.delay())
        life = self._find(url)
        try:
            with trio.fail_after(5):
                answer = await call(life.answers)
                await trio.sleep(self._network.delay())
        except trio.TooSlowError:
            raise PeerError(f"{url}: no answer") from None
        except RpcError as error:
            if error in told:
                raise
            raise PeerError(f"{url}: {error}") from None
        if not life.is_alive or not self._network.reaches(life.node.member_id, self._own_id):
            raise PeerError(f"{url}: the connection is lost")
        return answer


async def _now(answer: Any) -> Any:
    return answer
