"""Does: the one owner of this member's Raft node, log and store: propose, persist, apply, answer.

All proposals that gather during one turn become one batch: one append to the write-ahead log, one sync, one pass of the
store, one round of watch delivery, then the answers, which leave in one write per connection. While the disk syncs
the next batch gathers. Nothing else in the member touches the node, the log's tail or an open pass.

With peers the order within a turn is what keeps promises: a follower says what it has only when that is on its disk; a
leader may send while it writes, since its own word counts only once it has written (Raft thesis, section 10.2.1).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from dualmode import errors, limits, log
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.applier import Applier
from dualmode.member.apply.passes import Passes
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.cluster.conf_changes import changes_members
from dualmode.member.exchange import PeerExchange
from dualmode.member.free_space import FreeSpace
from dualmode.member.leadership import Leadership
from dualmode.member.log_writer import LogWriter
from dualmode.member.proposals import Proposal, WaitingProposals
from dualmode.member.reads import LinearizableReads, Read
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.trace import Trace
from dualmode.raft import (
    ConfChange,
    ConfState,
    Entry,
    Message,
    MessageType,
    ProposalDropped,
    RawNode,
    Ready,
    Snapshot,
    StateType,
)
from dualmode.rpc.calls import Reply
from dualmode.rpc.local import AwaitableReply
from dualmode.storage.mvcc import Commit, Store

_log = log.get("replica")

#: Proposals in the last batch up to which a client may be alone.
_ALONE: Final = 2


class _ProposedChange:
    """A change of members on its way into the log."""

    __slots__ = ("change", "deadline", "reply")

    def __init__(self, change: ConfChange, reply: Reply, deadline: float) -> None:
        self.change = change
        self.reply = reply
        self.deadline = deadline


class Replica:
    """Drives consensus for this member. Services call `propose` and `when_readable`; `run` is its task."""

    def __init__(
        self,
        node: RawNode,
        conf_state: ConfState,
        store: Store,
        applier: Applier,
        log_writer: LogWriter,
        counters: ReplicaCounters,
        *,
        request_timeout_seconds: float,
        tick_seconds: float,
        max_request_bytes: int,
        slow_apply_seconds: float,
        next_request_id: Callable[[], int],
        publish: Callable[[list[Commit]], None],
        flush: Callable[[], None],
        free_space: FreeSpace,
    ) -> None:
        self.node = node
        self.store = store
        self.applier = applier
        self.counters = counters
        self._log_writer = log_writer
        self._request_timeout_seconds = request_timeout_seconds
        self._tick_seconds = tick_seconds
        self._max_request_bytes = max_request_bytes
        self._slow_apply_seconds = slow_apply_seconds
        self._next_request_id = next_request_id
        self._flush = flush
        self.free_space = free_space
        #: Asked before a request that may make the store grow is proposed; raises NO_SPACE.
        self.admit: Callable[[int, Any], None] = lambda kind, request: None
        self._incoming: list[Proposal] = []
        self._changes: list[_ProposedChange] = []
        self._change_deadlines: dict[int, float] = {}
        self._waiting = WaitingProposals()
        self._passes = Passes(node, conf_state, applier, self._waiting, publish)
        self._reads = LinearizableReads(next_request_id)
        self._wake = trio.Event()
        self._applied_more = trio.Event()
        #: What the transport and the node say to each other.
        self.exchange = PeerExchange(node, lambda: self._wake.set())
        #: Puts the state of a snapshot from the leader in place of ours.
        self.install: Callable[[Ready, Snapshot], Awaitable[None]] = self._cannot_install
        self.leadership = Leadership(node)
        self._ticks_due = 0
        #: The loop's clock as of the last tick: exact enough for time-outs of seconds, and free.
        self._now = trio.current_time()
        self._space_looked_at = -math.inf
        self._is_stopped = False
        self._is_turning = False
        #: A Ready that `turn_at_once` could not write.
        self._unfinished: Ready | None = None
        #: Whose read brought the last proposals.
        self._last_reader: object = None
        self._last_batch = 0
        #: Called after each pass with the applied index and its term.
        self.on_applied: Callable[[int, int], None] = lambda index, term: None
        #: Whether linearizable reads can be answered here without asking anyone: with one voter, while it leads.
        self.can_read_now = False

    # --- What services call ------------------------------------------------------------------------------------

    def propose(self, kind: int, message: bytes, request: Any, reply: Reply, caller: Caller = NOBODY) -> None:
        """Sends a request through the log; `reply` hears its outcome. Raises `RpcError` when it is refused at once.

        `message` is the serialised request as the client sent it, `request` the same decoded. `caller` is for whom,
        while authentication is on.
        """
        if self._is_stopped:
            raise errors.STOPPED
        if len(self._incoming) >= limits.WAITING_PROPOSALS:
            raise errors.TOO_MANY_REQUESTS
        request_id = self._next_request_id()
        data = requests.encode(kind, message, request_id, caller)
        if len(data) > self._max_request_bytes:
            raise errors.REQUEST_TOO_LARGE
        if kind in requests.NEEDS_SPACE:
            if not self.free_space.has_space:
                raise errors.NO_SPACE
            self.admit(kind, request)
        self._enter(data, request_id, kind, request, reply, caller)

    def propose_encoded(self, data: bytes, request_id: int, kind: int, request: Any, reply: Reply) -> None:
        """The same for the data of an entry that is encoded already, in a form of its own. Raises STOPPED."""
        if self._is_stopped:
            raise errors.STOPPED
        self._enter(data, request_id, kind, request, reply, NOBODY)

    def _enter(self, data: bytes, request_id: int, kind: int, request: Any, reply: Reply, caller: Caller) -> None:
        deadline = self._now + self._request_timeout_seconds
        self._incoming.append(Proposal(data, kind, request, reply, deadline, caller, request_id))
        self._wake.set()

    def propose_change(self, change: ConfChange, reply: Reply) -> None:
        """Sends a change of members through the log; `reply` hears an empty answer, or why it did not hold when it was
        applied. Raises `RpcError` when it is refused at once."""
        if self._is_stopped:
            raise errors.STOPPED
        self._changes.append(_ProposedChange(change, reply, self._now + self._request_timeout_seconds))
        self._wake.set()

    def when_readable(self, answer: Callable[[], None], reply: Reply) -> None:
        """Calls `answer` once everything that was acknowledged before this call can be read here; what it raises, and
        that it takes too long, `reply` is told.

        With one voter that is now: what it acknowledged it has applied, and nobody else can lead.
        """
        if self.can_read_now:
            answer()
        elif self._is_stopped:
            raise errors.STOPPED
        elif len(self._reads) >= limits.WAITING_READS:
            raise errors.TOO_MANY_REQUESTS
        else:
            self._reads.add(Read(answer, reply, self._now + self._request_timeout_seconds))
            self._wake.set()

    async def wait_until_readable(self) -> None:
        """The same for a task."""
        readable = AwaitableReply()
        self.when_readable(lambda: readable.reply(b""), readable)
        await readable.result()

    async def wait_until_applied(self, index: int) -> None:
        """Returns once the store has applied the entry at this index."""
        while self.store.applied_index < index:
            await self._applied_more.wait()

    def transfer_leadership(self, target: int) -> None:
        """Begins to hand the leadership over; whether it comes to that shows in `node.leader`."""
        self.node.transfer_leader(target)
        self._wake.set()

    @property
    def is_leader(self) -> bool:
        """Whether this member leads."""
        return self.node.leader == self.node.id

    @property
    def has_leader(self) -> bool:
        """Whether a leader is known."""
        return self.node.leader != 0

    @property
    def pending_proposals(self) -> int:
        """Requests on their way through the log."""
        return len(self._incoming) + len(self._waiting)

    @property
    def conf_state(self) -> ConfState:
        """The configuration as of the applied index."""
        return self._passes.conf_state

    @property
    def has_sole_voter(self) -> bool:
        """Whether this member decides alone."""
        conf_state = self._passes.conf_state
        return conf_state.voters == (self.node.id,) and not conf_state.voters_outgoing

    @property
    def is_learner(self) -> bool:
        """Whether this member is told everything and decides nothing."""
        return self.node.id in self._passes.conf_state.learners

    def hurry(self, ticks: int) -> None:
        """Time passes quicker: at a start nobody leads, and waiting for that to show is waiting for nothing."""
        self._ticks_due += ticks
        self._wake.set()

    # --- The task ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled. Raises `StorageError` when the disk does not take what it must."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            try:
                # What is committed is applied first: before, the node does not even know that it is a voter.
                await self._turn()
                if self.has_sole_voter:
                    # Nobody else could vote: waiting for an election timeout would only delay the start.
                    self.node.campaign()
                while True:
                    await self._turn()
                    if not self._has_work():
                        self._wake = trio.Event()
                        await self._wake.wait()
            finally:
                self._stop()

    def _has_work(self) -> bool:
        if self._ticks_due or self._unfinished or self.exchange.has_arrived or self.node.has_ready():
            return True
        if not self.leadership.takes_proposals:
            return False
        return bool(self._incoming or self._changes) or self._reads.is_waiting_to_begin

    async def _tick(self) -> None:
        while True:
            self._now = trio.current_time()
            if self._now - self._space_looked_at >= limits.FREE_SPACE_CHECK_SECONDS:
                self._space_looked_at = self._now
                self.free_space.look()
            self._expire()
            await trio.sleep(self._tick_seconds)
            self._ticks_due += 1
            self.leadership.tick()
            self._wake.set()

    async def _turn(self) -> None:
        """Everything there is to do now, up to the next wait."""
        self._is_turning = True
        if self._ticks_due:
            self._ticks_due -= 1
            self.node.tick()
        if self.exchange.has_arrived:
            self.exchange.take_in()
        if self._unfinished is None:
            if self._changes:
                self._propose_changes()
            if self._incoming:
                self._propose_batch()
        if len(self._reads):
            self._ask_for_reads()
        while (ready := self._next_ready()) is not None:
            await self._act_on(ready)
        self._is_turning = False

    async def _act_on(self, ready: Ready) -> None:
        trace = Trace()
        self._note_term(ready)
        messages, is_leading = ready.messages, self.node.state is StateType.LEADER
        if messages and is_leading:
            self._send(messages)
        if ready.snapshot is not None:
            await self.install(ready, ready.snapshot)
        else:
            await self._log_writer.write(ready)
        trace.step("wrote and synced the log")
        # A vote, or a word that counts toward a quorum, must not leave before a change of who counts has been applied.
        waits = not is_leading and changes_members(ready.committed_entries)
        if messages and not is_leading and not waits:
            self._send(messages)
        for state in ready.read_states:
            self._reads.on_index(state.context, state.index)
        if ready.committed_entries:
            await self._apply_all(ready.committed_entries)
        elif ready.read_states:
            self._serve_reads()
        if waits:
            self._send(messages)
        self._finish(ready, trace)

    def _send(self, messages: list[Message]) -> None:
        self.exchange.send(messages)
        self._flush()

    def turn_at_once(self, reader: object) -> None:
        """The same without the task, when a client is alone with us: called at the end of a read of its connection,
        before the answers leave. Waking the task would cost a turn of the loop, and there is nobody to share a sync
        with.

        Alone is who also made the proposals before these, a few at a time; and a slow disk has its thread.
        """
        if not self._incoming or self._is_turning or self._unfinished is not None or not self._log_writer.is_quick:
            return
        if not self.can_read_now:
            return  # others have to agree, or there is no leader
        is_alone = reader is self._last_reader and self._last_batch <= _ALONE and len(self._incoming) <= _ALONE
        self._last_reader = reader
        if not is_alone:
            return
        self._propose_batch()
        while (ready := self._next_ready()) is not None:
            trace = Trace()
            self._note_term(ready)
            if not self._log_writer.write_at_once(ready):
                self._unfinished = ready  # the task waits for room
                return
            trace.step("wrote and synced the log")
            if ready.committed_entries:
                self._apply(ready.committed_entries)
            self._finish(ready, trace)

    def _next_ready(self) -> Ready | None:
        if self._unfinished is not None:
            ready, self._unfinished = self._unfinished, None
            return ready
        return self.node.ready() if self.node.has_ready() else None

    def _note_term(self, ready: Ready) -> None:
        if ready.hard_state is not None and ready.hard_state.term != self.applier.headers.term:
            self.applier.headers.term = ready.hard_state.term

    def _finish(self, ready: Ready, trace: Trace) -> None:
        trace.step("applied and answered")
        self.node.advance(ready)
        self._note_leadership()
        if trace.took_seconds() > self._slow_apply_seconds:
            self._tell_slow(ready, trace)

    def _tell_slow(self, ready: Ready, trace: Trace) -> None:
        self.counters.slow_applies += 1
        _log.warning(
            "apply request took too long",
            took=f"{trace.took_seconds() * 1000:.3f}ms",
            expected_duration=f"{self._slow_apply_seconds * 1000:g}ms",
            entries_written=len(ready.entries),
            entries_applied=len(ready.committed_entries),
            steps=trace.lines(),
        )

    def _propose_batch(self) -> None:
        """Into our own log, or to the leader. While there is none, or it hands over, proposals wait: they have not been
        seen by anyone, so trying again is safe."""
        if not self.leadership.takes_proposals:
            return
        batch, node = self._take_batch(), self.node
        try:
            if node.state is StateType.LEADER:
                first_index = node.propose_many([proposal.data for proposal in batch])
                self._fail(self._waiting.enter(first_index, node.term, batch), errors.LEADER_CHANGED)
            else:
                entries = [Entry(data=proposal.data) for proposal in batch]
                node.step(Message(MessageType.PROPOSAL, sender=node.id, entries=entries))
                self._waiting.enter_forwarded(batch)
        except ProposalDropped:
            self._incoming = batch + self._incoming
            self.leadership.refused()
        else:
            self._last_batch = len(batch)

    def _propose_changes(self) -> None:
        while self._changes and self.leadership.takes_proposals:
            proposed = self._changes[0]
            try:
                self.node.propose_conf_change(proposed.change)
            except ProposalDropped:
                self.leadership.refused()
                return
            del self._changes[0]
            self._passes.waiting_changes[proposed.change.id] = proposed.reply
            self._change_deadlines[proposed.change.id] = proposed.deadline

    def _ask_for_reads(self) -> None:
        if self.node.leader == 0:
            return
        context = self._reads.begin(self._now)
        if context is not None:
            self.node.read_index(context)

    def _serve_reads(self) -> None:
        for read in self._reads.applied(self.store.applied_index):
            read.serve()
        self._flush()

    @staticmethod
    async def _cannot_install(ready: Ready, snapshot: Snapshot) -> None:
        raise AssertionError("a snapshot has come to a member that takes none")

    def _take_batch(self) -> list[Proposal]:
        """The oldest proposals, bounded by number and size, so that one pass does not hold the loop for long."""
        incoming = self._incoming
        size = count = 0
        for proposal in incoming[: limits.PROPOSALS_PER_BATCH]:
            size += len(proposal.data)
            if count and size > limits.PROPOSED_BYTES_PER_BATCH:
                break
            count += 1
        if count == len(incoming):
            self._incoming = []
            return incoming
        self._incoming = incoming[count:]
        return incoming[:count]

    async def _apply_all(self, entries: list[Entry]) -> None:
        """Usually one pass. After a restart there may be thousands of entries: others get the loop in between."""
        for start in range(0, len(entries), limits.PROPOSALS_PER_BATCH):
            if start:
                await trio.lowlevel.checkpoint()
            self._apply(entries[start : start + limits.PROPOSALS_PER_BATCH])

    def _apply(self, entries: list[Entry]) -> None:
        self._passes.run(entries)
        store = self.store
        self.counters.applied_index = entries[-1].index
        if self._applied_more.statistics().tasks_waiting:
            self._applied_more.set()
            self._applied_more = trio.Event()
        if len(self._reads):
            for read in self._reads.applied(store.applied_index):
                read.serve()
        self.on_applied(store.applied_index, store.applied_term)
        self._flush()

    def installed(self, conf_state: ConfState) -> None:
        """The store is now what a snapshot from the leader said."""
        self._passes.conf_state = conf_state
        self.counters.applied_index = self.store.applied_index
        self._serve_reads()

    def in_pass(self, write: Callable[[Store], None]) -> None:
        """Runs `write` in a pass of its own, which no entry belongs to: for rows about the store itself."""
        store = self.store
        store.begin_pass()
        write(store)
        store.end_pass(store.applied_index, store.applied_term)

    def _note_leadership(self) -> None:
        # After a restart the commit index in the log may lag behind what was acknowledged; the first entry of the
        # term brings it up to date.
        self.can_read_now = self.is_leader and self.has_sole_voter and self.store.applied_term == self.node.term
        if self.leadership.look(self._now):
            self.counters.leader_changes += 1
            self._reads.ask_again()
            self._wake.set()

    def _expire(self) -> None:
        now = self._now
        late = list(self._waiting.expired(now))
        if self._incoming and self._incoming[0].deadline <= now:
            late += [proposal for proposal in self._incoming if proposal.deadline <= now]
            self._incoming = [proposal for proposal in self._incoming if proposal.deadline > now]
        for proposal in late:
            self._fail([proposal], self._timeout(proposal.deadline))
        if len(self._reads):
            for read in self._reads.expired(now):
                read.reply.fail(self._timeout(read.deadline))
            self._flush()
        if self._changes or self._change_deadlines:
            self._expire_changes()

    def _expire_changes(self) -> None:
        now, waiting = self._now, self._passes.waiting_changes
        self._change_deadlines = {one: at for one, at in self._change_deadlines.items() if one in waiting}
        for change_id in [one for one, at in self._change_deadlines.items() if at <= now]:
            waiting.pop(change_id).fail(self._timeout(self._change_deadlines.pop(change_id)))
        late = [proposed for proposed in self._changes if proposed.deadline <= now]
        self._changes = [proposed for proposed in self._changes if proposed.deadline > now]
        for proposed in late:
            proposed.reply.fail(self._timeout(proposed.deadline))
        self._flush()

    def _timeout(self, deadline: float) -> RpcError:
        """Why something that had until `deadline` did not get through."""
        return self.leadership.timeout(deadline - self._request_timeout_seconds)

    def _fail(self, proposals: list[Proposal], error: RpcError) -> None:
        if not proposals:
            return
        self.counters.proposals_failed += len(proposals)
        for proposal in proposals:
            proposal.reply.fail(error)
        self._flush()

    def _stop(self) -> None:
        """Whoever still waits is told that the server has stopped; the log learns how far it was committed."""
        self._is_stopped = True
        self._log_writer.close()
        everyone = self._incoming + self._waiting.all()
        self._incoming = []
        self._fail(everyone, errors.STOPPED)
        changes = [proposed.reply for proposed in self._changes] + list(self._passes.waiting_changes.values())
        for reply in changes + [read.reply for read in self._reads.all()]:
            reply.fail(errors.STOPPED)
        self._flush()
