"""Decides: what is known of one watcher and of one stream of them.

A watcher is in one of four places, and `index` says in which of the first two:

- **synced**: in the hub's index, hears of every change at the end of the pass that made it;
- **catching up**: in the index of a line (see `catchup`), hears of what the store still has;
- **parked**: its stream is full; in `stream.parked`, costs nothing until the stream drains;
- **ended**: compacted away; it waits for the client's cancel request, and its id stays taken until then, as in etcd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualmode import limits
from dualmode.member.watch.encoding import watch_id_field
from dualmode.rpc.calls import ServerStream

if TYPE_CHECKING:
    from dualmode.member.watch.index import Cohort, Group, WatchIndex


class Watcher:
    """One watch: an interval, what to hear of it, and from which revision on."""

    __slots__ = (
        "cohort",
        "from_revision",
        "group",
        "has_progress_notify",
        "high",
        "id_field",
        "index",
        "is_ended",
        "is_quiet",
        "low",
        "stream",
        "wants",
        "wants_fragments",
        "watch_id",
    )

    def __init__(
        self, stream: WatchStream, watch_id: int, low: bytes, high: bytes | None, wants: int, from_revision: int
    ) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.id_field = watch_id_field(watch_id)
        #: First key, and the key after the last one: None is past all keys.
        self.low = low
        self.high = high
        #: Bits of `encoding`: previous records, filters.
        self.wants = wants
        self.wants_fragments = False
        #: Never hears of a revision below this.
        self.from_revision = from_revision
        self.has_progress_notify = False
        #: Heard of nothing since the last round of progress notification.
        self.is_quiet = True
        self.is_ended = False
        self.index: WatchIndex | None = None
        self.group: Group | None = None
        self.cohort: Cohort | None = None


class WatchStream:
    """One watch call: its watchers, and how much more it takes before it is full.

    Full it is when its client does not read (`unsent_bytes`), which shows only after a turn of the loop, when what was
    queued has been written to the socket; or, because of that, when it was sent too much within one turn.
    """

    __slots__ = (
        "_allowed",
        "_turn",
        "_turn_bytes",
        "is_closed",
        "is_draining",
        "is_progress_asked",
        "lagging",
        "next_watch_id",
        "outgoing",
        "outgoing_count",
        "parked",
        "progress_due",
        "room",
        "send",
        "stream",
        "watchers",
    )

    def __init__(self, stream: ServerStream) -> None:
        self.stream = stream
        self.send: Callable[[bytes], None] = stream.send_now
        self.watchers: dict[int, Watcher] = {}
        self.next_watch_id = 0
        #: What a delivery has for its watchers, framed, to be sent as one; and how many messages that is.
        self.outgoing: list[bytes] = []
        self.outgoing_count = 0
        #: Bytes that may be sent before `is_full` has to look again: counting down costs less than looking.
        self.room = 0
        self._allowed = 0
        self._turn = 0
        self._turn_bytes = 0
        self.parked: dict[Watcher, None] = {}
        #: Whether its parked watchers are being moved back.
        self.is_draining = False
        #: Watchers that are parked or catching up.
        self.lagging = 0
        #: A progress request that is answered when nothing lags any more.
        self.is_progress_asked = False
        #: When its watchers are told how far they are; never, until one wants it.
        self.progress_due = math.inf
        self.is_closed = False

    @property
    def is_stalled(self) -> bool:
        """Whether its client has too much to read already."""
        return self.stream.unsent_bytes > limits.WATCH_STREAM_UNSENT_BYTES

    def send_outgoing(self) -> None:
        """Sends what was gathered."""
        if self.outgoing:
            outgoing, self.outgoing = self.outgoing, []
            count, self.outgoing_count = self.outgoing_count, 0
            self.stream.send_frames(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing), count)

    def is_full(self, turn: int) -> bool:
        """Looks how much more may be sent in this turn of the loop; to be asked when `room` has been used up."""
        self.send_outgoing()  # what is gathered shows as unsent only then
        if turn != self._turn:
            self._turn, self._turn_bytes = turn, 0
        self._turn_bytes += self._allowed - self.room
        room = limits.WATCH_STREAM_UNSENT_BYTES - self.stream.unsent_bytes
        if self._turn_bytes > limits.WATCH_STREAM_TURN_BYTES:
            room = min(room, -1)
        self.room = self._allowed = room
        return room < 0

    def free_watch_id(self) -> int:
        """The next id that no watcher of this stream has."""
        while self.next_watch_id in self.watchers:
            self.next_watch_id += 1
        self.next_watch_id += 1
        return self.next_watch_id - 1
