"""Decides: which client watches ride on which upstream watch, so that each client hears exactly what it would alone.

All watches of one user go over one upstream stream. A client's watch always begins as an upstream watch of its own: the
member checks it, says at which revision it was made (R), and sends what is older if that was asked for. When the watch
wants the events behind R and nothing older, and there is a **group** (an upstream watch with the same range, filters
and flags) it joins the group and its own upstream watch is cancelled; without one it becomes the group. It hears of
events above its **floor**, R at first. The group cannot have passed R before this creation was asked for, so what it
brought since then is kept, and what of that is above the floor is handed to the one who joins.

A watch that starts in the past stays on its own until it and the group have both ended with the same revision: then
both have brought everything up to there.

A watch whose start is still to come holds back the member's answers to questions of progress, for all of its stream. So
the client that has one is told of (`on_future`), and moved with all its watches to a stream of its own: `release` here,
`adopt` there.

What the proxy answers by itself (a cancel while others ride on, an id that is taken) has the revision of now in its
header, as the member's own answer would: it asks by making a watch and cancelling it at once.

A client that does not read is **parked**: its watches leave their groups, and begin again behind what it was sent when
it reads on. So nobody is held up by another, and nothing is lost, doubled or out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from dualmode import limits
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.proxy.sharing.progress import Progress
from dualmode.proxy.sharing.responses import CANCELED, NO_WATCH, Response, id_field, refused
from dualmode.proxy.sharing.upstream_table import UpstreamTable
from dualmode.proxy.sharing.watches import Client, ClientStream, ClientWatch, Kind, Ride, UpstreamWatch
from dualmode.rpc.framing import frame, frames_around

_DUPLICATE_ID: Final = "mvcc: duplicate watch ID provided on the WatchStream"
_TOO_MANY: Final = "dualmode: too many watches on one stream"
#: At most, with the frame around its message.
_ID_FIELD_BYTES: Final = 16
#: Of a watch that nobody can join.
_NO_KIND: Final = b""


class SharedWatches:
    """The watches of one user. `send` takes WatchRequests for the upstream stream. `on_message` may change a
    WatchResponse before anybody sees it."""

    def __init__(self, send: Callable[[bytes], None], on_message: Callable[[Any], None] | None = None) -> None:
        self._on_message = on_message
        self._upstream = UpstreamTable(send)
        self._progress = Progress(send)
        self._streams: dict[ClientStream, None] = {}
        #: Clients that the response at hand has something for.
        self._addressed: list[ClientStream] = []
        #: Told of a client that asks for what is still to come; None where nobody else is on the stream.
        self.on_future: Callable[[ClientStream], None] | None = None

    @property
    def upstream_watches(self) -> int:
        """How many the member has for us."""
        return len(self._upstream.by_id)

    @property
    def client_watches(self) -> int:
        """How many the clients have."""
        return sum(
            watch.upstream is not None or watch in stream.parked
            for stream in self._streams
            for watch in stream.watches.values()
        )

    @property
    def is_empty(self) -> bool:
        """Whether no client is left."""
        return not self._streams

    # --- Clients -----------------------------------------------------------------------------------------------

    def open(self, client: Client) -> ClientStream:
        """A client has opened a stream."""
        stream = ClientStream(client)
        self._streams[stream] = None
        return stream

    def close(self, stream: ClientStream) -> None:
        """It is gone, with all its watches. May be called twice."""
        if stream not in self._streams:
            return
        stream.is_gone = True
        self.release(stream)
        stream.watches.clear()
        stream.parked.clear()

    def release(self, stream: ClientStream) -> None:
        """Lets a client go with its watches, for somebody else to adopt. What it was promised an answer to, it still
        gets from here."""
        del self._streams[stream]
        for watch in stream.watches.values():
            self._leave(watch)

    def adopt(self, stream: ClientStream) -> None:
        """Takes a client whose watches ride nowhere: each goes on behind what it was sent."""
        self._streams[stream] = None
        for watch in stream.watches.values():
            if watch in stream.parked:
                continue  # until the client reads on
            if watch.is_confirmed:
                watch.is_silent = True
                self._begin(watch, watch.floor + 1)
            elif not watch.is_ended:
                self._begin(watch, watch.request.start_revision)
        if stream.questions:
            stream.questions.clear()
            self._progress.ask(stream)

    def create(self, stream: ClientStream, request: Any) -> None:
        """Does a WatchCreateRequest."""
        if request.watch_id and request.watch_id in stream.watches:
            self._answer(stream, request, lambda head: refused(head, _DUPLICATE_ID))
            return
        if len(stream.watches) >= limits.WATCHERS_PER_STREAM:
            self._answer(stream, request, lambda head: refused(head, _TOO_MANY))
            return
        watch_id = request.watch_id or stream.free_id()
        watch = ClientWatch(stream, watch_id, _kind_of(request), request)
        stream.watches[watch_id] = watch
        self._begin(watch, request.start_revision)

    def cancel(self, stream: ClientStream, watch_id: int) -> None:
        """Does a WatchCancelRequest; one for an unknown id is not answered."""
        watch = stream.watches.get(watch_id)
        if watch is None:
            return
        if watch.upstream is not None and not watch.upstream.is_created and not watch.is_silent:
            watch.is_cancel_asked = True  # the member's word comes first
            return
        upstream = watch.upstream
        if upstream is not None and upstream.is_created and len(upstream.members) == 1:
            upstream.canceled_for = stream, watch_id
        else:
            self._answer(stream, watch.request, lambda head: head + id_field(watch_id) + CANCELED)
        self._drop(watch)

    def _answer(self, stream: ClientStream, request: Any, make: Callable[[bytes], bytes]) -> None:
        """Sends what is made of a header of now. Answers keep their order: the member gives them in the order it was
        asked in."""

        def on_head(head: bytes) -> None:
            if not stream.is_gone:
                stream.client.send_now(make(head))

        upstream = self._upstream.create(_NO_KIND, request, 0)
        upstream.on_head = on_head
        self._upstream.send_cancel(upstream)

    def forget(self, stream: ClientStream, watch_id: int) -> None:
        """Ends a watch whose client wants no answer to that."""
        watch = stream.watches.get(watch_id)
        if watch is not None:
            self._drop(watch)

    def request_progress(self, stream: ClientStream) -> None:
        """Does a WatchProgressRequest: answered when the member says how far everything is; a stream without watches is
        not answered."""
        if stream.watches and len(stream.questions) < limits.PROXY_WATCH_REQUESTS:
            self._progress.ask(stream)

    def ask_again(self) -> None:
        """To be called every second or so: a member may have dropped a question of progress."""
        self._progress.ask_again(self._streams)

    def drained(self, stream: ClientStream) -> None:
        """A client reads on: its parked watches begin again behind what it was sent."""
        if stream.client.unsent_bytes > limits.WATCH_STREAM_UNSENT_BYTES:
            return
        parked, stream.parked = stream.parked, {}
        for watch in parked:
            watch.is_silent = True
            self._begin(watch, watch.floor + 1)
        if stream.is_progress_asked:
            self._progress.ask(stream)

    # --- The member --------------------------------------------------------------------------------------------

    def on_response(self, data: bytes) -> None:
        """A WatchResponse has come. Raises `DecodeError` when it is none, and what `on_message` raises."""
        message = etcdserverpb.WatchResponse.FromString(data)
        if self._on_message is not None:
            self._on_message(message)
        response = Response(message)
        if message.created:
            self._on_created(message, response)
        elif message.watch_id == NO_WATCH and not message.canceled:
            self._progress.on_answer(response, list(self._streams))
        elif message.canceled and (upstream := self._upstream.ending.pop(message.watch_id, None)) is not None:
            self._on_asked_cancel(upstream, response)
        elif (upstream := self._upstream.by_id.get(message.watch_id)) is not None:
            if message.canceled:
                self._on_canceled(upstream, response)
            else:
                self._on_events(upstream, response, is_whole=not message.fragment)
        if self._addressed:
            self._send_all()

    def lost(self, error: RpcError) -> None:
        """The upstream stream is over: so are the clients', who begin again wherever they get a connection."""
        streams, self._streams = self._streams, {}
        for stream in streams:
            stream.is_gone = True
            stream.watches.clear()
            stream.client.end(error)

    def _on_created(self, message: Any, response: Response) -> None:
        upstream = self._upstream.take_created(message.watch_id, message.canceled)
        if upstream is None:
            return
        if upstream.on_head is not None:
            self._upstream.forget(upstream)
            upstream.on_head(response.head)
            return
        watch = next(iter(upstream.members), None)
        if message.canceled:
            self._upstream.forget(upstream)
            if watch is not None:
                self._end(watch, response.addressed(message.watch_id if message.watch_id < 0 else watch.watch_id))
        else:
            upstream.is_created = True
            upstream.position = response.revision
            if watch is None:
                self._upstream.cancel(upstream)  # its client has gone meanwhile
            else:
                self._place(upstream, watch, response)
        self._upstream.forget_recent(upstream.kind)

    def _place(self, upstream: UpstreamWatch, watch: ClientWatch, response: Response) -> None:
        start = watch.floor + 1 if watch.is_silent else watch.request.start_revision
        if not watch.is_silent:
            watch.stream.client.send_now(response.addressed(watch.watch_id))
            watch.floor = start - 1 if start else response.revision
        watch.is_silent = False
        watch.is_confirmed = True
        if watch.is_cancel_asked:
            upstream.canceled_for = watch.stream, watch.watch_id
            self._drop(watch)
            return
        group = self._upstream.groups.get(upstream.kind)
        if start and start != response.revision + 1:
            upstream.position = start - 1  # it has brought nothing yet of what is older than its creation
            self._upstream.alone.setdefault(upstream.kind, {})[upstream] = None
            if start > response.revision + 1 and self.on_future is not None:
                self.on_future(watch.stream)
        elif group is None:
            self._upstream.groups[upstream.kind] = upstream
        else:
            self._join(watch, upstream, group)

    def _join(self, watch: ClientWatch, upstream: UpstreamWatch, group: UpstreamWatch) -> None:
        upstream.drop_all()
        self._upstream.cancel(upstream)
        group.take(watch)
        watch.upstream = group
        for response in group.recent:
            self._hand(watch, response)

    def _on_events(self, upstream: UpstreamWatch, response: Response, is_whole: bool) -> None:
        if not response.newest:
            upstream.position = max(upstream.position, response.revision)
            for watch in upstream.members:  # a notification of progress
                if watch.floor <= response.revision:
                    watch.stream.client.send_now(response.addressed(watch.watch_id))
            return
        kind = upstream.kind
        is_group = self._upstream.groups.get(kind) is upstream
        if is_group and self._upstream.is_awaited(kind):
            upstream.recent.append(response)
        for ride in upstream.rides():
            if not is_whole or not self._hand_to_all(ride, response):
                for watch in ride.watches:
                    self._hand(watch, response, is_whole)
        if is_whole:
            upstream.position = response.newest
            self._meet(kind)

    def _hand_to_all(self, ride: Ride, response: Response) -> bool:
        """The hot path: to all watches of one client in one piece. False, with nothing done, where one of them is a
        case of its own."""
        stream, watches = ride.stream, ride.watches
        oldest, newest = response.oldest, response.newest
        size_bytes = (len(response.head) + _ID_FIELD_BYTES + len(response.rest)) * len(watches)
        if stream.outgoing or any(watch.floor >= oldest or watch.is_within for watch in watches):
            return False
        stream.room = limits.WATCH_STREAM_UNSENT_BYTES - stream.client.unsent_bytes
        if size_bytes > stream.room:
            return False
        for ids in ride.ids:
            stream.outgoing.append(frames_around(response.head, ids, response.rest))
        stream.outgoing_count = len(watches)
        stream.room -= size_bytes
        self._addressed.append(stream)
        for watch in watches:
            watch.floor = newest
        return True

    def _hand(self, watch: ClientWatch, response: Response, is_whole: bool = True) -> None:
        """To one client, unless it does not read. It is sent with what else this response has for that client."""
        stream = watch.stream
        if not stream.outgoing or stream.room < 0:
            stream.send_outgoing()  # what is gathered shows as unsent only then
            stream.room = limits.WATCH_STREAM_UNSENT_BYTES - stream.client.unsent_bytes
        if stream.room < 0 and not watch.is_within:
            self._park(watch)
            return
        watch.is_within = not is_whole
        message = response.addressed_above(watch.watch_id, watch.floor)
        if message:
            if not stream.outgoing:
                self._addressed.append(stream)
            stream.outgoing.append(frame(message))
            stream.outgoing_count += 1
            stream.room -= len(message)
            if is_whole and response.newest > watch.floor:
                watch.floor = response.newest

    def _send_all(self) -> None:
        addressed, self._addressed = self._addressed, []
        for stream in addressed:
            stream.send_outgoing()

    def _park(self, watch: ClientWatch) -> None:
        self._leave(watch)
        watch.stream.parked[watch] = None

    def _meet(self, kind: Kind) -> None:
        """Who is on its own, and has come to where the group is, joins it."""
        group, alone = self._upstream.groups.get(kind), self._upstream.alone.get(kind)
        if group is None or not alone:
            return
        for upstream in [one for one in alone if one.position == group.position]:
            for watch in list(upstream.members):
                upstream.drop(watch)
                group.take(watch)
                watch.upstream = group
            self._upstream.cancel(upstream)

    def _on_canceled(self, upstream: UpstreamWatch, response: Response) -> None:
        self._upstream.forget(upstream)
        for watch in list(upstream.members):
            self._end(watch, response.addressed(watch.watch_id), is_id_free=not response.is_compacted)

    def _on_asked_cancel(self, upstream: UpstreamWatch, response: Response) -> None:
        assert upstream.canceled_for is not None, "somebody asked"
        stream, watch_id = upstream.canceled_for
        if not stream.is_gone:
            stream.client.send_now(response.head + id_field(watch_id) + CANCELED)

    def _end(self, watch: ClientWatch, message: bytes, is_id_free: bool = True) -> None:
        """The member has ended it. Of one whose past was compacted the id stays taken until its client cancels it, as
        in etcd."""
        watch.upstream = None
        watch.is_confirmed, watch.is_ended = False, True
        if is_id_free:
            watch.stream.watches.pop(watch.watch_id, None)
        watch.stream.client.send_now(message)

    # --- Upstream watches ----------------------------------------------------------------------------------------

    def _begin(self, watch: ClientWatch, start_revision: int) -> None:
        upstream = self._upstream.create(watch.kind, watch.request, start_revision)
        upstream.take(watch)
        watch.upstream = upstream

    def _drop(self, watch: ClientWatch) -> None:
        del watch.stream.watches[watch.watch_id]
        watch.stream.parked.pop(watch, None)
        self._leave(watch)

    def _leave(self, watch: ClientWatch) -> None:
        """The upstream watch goes with the last who rides on it."""
        upstream, watch.upstream = watch.upstream, None
        if upstream is None:
            return
        upstream.drop(watch)
        if not upstream.members and upstream.is_created:
            self._upstream.cancel(upstream)


def _kind_of(request: Any) -> Kind:
    kind = etcdserverpb.WatchCreateRequest()
    kind.CopyFrom(request)
    kind.ClearField("watch_id")
    kind.ClearField("start_revision")
    filters: Iterable[int] = sorted(set(request.filters))
    del kind.filters[:]
    kind.filters.extend(filters)
    return bytes(kind.SerializeToString(deterministic=True))
