"""Decides: when a linearizable read may be answered: its place in a round, and the applied index that it waits for.

A read sees everything that was acknowledged before it came, on any member. The leader knows what that is, once a
majority has confirmed that it still leads; it names a log index, and whoever has applied up to there may answer (Raft
thesis, section 6.4). One round of that is under way at a time. Reads that come meanwhile wait for the next round, all
of them together, so a hundred clients cost one message to each peer.

The replica drives it: `begin` when there may be a round to begin, `on_index` when Raft has named the index of one,
`applied` after each pass. A round whose messages got lost is asked again, under the same context.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from dualmode import limits
from dualmode.errors import RpcError
from dualmode.rpc.calls import Reply


class Read:
    """One read that waits. Plain and slotted: one is made for every linearizable read of a cluster."""

    __slots__ = ("answer", "deadline", "reply")

    def __init__(self, answer: Callable[[], None], reply: Reply, deadline: float) -> None:
        self.answer = answer
        self.reply = reply
        #: Seconds on the loop's clock.
        self.deadline = deadline

    def serve(self) -> None:
        """Answers it, with its error if that is what reading raises."""
        try:
            self.answer()
        except RpcError as error:
            self.reply.fail(error)


class LinearizableReads:
    """Reads on their way. `next_context` gives numbers that no other member gives."""

    def __init__(self, next_context: Callable[[], int]) -> None:
        self._next_context = next_context
        self._gathering: list[Read] = []
        self._asking: list[Read] = []
        self._context = b""
        self._asked_at = 0.0
        #: (index to apply, reads), in the order of the rounds; indexes never fall.
        self._applying: deque[tuple[int, list[Read]]] = deque()
        #: Rounds that had to be asked for again, and rounds whose reads gave up first. For the metrics.
        self.slow_rounds = self.failed_rounds = 0

    def __len__(self) -> int:
        return len(self._gathering) + len(self._asking) + sum(len(reads) for _, reads in self._applying)

    def add(self, read: Read) -> None:
        """A read has come; it belongs to the next round."""
        self._gathering.append(read)

    def begin(self, now: float) -> bytes | None:
        """The context to ask Raft about now: of a new round, or of one that has waited long for its answer."""
        if self._asking:
            if now - self._asked_at < limits.READ_INDEX_RETRY_SECONDS:
                return None
            self.slow_rounds += self._asked_at >= 0  # else it is asked again because the leader is another
        elif self._gathering:
            self._asking, self._gathering = self._gathering, []
            self._context = self._next_context().to_bytes(8, "big")
        else:
            return None
        self._asked_at = now
        return self._context

    def ask_again(self) -> None:
        """The leader has changed: who was asked does not answer any more."""
        self._asked_at = -limits.READ_INDEX_RETRY_SECONDS

    @property
    def is_waiting_to_begin(self) -> bool:
        """Whether `begin` would begin a round at once."""
        return bool(self._gathering) and not self._asking

    def on_index(self, context: bytes, index: int) -> None:
        """Raft has named the index of a round. One that is not ours, or was answered before, says nothing new."""
        if self._asking and context == self._context:
            self._applying.append((index, self._asking))
            self._asking = []

    def applied(self, index: int) -> list[Read]:
        """The reads that may be answered, now that the store has applied up to `index`."""
        applying = self._applying
        if not applying or applying[0][0] > index:
            return []
        ready: list[Read] = []
        while applying and applying[0][0] <= index:
            ready += applying.popleft()[1]
        return ready

    def expired(self, now: float) -> list[Read]:
        """Takes out those whose time is over."""
        late: list[Read] = []
        if self._asking and self._asking[0].deadline <= now:
            self.failed_rounds += 1
        for reads in (self._gathering, self._asking, *(reads for _, reads in self._applying)):
            if reads and reads[0].deadline <= now:
                late += [read for read in reads if read.deadline <= now]
                reads[:] = [read for read in reads if read.deadline > now]
        return late

    def all(self) -> list[Read]:
        """Takes out all, at the end of the server."""
        everyone = self._gathering + self._asking + [read for _, reads in self._applying for read in reads]
        self._gathering, self._asking = [], []
        self._applying.clear()
        return everyone
