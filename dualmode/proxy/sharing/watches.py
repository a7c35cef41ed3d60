"""Decides: what is known of a watch: of a client's, of its stream, and of the one at the member that it rides on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from dualmode.errors import RpcError
from dualmode.proxy.sharing.responses import Response, id_field
from dualmode.rpc.framing import by_length

#: What makes two watches the same: range, filters, prev_kv, fragment, progress_notify.
Kind = bytes


class Client(Protocol):
    """One client's stream (`rpc.calls.ServerStream`, as far as it is needed)."""

    def send_now(self, message: bytes) -> None: ...

    def send_frames(self, data: bytes, count: int) -> None: ...

    def end(self, error: RpcError | None = None) -> None: ...

    @property
    def unsent_bytes(self) -> int: ...


class ClientWatch:
    """One watch of one client."""

    __slots__ = (
        "floor",
        "is_cancel_asked",
        "is_confirmed",
        "is_ended",
        "is_silent",
        "is_within",
        "kind",
        "request",
        "stream",
        "upstream",
        "watch_id",
    )

    def __init__(self, stream: ClientStream, watch_id: int, kind: Kind, request: Any) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.kind = kind
        #: The WatchCreateRequest as the client sent it.
        self.request = request
        #: Hears of events above this revision only.
        self.floor = 0
        self.upstream: UpstreamWatch | None = None
        #: Its client was told that it is made; the member has ended it.
        self.is_confirmed = self.is_ended = False
        #: Canceled by its client before the member has confirmed it.
        self.is_cancel_asked = False
        #: Begun again for a client that has read on: it was told of its creation long ago.
        self.is_silent = False
        #: Was sent a part of a response that came in fragments: the rest has to follow.
        self.is_within = False


class ClientStream:
    """One client's stream with its watches."""

    __slots__ = (
        "client",
        "is_gone",
        "is_progress_asked",
        "next_id",
        "outgoing",
        "outgoing_count",
        "parked",
        "questions",
        "room",
        "watches",
    )

    def __init__(self, client: Client) -> None:
        self.client = client
        self.is_gone = False
        #: What one response of the member has for it, framed, to be sent as one; how many messages; and how much
        #: more may be added.
        self.outgoing: list[bytes] = []
        self.outgoing_count = 0
        self.room = 0
        self.watches: dict[int, ClientWatch] = {}
        self.parked: dict[ClientWatch, None] = {}
        self.next_id = 0
        #: Its questions of progress on their way, by number; and whether one waits until it reads on.
        self.questions: deque[int] = deque()
        self.is_progress_asked = False

    def send_outgoing(self) -> None:
        """Sends what was gathered."""
        if self.outgoing:
            outgoing, self.outgoing = self.outgoing, []
            count, self.outgoing_count = self.outgoing_count, 0
            self.client.send_frames(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing), count)

    def free_id(self) -> int:
        """The next id that no watch of this stream has."""
        while self.next_id in self.watches:
            self.next_id += 1
        self.next_id += 1
        return self.next_id - 1


class Ride:
    """The watches of one client on one upstream watch: they hear the same under different ids."""

    __slots__ = ("ids", "stream", "watches")

    def __init__(self, stream: ClientStream, watches: list[ClientWatch]) -> None:
        self.stream = stream
        self.watches = watches
        #: Their id fields, those of one length together.
        self.ids = by_length(id_field(watch.watch_id) for watch in watches)


class UpstreamWatch:
    """One watch at the member, and who rides on it."""

    __slots__ = ("_rides", "canceled_for", "id", "is_created", "kind", "members", "on_head", "position", "recent")

    def __init__(self, number: int, kind: Kind) -> None:
        self.id = number
        #: Of one that is made only to hear the revision of now: takes the header.
        self.on_head: Callable[[bytes], None] | None = None
        #: Whose cancel ends it: that client hears what the member says to it.
        self.canceled_for: tuple[ClientStream, int] | None = None
        self.kind = kind
        self.members: dict[ClientWatch, None] = {}
        self._rides: list[Ride] | None = None
        self.is_created = False
        #: Everything up to here has been brought, as far as that can be told from what was brought.
        self.position = 0
        #: What a group has brought while somebody was about to join.
        self.recent: list[Response] = []

    def take(self, watch: ClientWatch) -> None:
        """It rides on this one from now on."""
        self.members[watch] = None
        self._rides = None

    def drop(self, watch: ClientWatch) -> None:
        """It does no more; may be called for one that does not."""
        self.members.pop(watch, None)
        self._rides = None

    def drop_all(self) -> None:
        """Nobody does."""
        self.members.clear()
        self._rides = None

    def rides(self) -> list[Ride]:
        """Who rides on it, by client. What is given stays as it is, whoever leaves meanwhile."""
        if self._rides is None:
            by_client: dict[ClientStream, list[ClientWatch]] = {}
            for watch in self.members:
                by_client.setdefault(watch.stream, []).append(watch)
            self._rides = [Ride(stream, watches) for stream, watches in by_client.items()]
        return self._rides
