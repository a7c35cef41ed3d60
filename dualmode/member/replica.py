"""Does: the one owner of this member's Raft node, log and store: propose, persist, apply, answer.

All proposals that gather during one turn become one batch: one append to the write-ahead log, one sync, one pass of
the store, one round of watch delivery, then the answers, which leave in one write per connection. While the disk syncs
the next batch gathers. Nothing else in the member touches the node, the log's tail or an open pass.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import trio

from dualmode import errors, limits, log
from dualmode.errors import NoSpaceError, RpcError, StorageError
from dualmode.member.apply import requests
from dualmode.member.apply.applier import Applier
from dualmode.member.cluster.conf_changes import apply_conf_change
from dualmode.member.disk_door import DiskDoor
from dualmode.member.free_space import FreeSpace
from dualmode.member.proposals import Proposal, WaitingProposals
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.trace import Trace
from dualmode.raft import ConfState, Entry, EntryType, HardState, MemoryStorage, ProposalDropped, RawNode, Ready
from dualmode.rpc.calls import Reply
from dualmode.storage.mvcc import Commit, Store
from dualmode.storage.wal import WriteAheadLog

_log = log.get("replica")


class Replica:
    """Drives consensus for this member. Services call `propose` and `when_readable`; `run` is its task."""

    def __init__(
        self,
        node: RawNode,
        raft_storage: MemoryStorage,
        wal: WriteAheadLog,
        store: Store,
        applier: Applier,
        disk_door: DiskDoor,
        counters: ReplicaCounters,
        *,
        request_timeout_seconds: float,
        tick_seconds: float,
        max_request_bytes: int,
        slow_apply_seconds: float,
        fsync: bool,
        next_request_id: Callable[[], int],
        publish: Callable[[list[Commit]], None],
        flush: Callable[[], None],
        free_space: FreeSpace,
    ) -> None:
        self.node = node
        self.raft_storage = raft_storage
        self.wal = wal
        self.store = store
        self.applier = applier
        self.counters = counters
        self._door = disk_door
        self._request_timeout_seconds = request_timeout_seconds
        self._tick_seconds = tick_seconds
        self._max_request_bytes = max_request_bytes
        self._slow_apply_seconds = slow_apply_seconds
        #: False with --unsafe-no-fsync: a power cut may take what was acknowledged.
        self._fsync = fsync
        self._next_request_id = next_request_id
        self._publish = publish
        self._flush = flush
        self.free_space = free_space
        self._incoming: list[Proposal] = []
        self._waiting = WaitingProposals()
        self._wake = trio.Event()
        self._ticks_due = 0
        #: The loop's clock as of the last tick: exact enough for time-outs of seconds, and free.
        self._now = trio.current_time()
        self._space_looked_at = -math.inf
        self._is_stopped = False
        #: What Raft has decided and the log does not have yet; only a commit index may stay here for long.
        self._unsaved_state: HardState | None = None
        #: Called (on the loop) when this member has become, or ceased to be, leader.
        self.on_leadership: list[Callable[[bool], None]] = []
        #: Called after each pass with the applied index and its term.
        self.on_applied: Callable[[int, int], None] = lambda index, term: None
        #: The configuration as of the applied index.
        self.conf_state: ConfState = raft_storage.initial_state()[1]
        self._was_leader = False
        self._leader_known = trio.Event()
        #: Whether linearizable reads can be answered here without asking anyone: with one voter, while it leads.
        self.can_read_now = False

    # --- What services call ------------------------------------------------------------------------------------

    def propose(self, kind: int, message: bytes, request: Any, reply: Reply) -> None:
        """Sends a request through the log; `reply` hears its outcome. Raises `RpcError` when it is refused at once.

        `message` is the serialised request as the client sent it, `request` the same decoded.
        """
        if self._is_stopped:
            raise errors.STOPPED
        if len(self._incoming) >= limits.WAITING_PROPOSALS:
            raise errors.TOO_MANY_REQUESTS
        data = requests.encode(kind, message, self._next_request_id())
        if len(data) > self._max_request_bytes:
            raise errors.REQUEST_TOO_LARGE
        if kind in requests.NEEDS_SPACE and not self.free_space.has_space:
            raise errors.NO_SPACE
        self._incoming.append(Proposal(data, kind, request, reply, self._now + self._request_timeout_seconds))
        self._wake.set()

    def when_readable(self, answer: Callable[[], None]) -> None:
        """Calls `answer` once everything that was acknowledged before this call can be read here.

        With one voter that is now: what it acknowledged it has applied, and nobody else can lead.
        """
        if not self.can_read_now:
            raise errors.NO_LEADER
        answer()

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
                    if not self._incoming and not self._ticks_due and not self.node.has_ready():
                        self._wake = trio.Event()
                        await self._wake.wait()
            finally:
                self._stop()

    async def _tick(self) -> None:
        while True:
            self._now = trio.current_time()
            if self._now - self._space_looked_at >= limits.FREE_SPACE_CHECK_SECONDS:
                self._space_looked_at = self._now
                self.free_space.look()
            await trio.sleep(self._tick_seconds)
            self._ticks_due += 1
            self._wake.set()

    async def _turn(self) -> None:
        """Everything there is to do now, up to the next wait."""
        if self._ticks_due:
            self._ticks_due -= 1
            self.node.tick()
            self._expire()
        if self._incoming:
            self._propose_batch()
        while self.node.has_ready():
            ready = self.node.ready()
            trace = Trace()
            await self._persist(ready)
            trace.step("wrote and synced the log")
            await self._apply_all(ready.committed_entries)
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

    async def _persist(self, ready: Ready) -> None:
        """What Raft has decided goes to the log, synced, before anyone acts on it."""
        state = ready.hard_state
        if state is not None:
            self.applier.headers.term = state.term
            self.raft_storage.set_hard_state(state)
            self._unsaved_state = state
        if not ready.entries and not ready.must_sync:
            return  # a commit index alone: it goes with the next batch, since a start can do without it
        must_sync = self._append(ready.entries)
        while must_sync is None:
            await trio.sleep(limits.DISK_FULL_RETRY_SECONDS)
            self._expire()
            must_sync = self._append(ready.entries)
        if must_sync and self._fsync:
            if self._door.is_quick:
                self._door.sync_inline(self.wal.sync)
            else:
                await self._door.sync(self.wal.sync)
        if self.wal.is_full:
            await self._cut()
        self.raft_storage.append(ready.entries)

    async def _cut(self) -> None:
        try:
            await self._door.run(self.wal.cut_if_full)
        except NoSpaceError as error:
            # The segment in use goes on growing; the next batch tries again.
            _log.error("cannot begin a new segment of the write-ahead log", error=str(error))

    def _append(self, entries: list[Entry]) -> bool | None:
        """Whether a sync is needed; None when the disk is full. The entries are in Raft's memory then and stay there:
        they are appended when there is room, and who proposed them is told of a timeout, since nobody knows yet."""
        try:
            must_sync = self.wal.append(entries, self._unsaved_state)
        except NoSpaceError as error:
            _log.error("cannot append to the write-ahead log, trying again", error=str(error))
            return None
        self._unsaved_state = None
        return must_sync

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
            answers.append((proposal.reply, self.applier.apply(proposal.kind, proposal.request)))
            return
        lost = self._waiting.displaced(entry.index)
        if lost is not None:
            answers.append((lost.reply, errors.LEADER_CHANGED))
        decoded = requests.decode(entry.data)
        self.applier.apply(decoded.kind, decoded.request)

    def _note_leadership(self) -> None:
        if self.has_leader:
            self._leader_known.set()
        is_leader = self.is_leader
        self.can_read_now = is_leader and self.has_sole_voter
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
        if self._unsaved_state is not None:
            with contextlib.suppress(StorageError):  # it is the end anyway, and the next start can do without it
                self._append([])
        everyone = self._incoming + self._waiting.all()
        self._incoming = []
        self._fail(everyone, errors.STOPPED)
