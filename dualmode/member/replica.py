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
from typing import Final

import trio

from dualmode import errors, limits, log
from dualmode.edge.outbox import Outbox
from dualmode.member.apply.applier import Applier
from dualmode.member.apply.passes import Passes
from dualmode.member.applying import Applying
from dualmode.member.cluster.conf_changes import changes_members
from dualmode.member.exchange import PeerExchange
from dualmode.member.free_space import FreeSpace
from dualmode.member.intake import Intake
from dualmode.member.leadership import Leadership
from dualmode.member.log_writer import LogWriter
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.trace import Trace, tell_slow
from dualmode.raft import (
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
from dualmode.storage.mvcc import Commit, Store

_log = log.get("replica")

#: Proposals in the last batch up to which a client may be alone.
_ALONE: Final = 2


class Replica:
    """Drives consensus for this member. Services ask its `intake`; `run` is its task."""

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
        outbox: Outbox,
        free_space: FreeSpace,
    ) -> None:
        self.node = node
        self.store = store
        self.applier = applier
        self.counters = counters
        self._log_writer = log_writer
        self._tick_seconds = tick_seconds
        self._slow_apply_seconds = slow_apply_seconds
        self._outbox = outbox
        self.free_space = free_space
        self.leadership = Leadership(node)
        #: What services call, and what waits.
        self.intake = intake = Intake(
            self.leadership,
            counters,
            free_space,
            request_timeout_seconds=request_timeout_seconds,
            max_request_bytes=max_request_bytes,
            next_request_id=next_request_id,
            flush=outbox.flush,
            wake=self._wake_up,
        )
        self._passes = Passes(node, conf_state, applier, intake.waiting, intake.changes, publish)
        #: What is committed reaches the store here.
        self.applying = Applying(store, self._passes, intake.reads, counters, outbox)
        self._wake = trio.Event()
        #: What the transport and the node say to each other.
        self.exchange = PeerExchange(node, self._wake_up)
        #: Puts the state of a snapshot from the leader in place of ours.
        self.install: Callable[[Ready, Snapshot], Awaitable[None]] = self._cannot_install
        self._ticks_due = 0
        self._ticked_at = 0.0
        self._space_looked_at = -math.inf
        self._is_turning = False
        #: A Ready that `turn_at_once` could not write.
        self._unfinished: Ready | None = None
        #: Whose read brought the last proposals.
        self._last_reader: object = None
        self._last_batch = 0

    def transfer_leadership(self, target: int) -> None:
        """Begins to hand the leadership over; whether it comes to that shows in `node.leader`."""
        self.node.transfer_leader(target)
        self._wake_up()

    @property
    def is_leader(self) -> bool:
        """Whether this member leads."""
        return self.node.leader == self.node.id

    @property
    def has_leader(self) -> bool:
        """Whether a leader is known."""
        return self.node.leader != 0

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
        self._wake_up()

    def _wake_up(self) -> None:
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
        return self.leadership.takes_proposals and self.intake.has_work

    async def _tick(self) -> None:
        while True:
            now = trio.current_time()
            if now - self._space_looked_at >= limits.FREE_SPACE_CHECK_SECONDS:
                self._space_looked_at = now
                self.free_space.look()
            self.intake.expire(now)
            await trio.sleep(self._tick_seconds)
            self._ticks_due += 1
            self.leadership.tick()
            self._wake_up()

    async def _turn(self) -> None:
        """Everything there is to do now, up to the next wait."""
        self._is_turning = True
        if self._ticks_due:
            self._ticks_due -= 1
            now, before = trio.current_time(), self._ticked_at
            self._ticked_at = now
            # etcd's measure of a leader that its disk or its machine holds up.
            if self.is_leader and before and now - before > 2 * self._tick_seconds:
                self.counters.late_heartbeats += 1
            self.node.tick()
            self.exchange.tick()
        if self.exchange.has_arrived:
            self.exchange.take_in()
        intake = self.intake
        if self._unfinished is None:
            if intake.changes.are_waiting_to_enter:
                self._propose_changes()
            if intake.incoming:
                self._propose_batch()
        if len(intake.reads):
            self._ask_for_reads()
        while (ready := self._next_ready()) is not None:
            await self._act_on(ready)
        self._is_turning = False

    async def _act_on(self, ready: Ready) -> None:
        trace = Trace()
        self._note_term(ready)
        messages, is_leading = ready.messages, self.node.state is StateType.LEADER
        if messages and is_leading:
            self._send(ready)
        if ready.snapshot is not None:
            await self.install(ready, ready.snapshot)
        else:
            await self._log_writer.write(ready)
        trace.step("wrote and synced the log")
        # A vote, or a word that counts toward a quorum, must not leave before a change of who counts has been applied.
        waits = not is_leading and changes_members(ready.committed_entries)
        if messages and not is_leading and not waits:
            self._send(ready)
        for state in ready.read_states:
            self.intake.reads.on_index(state.context, state.index)
        if ready.committed_entries:
            await self.applying.apply_all(ready.committed_entries)
        elif ready.read_states:
            self.applying.serve_reads()
        if waits:
            self._send(ready)
        self._finish(ready, trace)

    def _send(self, ready: Ready) -> None:
        self._outbox.is_gathering = True
        self.exchange.send(ready.messages, commit_moved=ready.hard_state is not None)
        self._outbox.flush()

    def turn_at_once(self, reader: object) -> None:
        """The same without the task, when a client is alone with us: called at the end of a read of its connection,
        before the answers leave. Waking the task would cost a turn of the loop, and there is nobody to share a sync
        with.

        Alone is who also made the proposals before these, a few at a time; and a slow disk has its thread.
        """
        incoming = self.intake.incoming
        if not incoming or self._is_turning or self._unfinished is not None or not self._log_writer.is_quick:
            return
        if not self.intake.can_read_now:
            return  # others have to agree, or there is no leader
        is_alone = reader is self._last_reader and self._last_batch <= _ALONE and len(incoming) <= _ALONE
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
                self.applying.apply(ready.committed_entries)
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
            self.counters.slow_applies += 1
            tell_slow(
                _log,
                trace.took_seconds(),
                self._slow_apply_seconds,
                entries_written=len(ready.entries),
                entries_applied=len(ready.committed_entries),
                steps=trace.lines(),
            )

    def _propose_batch(self) -> None:
        """Into our own log, or to the leader. While there is none, or it hands over, proposals wait: they have not been
        seen by anyone, so trying again is safe."""
        if not self.leadership.takes_proposals:
            return
        batch, node, waiting = self.intake.incoming.take_batch(), self.node, self.intake.waiting
        try:
            if node.state is StateType.LEADER:
                first_index = node.propose_many([proposal.data for proposal in batch])
                self.intake.fail(waiting.enter(first_index, node.term, batch), errors.LEADER_CHANGED)
            else:
                entries = [Entry(data=proposal.data) for proposal in batch]
                node.step(Message(MessageType.PROPOSAL, sender=node.id, entries=entries))
                waiting.enter_forwarded(batch)
        except ProposalDropped:
            self.intake.incoming.put_back(batch)
            self.leadership.refused()
        else:
            self._last_batch = len(batch)

    def _propose_changes(self) -> None:
        if not self.leadership.takes_proposals:
            return
        try:
            self.intake.changes.enter(self.node.propose_conf_change)
        except ProposalDropped:
            self.leadership.refused()

    def _ask_for_reads(self) -> None:
        if self.node.leader == 0:
            return
        context = self.intake.reads.begin(self.intake.now)
        if context is not None:
            self.node.read_index(context)

    @staticmethod
    async def _cannot_install(ready: Ready, snapshot: Snapshot) -> None:
        raise AssertionError("a snapshot has come to a member that takes none")

    def _note_leadership(self) -> None:
        # After a restart the commit index in the log may lag behind what was acknowledged; the first entry of the
        # term brings it up to date.
        is_up_to_date = self.store.applied_term == self.node.term
        self.intake.can_read_now = self.is_leader and self.has_sole_voter and is_up_to_date
        if self.leadership.look(self.intake.now):
            self.counters.leader_changes += 1
            self.intake.reads.ask_again()
            self._wake_up()

    def _stop(self) -> None:
        """The log learns how far it was committed; whoever still waits hears that the server has stopped."""
        self._log_writer.close()
        self.intake.stop()
