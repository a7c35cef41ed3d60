"""Decides: which responses go to which watchers when something has changed.

Driven by the hub for synced watchers and by each line of catching up for the others; the same rules hold for both.
Nothing here waits: a message goes into its stream's queue, and a watcher whose stream is full is handed back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from dualmode.member.watch.encoding import Batch, Commit, Event, LookBack, batches, fragments
from dualmode.member.watch.index import Cohort, Group, WatchIndex
from dualmode.member.watch.watcher import Watcher, WatchStream
from dualmode.rpc.framing import frame, frames_around

#: At most, with the frame around its message.
_ID_FIELD_BYTES: Final = 16
#: A batch behind the header it is sent with (field 1 of the response).
_Response = tuple[bytes, Batch]


class Delivery:
    """Sends events to watchers.

    `header_field(revision)` gives field 1 of a response; `park(watcher, revision)` takes a watcher whose stream is full
    and which has missed everything from a revision on; `fragment_bytes` is the size from which a response is cut for
    those who asked for it.
    """

    __slots__ = ("_fragment_bytes", "_header_field", "_park", "events", "turn")

    def __init__(
        self, header_field: Callable[[int], bytes], park: Callable[[Watcher, int], None], fragment_bytes: int
    ) -> None:
        self._header_field = header_field
        self._park = park
        self._fragment_bytes = fragment_bytes
        #: Turn of the loop; whoever drives this counts it up before it delivers.
        self.turn = 0
        #: Events sent so far, for the metrics.
        self.events = 0

    def deliver(
        self,
        index: WatchIndex,
        commits: Iterable[Commit],
        covered_revision: int,
        look_back: LookBack | None = None,
    ) -> None:
        """Sends what these commits have for the watchers of an index.

        After it each of them has all events up to `covered_revision`, unless it was parked; so that is the revision in
        the header of its last response, which clients take for the progress made.
        """
        addressed: list[WatchStream] = []
        touched: list[Group] = []
        matching = index.matching
        for commit in commits:
            for change in commit.changes:
                groups = matching(change.key)
                if groups:
                    event = Event(commit.revision, change, look_back)
                    for group in groups:
                        if not group.events:
                            touched.append(group)
                        group.events.append(event)
        for group in touched:
            events, group.events = group.events, []
            self._deliver_to_group(group, events, covered_revision, addressed)
        for stream in addressed:
            stream.send_outgoing()

    def _deliver_to_group(
        self, group: Group, events: list[Event], covered_revision: int, addressed: list[WatchStream]
    ) -> None:
        """Puts what each watcher is to hear into its stream's `outgoing`."""
        first_revision = events[0].revision
        prepared: dict[int, list[_Response]] = {}
        # A copy: parking takes watchers out, and so may a stream that ends while it is written to.
        for cohort in tuple(group.cohorts.values()):
            wants = cohort.wants
            responses = prepared.get(wants)
            if responses is None:
                responses = prepared[wants] = self._prepare(events, wants, covered_revision)
            if not cohort.stream.outgoing:
                addressed.append(cohort.stream)
            if cohort.from_revision > first_revision or cohort.wants_fragments or not self._has_room(cohort, responses):
                for watcher in tuple(cohort.watchers):
                    own = responses
                    if watcher.from_revision > first_revision:
                        heard = [event for event in events if event.revision >= watcher.from_revision]
                        own = self._prepare(heard, wants, covered_revision)
                    self._send_to_one(watcher, own)
            elif responses:
                self._send_to_all(cohort, responses)

    def _has_room(self, cohort: Cohort, responses: list[_Response]) -> bool:
        """Whether nobody of them can find the stream full on the way."""
        count = len(cohort.watchers)
        needed = sum(len(header) + _ID_FIELD_BYTES + len(batch.body) for header, batch in responses) * count
        stream = cohort.stream
        return needed <= stream.room or (not stream.is_full(self.turn) and needed <= stream.room)

    def _send_to_all(self, cohort: Cohort, responses: list[_Response]) -> None:
        """The hot path: one piece for however many watchers."""
        stream, count = cohort.stream, len(cohort.watchers)
        for header, batch in responses:
            for ids in cohort.ids:
                data = frames_around(header, ids, batch.body)
                stream.room -= len(data)
                stream.outgoing.append(data)
            stream.outgoing_count += count
            self.events += len(batch.events) * count
        for watcher in cohort.notified:
            watcher.is_quiet = False

    def _send_to_one(self, watcher: Watcher, responses: list[_Response]) -> None:
        """Looks at the room before each response; parks a watcher whose stream has none."""
        stream = watcher.stream
        for header, batch in responses:
            if stream.room < 0 and stream.is_full(self.turn):
                self._park(watcher, batch.first_revision)
                return
            head = header + watcher.id_field
            if watcher.wants_fragments:
                messages = fragments(head, batch.events, self._fragment_bytes)
            else:
                messages = [head + batch.body]
            for message in messages:
                stream.room -= len(message)
                stream.outgoing.append(frame(message))
            stream.outgoing_count += len(messages)
            watcher.is_quiet = False
            self.events += len(batch.events)

    def _prepare(self, events: list[Event], wants: int, covered_revision: int) -> list[_Response]:
        found = batches(events, wants)
        if not found:
            return []
        header_field = self._header_field
        responses = [(header_field(batch.last_revision), batch) for batch in found[:-1]]
        responses.append((header_field(covered_revision), found[-1]))
        return responses
