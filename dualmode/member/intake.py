"""Does: takes in what services ask for, and keeps until when each may wait: proposals, changes of members, reads.

A request waits here to be proposed, then for its entry to be applied; a read waits for its place in a round. The
replica moves them on. Whatever has no answer in time, or at the end of the server, is told so here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.cluster.proposed_changes import ProposedChange, ProposedChanges
from dualmode.member.free_space import FreeSpace
from dualmode.member.leadership import Leadership
from dualmode.member.proposals import IncomingProposals, Proposal, WaitingProposals
from dualmode.member.reads import LinearizableReads, Read
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.raft import ConfChange
from dualmode.rpc.calls import Reply
from dualmode.rpc.local import AwaitableReply

_Waiting = Proposal | Read | ProposedChange


class Intake:
    """The side of the replica that services see. `wake` tells the replica that there is something to do."""

    def __init__(
        self,
        leadership: Leadership,
        counters: ReplicaCounters,
        free_space: FreeSpace,
        *,
        request_timeout_seconds: float,
        max_request_bytes: int,
        next_request_id: Callable[[], int],
        flush: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._leadership = leadership
        self._counters = counters
        self._free_space = free_space
        self._request_timeout_seconds = request_timeout_seconds
        self._max_request_bytes = max_request_bytes
        self._next_request_id = next_request_id
        self._flush = flush
        self._wake = wake
        #: Asked before a request that may make the store grow is proposed; raises NO_SPACE.
        self.admit: Callable[[int, Any], None] = lambda kind, request: None
        self.incoming = IncomingProposals()
        self.waiting = WaitingProposals()
        self.changes = ProposedChanges()
        self.reads = LinearizableReads(next_request_id)
        #: Whether linearizable reads can be answered here without asking anyone: with one voter, while it leads.
        self.can_read_now = False
        #: The loop's clock as of the last tick: exact enough for time-outs of seconds, and free.
        self.now = trio.current_time()
        self._is_stopped = False

    # --- What services call ------------------------------------------------------------------------------------

    def propose(self, kind: int, message: bytes, request: Any, reply: Reply, caller: Caller = NOBODY) -> None:
        """Sends a request through the log; `reply` hears its outcome. Raises `RpcError` when it is refused at once.

        `message` is the serialised request as the client sent it, `request` the same decoded. `caller` is for whom,
        while authentication is on.
        """
        if self._is_stopped:
            raise errors.STOPPED
        if len(self.incoming) >= limits.WAITING_PROPOSALS:
            raise errors.TOO_MANY_REQUESTS
        request_id = self._next_request_id()
        data = requests.encode(kind, message, request_id, caller)
        if len(data) > self._max_request_bytes:
            raise errors.REQUEST_TOO_LARGE
        if kind in requests.NEEDS_SPACE:
            if not self._free_space.has_space:
                raise errors.NO_SPACE
            self.admit(kind, request)
        self._enter(data, request_id, kind, request, reply, caller)

    def propose_encoded(self, data: bytes, request_id: int, kind: int, request: Any, reply: Reply) -> None:
        """The same for the data of an entry that is encoded already, in a form of its own. Raises STOPPED."""
        if self._is_stopped:
            raise errors.STOPPED
        self._enter(data, request_id, kind, request, reply, NOBODY)

    def _enter(self, data: bytes, request_id: int, kind: int, request: Any, reply: Reply, caller: Caller) -> None:
        self.incoming.add(Proposal(data, kind, request, reply, self._deadline(), caller, request_id))
        self._wake()

    def propose_change(self, change: ConfChange, reply: Reply) -> None:
        """Sends a change of members through the log; `reply` hears an empty answer, or why it did not hold when it was
        applied. Raises `RpcError` when it is refused at once."""
        if self._is_stopped:
            raise errors.STOPPED
        self.changes.add(change, reply, self._deadline())
        self._wake()

    def when_readable(self, answer: Callable[[], None], reply: Reply) -> None:
        """Calls `answer` once everything that was acknowledged before this call can be read here; what it raises, and
        that it takes too long, `reply` is told.

        With one voter that is now: what it acknowledged it has applied, and nobody else can lead.
        """
        if self.can_read_now:
            answer()
        elif self._is_stopped:
            raise errors.STOPPED
        elif len(self.reads) >= limits.WAITING_READS:
            raise errors.TOO_MANY_REQUESTS
        else:
            self.reads.add(Read(answer, reply, self._deadline()))
            self._wake()

    async def wait_until_readable(self) -> None:
        """The same for a task."""
        readable = AwaitableReply()
        self.when_readable(lambda: readable.reply(b""), readable)
        await readable.result()

    @property
    def pending_proposals(self) -> int:
        """Requests on their way through the log."""
        return len(self.incoming) + len(self.waiting)

    # --- What the replica calls --------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether something waits to be proposed or asked for."""
        return bool(self.incoming) or self.changes.are_waiting_to_enter or self.reads.is_waiting_to_begin

    def fail(self, proposals: list[Proposal], error: RpcError) -> None:
        """These did not get through."""
        if not proposals:
            return
        self._counters.proposals_failed += len(proposals)
        for proposal in proposals:
            proposal.reply.fail(error)
        self._flush()

    def expire(self, now: float) -> None:
        """Time has passed: whoever has waited too long is told why, as far as that is known."""
        self.now = now
        proposals = [*self.waiting.expired(now), *self.incoming.expired(now)]
        self._counters.proposals_failed += len(proposals)
        late: list[_Waiting] = [*proposals, *self.reads.expired(now), *self.changes.expired(now)]
        for one in late:
            one.reply.fail(self._timeout(one.deadline))
        if late:
            self._flush()

    def stop(self) -> None:
        """Whoever still waits is told that the server has stopped."""
        self._is_stopped = True
        self.fail(self.incoming.all() + self.waiting.all(), errors.STOPPED)
        others: list[_Waiting] = [*self.changes.all(), *self.reads.all()]
        for waiting in others:
            waiting.reply.fail(errors.STOPPED)
        self._flush()

    def _deadline(self) -> float:
        return self.now + self._request_timeout_seconds

    def _timeout(self, deadline: float) -> RpcError:
        """Why something that had until `deadline` did not get through."""
        return self._leadership.timeout(deadline - self._request_timeout_seconds)
