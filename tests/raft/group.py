"""Decides: a group of cores on a simulated network, clock and disk, all of it drawn from one seed.

Messages are lost, doubled, delayed and reordered; nodes are cut off, crash and come back with what their disk holds;
the log is compacted, members come and go. After every step the safety of Raft is checked:

- at most one leader per term;
- what one node has applied at an index, every node applies there, and the order of applying has no gap;
- a new leader's log holds everything that anybody has applied;
- a read is answered with an index that covers everything applied before it was asked for.

The disk of a synchronous node is written at once. That of an asynchronous one is a queue of writes; a crash loses those
which have not been carried out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from dualmode.raft import (
    APPEND_THREAD,
    APPLY_THREAD,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Config,
    ConfState,
    Entry,
    EntryType,
    HardState,
    MemoryStorage,
    Message,
    MessageType,
    ProposalDropped,
    RaftError,
    RawNode,
    Snapshot,
    SnapshotMetadata,
    StateType,
    decode_change,
)
from tests.raft.recording import RecordingLogger

ELECTION_TICKS = 10


class Disk(MemoryStorage):
    """A storage that offers a snapshot of what is applied now, as an application makes it when it is asked."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.member = member

    def snapshot(self) -> Snapshot:
        applied = self.member.applied
        return Snapshot(b"", SnapshotMetadata(self.member.conf_state, applied, self.term(applied)))


class Member:
    """One node: what survives a crash (storage, applied snapshot), and what does not (the core, the queues)."""

    def __init__(self, group: Group, number: int, initial: Snapshot) -> None:
        self.group = group
        self.number = number
        self.storage = Disk(self)
        if initial.metadata.index:
            self.storage.apply_snapshot(initial)
        self.stored = (initial.metadata.index, initial.metadata.conf_state)
        self.logger = RecordingLogger()
        self.start()

    def start(self) -> None:
        """Also after a crash: everything from the stored snapshot on is applied again."""
        self.applied, self.conf_state = self.stored
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()
        config = Config(
            id=self.number,
            applied=self.applied,
            election_ticks=ELECTION_TICKS,
            **self.group.settings,  # type: ignore[arg-type]
        )
        self.node = RawNode(config, self.storage, self.logger, self.group.random.randrange)

    # --- work of the owner ------------------------------------------------------------------------------------

    def work(self) -> None:
        """Whatever there is to do, as the owner of a core does it."""
        if self.node.has_ready():
            ready = self.node.ready()
            for state in ready.read_states:
                self.group.check_read(state.context, state.index)
            if not self.group.asynchronous:
                self._persist(ready.hard_state, ready.snapshot, ready.entries)
                self._apply(ready.committed_entries)
            for message in ready.messages:
                self._route(message)
            if not self.group.asynchronous:
                self.node.advance(ready)
        if self.append_work and self.group.random.random() < 0.5:
            message = self.append_work.popleft()
            hard_state = HardState(message.term, message.vote, message.commit)
            self._persist(hard_state if any(hard_state) else None, message.snapshot, message.entries)
            self._answer(message.responses)
        if self.apply_work and self.group.random.random() < 0.5:
            message = self.apply_work.popleft()
            self._apply(message.entries)
            self._answer(message.responses)

    def _route(self, message: Message) -> None:
        if message.to == APPEND_THREAD:
            self.append_work.append(message)
        elif message.to == APPLY_THREAD:
            self.apply_work.append(message)
        else:
            self.group.send(message)

    def _answer(self, responses: Sequence[Message]) -> None:
        for response in responses:
            if response.to != self.number:
                self.group.send(response)
                continue
            with suppress(RaftError):
                # A node that has been removed is not its own peer any more.
                self.node.step(response)

    def _persist(self, hard_state: HardState | None, snapshot: Snapshot | None, entries: Sequence[Entry]) -> None:
        if snapshot is not None:
            self.storage.apply_snapshot(snapshot)
            self.group.check_snapshot(snapshot)
            self.stored = (snapshot.metadata.index, snapshot.metadata.conf_state)
            self.applied, self.conf_state = self.stored
        self.storage.append(entries)
        if hard_state is not None:
            self._remember(hard_state)

    def _remember(self, hard_state: HardState) -> None:
        """A commit index never goes back, although a write that was ordered before a snapshot may end after it."""
        known = self.storage.hard_state.commit
        self.storage.set_hard_state(hard_state._replace(commit=max(known, hard_state.commit)))

    def _apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.index <= self.applied:
                continue
            assert entry.index == self.applied + 1, f"node {self.number} applies {entry.index} after {self.applied}"
            self.group.check_applied(self.number, entry)
            if entry.type != EntryType.NORMAL:
                # The core may ask for a snapshot in here: until this returns, the change is not part of it.
                self.conf_state = self.node.apply_conf_change(decode_change(entry), entry.index)
            self.applied = entry.index

    def compact(self) -> None:
        """Make a snapshot of what is applied, and forget a part of the log before it."""
        if self.applied > self.stored[0]:
            self.stored = (self.applied, self.conf_state)
            self.storage.create_snapshot(self.applied, self.conf_state, b"")
            self._remember(self.storage.hard_state._replace(commit=self.applied))
            keep = self.group.random.randrange(4)
            if self.applied - keep >= self.storage.first_index():
                self.storage.compact(self.applied - keep)


class Group:
    """All members, the network between them, and what is known to be true."""

    def __init__(self, seed: int, size: int, **settings: object) -> None:
        self.random = Random(seed)
        self.settings = settings
        self.asynchronous = bool(settings.get("async_storage_writes"))
        conf_state = ConfState(voters=tuple(range(1, size + 1)))
        initial = Snapshot(b"", SnapshotMetadata(conf_state, index=5, term=1))
        self.members = {number: Member(self, number, initial) for number in conf_state.voters}
        self.network: list[Message] = []
        self.cut_off: set[int] = set()
        self.lossy = True
        self.leaders: dict[int, int] = {}
        self.history: dict[int, tuple[int, bytes]] = {}
        self.reads: dict[bytes, int] = {}
        self.reads_answered = 0
        self.proposals = 0

    # --- the network ------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        if not self.lossy:
            self.network.append(message)
            return
        copies = self.random.choices((0, 1, 2), (10, 85, 5))[0]
        self.network += [message] * copies
        if message.type == MessageType.SNAPSHOT and not copies:
            self._report_snapshot(message, ok=False)

    def deliver(self) -> None:
        """One message, usually an old one."""
        if not self.network:
            return
        reach = len(self.network) if self.lossy and self.random.random() < 0.2 else 1
        message = self.network.pop(self.random.randrange(reach))
        member = self.members.get(message.to)
        if member is None or self.cut_off & {message.to, message.sender}:
            if message.type == MessageType.SNAPSHOT:
                self._report_snapshot(message, ok=False)
            return
        try:
            member.node.step(message)
        except RaftError:
            return
        if message.type == MessageType.SNAPSHOT:
            self._report_snapshot(message, ok=True)

    def _report_snapshot(self, message: Message, ok: bool) -> None:
        """The leader sends nothing else until it is told, so the fate of every snapshot has to be reported."""
        sender = self.members.get(message.sender)
        if sender is not None:
            sender.node.report_snapshot(message.to, ok)

    # --- steps ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Something happens, and nothing that was true becomes false."""
        member = self.random.choice(list(self.members.values()))
        what = self.random.random()
        if what < 0.45:
            self.deliver()
        elif what < 0.75:
            member.work()
        elif what < 0.90:
            member.node.tick()
        elif what < 0.96:
            self.propose(member)
        else:
            self._disturb(member)
        for each in self.members.values():
            self.check_leader(each)

    def _disturb(self, member: Member) -> None:
        what = self.random.randrange(8)
        if what == 0:
            member.start()
        elif what == 1:
            self.cut_off = set(self.random.sample(sorted(self.members), self.random.randrange(len(self.members))))
        elif what == 2:
            self.cut_off = set()
        elif what == 3:
            member.compact()
        elif what == 4:
            member.node.transfer_leader(self.random.choice(sorted(self.members)))
        elif what == 5:
            self.read(member)
        elif what == 6:
            self.change(member)
        else:
            member.node.report_unreachable(self.random.choice(sorted(self.members)))

    def propose(self, member: Member) -> None:
        self.proposals += 1
        try:
            member.node.propose(b"%d" % self.proposals)
        except ProposalDropped:
            return

    def change(self, member: Member) -> None:
        """A random change among the same nodes, which keeps three voters at least.

        With two, a removed leader can be the only one with the longest log, not allowed to stand and not willing to
        vote. Without check-quorum a node that has missed its group's changes can outlive it in a higher term, deaf to
        a leader that never hears of it; so there the members stay what they are.
        """
        if not self.settings.get("check_quorum"):
            return
        nodes = sorted(self.members)
        voters = self.random.sample(nodes, self.random.randint(3, len(nodes)))
        changes = tuple(
            ConfChangeSingle(
                ConfChangeType.ADD_NODE
                if node in voters
                else self.random.choice((ConfChangeType.ADD_LEARNER_NODE, ConfChangeType.REMOVE_NODE)),
                node,
            )
            for node in nodes
        )
        try:
            member.node.propose_conf_change(ConfChangeV2(changes, ConfChangeTransition.JOINT_IMPLICIT))
        except ProposalDropped:
            return

    def read(self, member: Member) -> None:
        context = b"read %d" % len(self.reads)
        self.reads[context] = max(self.history, default=0)
        member.node.read_index(context)

    def calm(self) -> None:
        """The network heals: soon one leader leads, and everybody who belongs to the group has everything."""
        self.cut_off = set()
        self.lossy = False
        for _ in range(400):
            for member in self.members.values():
                member.node.tick()
            for _ in range(200):
                for member in self.members.values():
                    member.work()
                if not self.network:
                    break
                while self.network:
                    self.deliver()
            for member in self.members.values():
                self.check_leader(member)
            if self._settled():
                return
        raise AssertionError("the group did not settle")

    def _settled(self) -> bool:
        """Everybody in the leader's configuration follows it closely. A node that was removed while it led may go on
        to believe that it leads; nobody listens, and its owner would stop it."""
        leaders = [member for member in self.members.values() if member.node.state == StateType.LEADER]
        leader = max(leaders, key=lambda member: member.node.term, default=None)
        if leader is None:
            return False
        self.propose(leader)
        if leader.node.core.tracker.configuration.joint:
            return False
        belonging = [self.members[number] for number in leader.node.core.tracker.ids]
        top = max(self.history)
        return all(member.applied >= top - 2 and member.node.leader == leader.number for member in belonging)

    # --- what must hold -----------------------------------------------------------------------------------------

    def check_leader(self, member: Member) -> None:
        node = member.node
        if node.state != StateType.LEADER or self.leaders.get(node.term) == member.number:
            return
        assert node.term not in self.leaders, f"{member.number} and {self.leaders[node.term]} lead term {node.term}"
        self.leaders[node.term] = member.number
        for index in range(node.core.log.first_index(), max(self.history, default=0) + 1):
            if index in self.history:
                assert node.core.log.term(index) == self.history[index][0], f"the new leader lacks entry {index}"

    def check_applied(self, number: int, entry: Entry) -> None:
        known = self.history.setdefault(entry.index, (entry.term, entry.data))
        assert known == (entry.term, entry.data), f"node {number} applies something else at {entry.index}"

    def check_snapshot(self, snapshot: Snapshot) -> None:
        metadata = snapshot.metadata
        assert self.history[metadata.index][0] == metadata.term, "a snapshot of what was never applied"

    def check_read(self, context: bytes, index: int) -> None:
        assert index >= self.reads[context], f"{context!r} was answered with {index}"
        self.reads_answered += 1
