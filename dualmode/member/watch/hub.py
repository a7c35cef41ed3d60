"""Decides: what happens to watches: they are created, hear of changes, fall behind, catch up, are canceled.

One hub serves all watch streams of a member. The replica calls `publish` at the end of every pass of the store, the
watch service everything else; all of it runs on the loop and waits for nothing, so what is sent on a stream is in
order without a queue of our own: created before events, events by revision, progress after the events it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from dualmode import errors, limits
from dualmode.member.watch import encoding
from dualmode.member.watch.catchup import CatchUp, History
from dualmode.member.watch.delivery import Delivery
from dualmode.member.watch.encoding import Commit
from dualmode.member.watch.index import WatchIndex
from dualmode.member.watch.watcher import Watcher, WatchStream
from dualmode.rpc.calls import ServerStream

_EMPTY_RANGE: Final = "mvcc: watcher range is empty"
_DUPLICATE_ID: Final = "mvcc: duplicate watch ID provided on the WatchStream"
_TOO_MANY: Final = "dualmode: too many watches on one stream"

_FILTERS: Final = {0: encoding.WITHOUT_PUTS, 1: encoding.WITHOUT_DELETES}


def interval_of(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None] | None:
    """The first key and the key after the last (None: past all keys) that a watch request means; None when it is empty.

    As for every other request, but that no key at all means the lowest possible one.
    """
    low = key or b"\0"
    if not range_end:
        return low, low + b"\0"
    if range_end == b"\0":
        return low, None
    return (low, range_end) if low < range_end else None


class WatchHub:
    """All watches. `header_field(revision)` gives field 1 of a response; `fragment_bytes` is the size from which a
    response is cut for watchers that asked for fragments; `interval_seconds()` gives the time between two notifications
    of progress: what is configured and a little chance (etcd: up to a tenth), so that streams opened together do not
    stay together."""

    def __init__(
        self,
        history: History,
        header_field: Callable[[int], bytes],
        *,
        interval_seconds: Callable[[], float],
        fragment_bytes: int = limits.MAX_REQUEST_BYTES + limits.GRPC_OVERHEAD_BYTES,
    ) -> None:
        self._history = history
        self._header_field = header_field
        #: The last revision published: what synced watchers have.
        self.revision = history.revision
        self.synced = WatchIndex()
        self._delivery = Delivery(header_field, self._park, fragment_bytes)
        self._catch_up = CatchUp(history, self._delivery, self._settle, self._end_compacted)
        self._interval_seconds = interval_seconds
        self._streams: dict[WatchStream, None] = {}
        #: Called when catching up has something to do.
        self.wake: Callable[[], None] = lambda: None
        # For the metrics.
        self.watchers = 0
        self.slow_watchers = 0

    @property
    def streams(self) -> int:
        """Watch streams open."""
        return len(self._streams)

    @property
    def events(self) -> int:
        """Events sent since the start."""
        return self._delivery.events

    # --- The replica -------------------------------------------------------------------------------------------

    def publish(self, commits: Sequence[Commit]) -> None:
        """A pass of the store has ended with these commits, in order."""
        if not commits:
            return
        self.revision = commits[-1].revision
        if self.synced.size:
            self._delivery.turn += 1
            self._delivery.deliver(self.synced, commits, self.revision)

    def replace_history(self, history: History) -> None:
        """The store is another one, or has jumped ahead (a snapshot from the leader): synced watchers catch up."""
        self._history = self._catch_up.history = history
        next_revision = self.revision + 1
        self.revision = history.revision
        for watcher in list(self.synced.watchers()):
            if watcher.from_revision <= self.revision:
                self.synced.remove(watcher)
                watcher.from_revision = max(watcher.from_revision, next_revision)
                self._lag(watcher)
                self._start_catching_up(watcher)

    # --- Streams -----------------------------------------------------------------------------------------------

    def open_stream(self, stream: ServerStream) -> WatchStream:
        """A watch call has begun."""
        watch_stream = WatchStream(stream)
        self._streams[watch_stream] = None
        return watch_stream

    def close_stream(self, stream: WatchStream) -> None:
        """A watch call has ended, and all its watches with it. May be called twice."""
        if stream.is_closed:
            return
        stream.is_closed = True
        del self._streams[stream]
        for watcher in list(stream.watchers.values()):
            self._forget(watcher)

    def drained(self, stream: WatchStream) -> None:
        """What was unsent on a stream has mostly gone out."""
        if not stream.is_closed and stream.parked and not stream.is_stalled:
            self._catch_up.add_parked(stream)
            self.wake()

    # --- Requests ----------------------------------------------------------------------------------------------

    def create(self, stream: WatchStream, request: Any, now: float) -> None:
        """Does a WatchCreateRequest that is permitted, and answers it."""
        interval = interval_of(request.key, request.range_end)
        if request.start_revision < 0:
            self.refuse(stream, errors.COMPACTED.message)
        elif interval is None:
            self.refuse(stream, _EMPTY_RANGE)
        elif request.watch_id in stream.watchers and request.watch_id:
            self.refuse(stream, _DUPLICATE_ID)
        elif len(stream.watchers) >= limits.WATCHERS_PER_STREAM:
            self.refuse(stream, _TOO_MANY)
        else:
            self._create(stream, request, *interval, now)

    def refuse(self, stream: WatchStream, reason: str) -> None:
        """Answers a creation that fails; the stream lives on."""
        stream.send(encoding.refused(self._header_field(self.revision), reason))

    def _create(self, stream: WatchStream, request: Any, low: bytes, high: bytes | None, now: float) -> None:
        wants = encoding.WITH_PREVIOUS if request.prev_kv else 0
        for one in request.filters:
            wants |= _FILTERS.get(one, 0)
        watch_id = request.watch_id or stream.free_watch_id()
        start_revision = request.start_revision or self.revision + 1
        watcher = Watcher(stream, watch_id, low, high, wants, start_revision)
        watcher.wants_fragments = request.fragment
        stream.watchers[watch_id] = watcher
        self.watchers += 1
        stream.send(self._header_field(self.revision) + watcher.id_field + encoding.CREATED)
        if request.progress_notify:
            watcher.has_progress_notify = True
            # The first watcher that wants it starts the stream's clock.
            stream.progress_due = min(stream.progress_due, now + self._interval_seconds())
        if start_revision > self.revision:
            self.synced.add(watcher)
            return
        self._lag(watcher)
        if start_revision < self._history.compacted:
            self._end_compacted(watcher)
        else:
            self._start_catching_up(watcher)

    def cancel(self, stream: WatchStream, watch_id: int) -> None:
        """Does a WatchCancelRequest; one for an unknown id is not answered."""
        watcher = stream.watchers.get(watch_id)
        if watcher is not None:
            self._forget(watcher)
            stream.send(self._header_field(self.revision) + watcher.id_field + encoding.CANCELED)
            self._answer_progress_if_synced(stream)

    def request_progress(self, stream: WatchStream) -> None:
        """Does a WatchProgressRequest: answered when all watchers of the stream have everything up to the revision in
        the answer; at once if they do. A stream without watchers, or with one whose start is still to come, is not
        answered."""
        stream.is_progress_asked = True
        self._answer_progress_if_synced(stream)

    # --- Progress ----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """To be called about twice a second: notifies of progress, and looks after full streams in case one has drained
        unheard."""
        for stream in list(self._streams):
            if stream.parked:
                self.drained(stream)
            if stream.progress_due <= now:
                stream.progress_due = now + self._interval_seconds()
                self._notify_of_progress(stream)

    def _notify_of_progress(self, stream: WatchStream) -> None:
        """Tells the watchers that asked for it, and have heard of nothing since the last time, how far they are."""
        header_field = self._header_field(self.revision)
        for watcher in stream.watchers.values():
            if watcher.has_progress_notify:
                if watcher.is_quiet and watcher.index is self.synced and not self._is_future(watcher):
                    stream.send(header_field + watcher.id_field)
                watcher.is_quiet = True

    def _answer_progress_if_synced(self, stream: WatchStream) -> None:
        if not stream.is_progress_asked or stream.lagging:
            return
        stream.is_progress_asked = False
        present = [watcher for watcher in stream.watchers.values() if not watcher.is_ended]
        if present and not any(map(self._is_future, present)):
            stream.send(self._header_field(self.revision) + encoding.watch_id_field(encoding.NO_WATCH))

    def _is_future(self, watcher: Watcher) -> bool:
        """Whether telling a client the present revision would let it go on from before its own start."""
        return watcher.from_revision > self.revision + 1

    # --- Catching up -------------------------------------------------------------------------------------------

    @property
    def has_catching_up(self) -> bool:
        """Whether `catch_up` has something to do."""
        return self._catch_up.has_work

    def catch_up(self) -> None:
        """Does a slice of about a millisecond."""
        self._catch_up.slice(self.revision)

    def _lag(self, watcher: Watcher) -> None:
        watcher.stream.lagging += 1
        self.slow_watchers += 1

    def _cease_lagging(self, watcher: Watcher) -> None:
        watcher.stream.lagging -= 1
        self.slow_watchers -= 1

    def _start_catching_up(self, watcher: Watcher) -> None:
        self._catch_up.add(watcher)
        self.wake()

    def _park(self, watcher: Watcher, next_revision: int) -> None:
        """A watcher's stream is full; it has missed everything from a revision on."""
        stream, index = watcher.stream, watcher.index
        if stream.is_closed or index is None:
            return
        if index is self.synced:
            self._lag(watcher)
        index.remove(watcher)
        watcher.from_revision = max(watcher.from_revision, next_revision)
        stream.parked[watcher] = None
        # A stream that only had enough for this turn gives no sign later that it has drained.
        self.drained(stream)

    def _settle(self, watcher: Watcher) -> None:
        """A watcher has caught up."""
        self._cease_lagging(watcher)
        self.synced.add(watcher)
        self._answer_progress_if_synced(watcher.stream)

    def _end_compacted(self, watcher: Watcher) -> None:
        """What a watcher should hear next has been compacted: it is canceled with the revision it may start from.
        The header has revision 0, as etcd sends it."""
        self._cease_lagging(watcher)
        watcher.is_ended = True
        watcher.stream.send(
            encoding.compacted(self._header_field(0), watcher.id_field, self._history.compacted),
        )

    def _forget(self, watcher: Watcher) -> None:
        stream = watcher.stream
        del stream.watchers[watcher.watch_id]
        self.watchers -= 1
        if watcher.is_ended:
            return
        index = watcher.index
        if index is not self.synced:
            self._cease_lagging(watcher)
        if index is not None:
            index.remove(watcher)
        else:
            stream.parked.pop(watcher, None)
