"""Does: the one owner of this member's Raft node, log and store: propose, persist, apply, answer.

All proposals that gather during one turn become one batch: one append to the write-ahead log, one sync, one pass of
the store, one round of watch delivery, then the answers, which leave in one write per connection. While the disk syncs
the next batch gathers. Nothing else in the member touches the node, the log's tail or an open pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import trio

from dualmode import errors, limits, log
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.applier import Applier
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.cluster.conf_changes import apply_conf_change
from dualmode.member.free_space import FreeSpace
from dualmode.member.log_writer import LogWriter
from dualmode.member.proposals import Proposal, WaitingProposals
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.trace import Trace
from dualmode.raft import ConfState, Entry, EntryType, ProposalDropped, RawNode, Ready
from dualmode.rpc.calls import Reply
from dualmode.rpc.local import AwaitableReply
from dualmode.storage.mvcc import Commit, Store

_log = log.get("replica")

#: Proposals in the last batch up to which a client may be alone.
_ALONE: Final = 2


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
        self._publish = publish
        self._flush = flush
        self.free_space = free_space
        #: Asked before a request that may make the store grow is proposed; raises NO_SPACE.
        self.admit: Callable[[int, Any], None] = lambda kind, request: None
        self._incoming: list[Proposal] = []
        self._waiting = WaitingProposals()
        self._wake = trio.Event()
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
        #: Called (on the loop) when this member has become, or ceased to be, leader.
        self.on_leadership: list[Callable[[bool], None]] = []
        #: Called after each pass with the applied index and its term.
        self.on_applied: Callable[[int, int], None] = lambda index, term: None
        #: The configuration as of the applied index.
        self.conf_state = conf_state
        self._was_leader = False
        self._leader_known = trio.Event()
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
        data = requests.encode(kind, message, self._next_request_id(), caller)
        if len(data) > self._max_request_bytes:
            raise errors.REQUEST_TOO_LARGE
        if kind in requests.NEEDS_SPACE:
            if not self.free_space.has_space:
                raise errors.NO_SPACE
            self.admit(kind, request)
        self._incoming.append(Proposal(data, kind, request, reply, self._now + self._request_timeout_seconds, caller))
        self._wake.set()

    def when_readable(self, answer: Callable[[], None]) -> None:
        """Calls `answer` once everything that was acknowledged before this call can be read here.

        With one voter that is now: what it acknowledged it has applied, and nobody else can lead.
        """
        if not self.can_read_now:
            raise errors.NO_LEADER
        answer()

    async def wait_until_readable(self) -> None:
        """The same for a task."""
        readable = AwaitableReply()
        self.when_readable(lambda: readable.reply(b""))
        await readable.result()

    def transfer_leadership(self, target: int) -> None:
        """Begins to hand the leadership over; whether it comes to that shows in `node.leader`."""
        self.node.transfer_leader(target)
        self._wake.set()

    @property
    def is_leader(self) -> bool:
        """Whether this member leads."""
        return self.node.leader == self.applier.headers.member_id

    @property
    def has_leader(self) -> bool:
        """Whether a leader is known."""
        return self.node.leader != 0

    @property
    def pending_proposals(self) -> int:
        """Requests on their way through the log."""
        return len(self._incoming) + len(self._waiting)

    async def wait_for_leader(self) -> None:
        """Returns once a leader has been known; it may be lost again by then."""
        await self._leader_known.wait()

    @property
    def has_sole_voter(self) -> bool:
        """Whether this member is the whole group."""
        return len(self.applier.membership) == 1

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
        return bool(self._incoming or self._ticks_due or self._unfinished) or self.node.has_ready()

    async def _tick(self) -> None:
        while True:
            self._now = trio.current_time()
            if self._now - self._space_looked_at >= limits.FREE_SPACE_CHECK_SECONDS:
                self._space_looked_at = self._now
                self.free_space.look()
            self._expire()
            await trio.sleep(self._tick_seconds)
            self._ticks_due += 1
            self._wake.set()

    async def _turn(self) -> None:
        """Everything there is to do now, up to the next wait."""
        self._is_turning = True
        if self._ticks_due:
            self._ticks_due -= 1
            self.node.tick()
        if self._incoming and self._unfinished is None:
            self._propose_batch()
        while (ready := self._next_ready()) is not None:
            trace = Trace()
            self._note_term(ready)
            await self._log_writer.write(ready)
            trace.step("wrote and synced the log")
            await self._apply_all(ready.committed_entries)
            self._finish(ready, trace)
        self._is_turning = False

    def turn_at_once(self, reader: object) -> None:
        """The same without the task, when a client is alone with us: called at the end of a read of its connection,
        before the answers leave. Waking the task would cost a turn of the loop, and there is nobody to share a sync
        with.

        Alone is who also made the proposals before these, a few at a time; and a slow disk has its thread.
        """
        if not self._incoming or self._is_turning or self._unfinished is not None or not self._log_writer.is_quick:
            return
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
        batch = self._take_batch()
        try:
            first_index = self.node.propose_many([proposal.data for proposal in batch])
        except ProposalDropped:
            self._fail(batch, errors.NO_LEADER)
        else:
            self._last_batch = len(batch)
            self._waiting.enter(first_index, self.node.term, batch)

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
        """One pass: the effects of all these entries and the applied index reach the store together."""
        store = self.store
        answers: list[tuple[Reply, bytes | RpcError]] = []
        store.begin_pass()
        for entry in entries:
            if entry.index <= store.applied_index:
                # Replayed after a restart: the store has its effects, only the Raft node must hear of members.
                if entry.type != EntryType.NORMAL:
                    self.conf_state = apply_conf_change(self.node, None, entry)
            elif entry.type == EntryType.NORMAL:
                if entry.data:
                    self._apply_request(entry, answers)
            else:
                self.conf_state = apply_conf_change(self.node, self.applier.membership, entry)
        last = entries[-1]
        commits = store.end_pass(max(last.index, store.applied_index), last.term)
        self.counters.applied_index = last.index
        if commits:
            self._publish(commits)
        for reply, outcome in answers:
            if type(outcome) is bytes:
                reply.reply(outcome)
            else:
                reply.fail(outcome)  # type: ignore[arg-type]
        self.on_applied(store.applied_index, store.applied_term)
        self._flush()

    def in_pass(self, write: Callable[[Store], None]) -> None:
        """Runs `write` in a pass of its own, which no entry belongs to: for rows about the store itself."""
        store = self.store
        store.begin_pass()
        write(store)
        store.end_pass(store.applied_index, store.applied_term)

    def _apply_request(self, entry: Entry, answers: list[tuple[Reply, bytes | RpcError]]) -> None:
        proposal = self._waiting.take(entry.index, entry.term)
        if proposal is not None:
            outcome = self.applier.apply(proposal.kind, proposal.request, proposal.caller, entry.index)
            answers.append((proposal.reply, outcome))
            return
        lost = self._waiting.displaced(entry.index)
        if lost is not None:
            answers.append((lost.reply, errors.LEADER_CHANGED))
        decoded = requests.decode(entry.data)
        self.applier.apply(decoded.kind, decoded.request, decoded.caller, entry.index)

    def _note_leadership(self) -> None:
        if self.has_leader:
            self._leader_known.set()
        is_leader = self.is_leader
        # After a restart the commit index in the log may lag behind what was acknowledged; the first entry of the
        # term brings it up to date.
        self.can_read_now = is_leader and self.has_sole_voter and self.store.applied_term == self.node.term
        if is_leader != self._was_leader:
            self._was_leader = is_leader
            self.counters.leader_changes += 1
            _log.info("raft leadership", is_leader=is_leader, term=self.node.term)
            for callback in self.on_leadership:
                callback(is_leader)

    def _expire(self) -> None:
        late = list(self._waiting.expired(self._now))
        if self._incoming and self._incoming[0].deadline <= self._now:
            late += [proposal for proposal in self._incoming if proposal.deadline <= self._now]
            self._incoming = [proposal for proposal in self._incoming if proposal.deadline > self._now]
        self._fail(late, errors.TIMEOUT)

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
