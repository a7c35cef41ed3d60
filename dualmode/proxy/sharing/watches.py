"""Decides: what is known of a watch: of a client's, of its stream, and of the one at the member that it rides on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dualmode.errors import RpcError
from dualmode.proxy.sharing.responses import Response

#: What makes two watches the same: range, filters, prev_kv, fragment, progress_notify.
Kind = bytes


class Client(Protocol):
    """One client's stream (`rpc.calls.ServerStream`, as far as it is needed)."""

    def send_now(self, message: bytes) -> None: ...

    def send_many(self, messages: Sequence[bytes]) -> None: ...

    def end(self, error: RpcError | None = None) -> None: ...

    @property
    def unsent_bytes(self) -> int: ...


class ClientWatch:
    """One watch of one client."""

    __slots__ = (
        "floor",
        "is_cancel_asked",
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
        #: Canceled by its client before the member has confirmed it.
        self.is_cancel_asked = False
        #: Begun again for a client that has read on: it was told of its creation long ago.
        self.is_silent = False
        #: Was sent a part of a response that came in fragments: the rest has to follow.
        self.is_within = False


class ClientStream:
    """One client's stream with its watches."""

    __slots__ = ("client", "is_progress_asked", "next_id", "outgoing", "parked", "room", "watches")

    def __init__(self, client: Client) -> None:
        self.client = client
        #: What one response of the member has for it, to be sent as one; and how much more may be added.
        self.outgoing: list[bytes] = []
        self.room = 0
        self.watches: dict[int, ClientWatch] = {}
        self.parked: dict[ClientWatch, None] = {}
        self.next_id = 0
        self.is_progress_asked = False

    def send_outgoing(self) -> None:
        """Sends what was gathered."""
        if self.outgoing:
            outgoing, self.outgoing = self.outgoing, []
            self.client.send_many(outgoing)

    def free_id(self) -> int:
        """The next id that no watch of this stream has."""
        while self.next_id in self.watches:
            self.next_id += 1
        self.next_id += 1
        return self.next_id - 1


class UpstreamWatch:
    """One watch at the member, and who rides on it."""

    __slots__ = ("canceled_for", "id", "is_created", "kind", "members", "on_head", "position", "recent")

    def __init__(self, number: int, kind: Kind) -> None:
        self.id = number
        #: Of one that is made only to hear the revision of now: takes the header.
        self.on_head: Callable[[bytes], None] | None = None
        #: Whose cancel ends it: that client hears what the member says to it.
        self.canceled_for: tuple[ClientStream, int] | None = None
        self.kind = kind
        self.members: dict[ClientWatch, None] = {}
        self.is_created = False
        #: Everything up to here has been brought, as far as that can be told from what was brought.
        self.position = 0
        #: What a group has brought while somebody was about to join.
        self.recent: list[Response] = []
