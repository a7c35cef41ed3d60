"""Decides: what stands between a connection loop and those who answer: Link, Route and Sink.

The edge drives connections and implements `Link`; rpc, status and proxy implement `Route` and `Sink`. A route answers
inline (hot path: no task), parks the call and answers later, or starts a task with `Link.spawn`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dualmode.http.interface import Fields, Pairs, RequestHead


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who is at the other end: address as text, over TLS or not, and the subject CN of a verified certificate."""

    address: str
    is_tls: bool
    common_name: str | None = None


class Sink(Protocol):
    """Takes what arrives on one streamed request. Called by the connection loop; must not block."""

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """Body bytes; call `Link.acknowledge` when they are consumed."""

    def on_end(self, trailers: Pairs) -> None:
        """The client has half-closed."""

    def on_reset(self, error_code: int) -> None:
        """The stream is gone, or the connection with it. The last call."""

    def on_drained(self) -> None:
        """Unsent bytes of this stream fell below the low-water mark."""


class Link(Protocol):
    """One connection as routes see it. All sending calls are ignored on streams that are gone.

    What is sent from within `Route.serve` or a `Sink` call leaves in one write when the loop has handled the whole
    read; sent from elsewhere (apply, a task), it leaves at the next `Outbox.flush` or at the end of the scheduler turn.
    """

    peer: PeerIdentity

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None: ...

    def start_response(self, stream_id: int, head: Fields) -> None: ...

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None: ...

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None: ...

    def reset_stream(self, stream_id: int, error_code: int) -> None: ...

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None: ...

    def unsent_bytes(self, stream_id: int) -> int: ...

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Runs a task that lives no longer than the connection; its exceptions end the stream, never the server."""


class Route(Protocol):
    """Where a request goes."""

    #: Greatest body to gather, in bytes; `STREAMED` to get it piece by piece.
    body_limit: int

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """Answers, or takes over. For a streamed body it is called at the head, with b"", and gives the Sink for
        the rest; a Sink given for a whole request hears of `on_reset` and `on_drained` only."""

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """The body went over `body_limit`: answer so. `start` is as in `BodyTooLarge`."""


class Mux(Protocol):
    """Finds the route of a head; always finds one (a 404 is a route). Pure: same head, same route."""

    def resolve(self, head: RequestHead, peer: PeerIdentity) -> Route: ...


class LinkAround:
    """A Link that passes everything on to another one: the base of those that look at, or add to, a part of it."""

    __slots__ = ("_link", "peer")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.peer = link.peer

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See Link."""
        self._link.respond(stream_id, head, body, trailers)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See Link."""
        self._link.start_response(stream_id, head)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """See Link."""
        self._link.send_data(stream_id, data, end)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """See Link."""
        self._link.end_stream(stream_id, trailers)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """See Link."""
        self._link.reset_stream(stream_id, error_code)

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """See Link."""
        self._link.acknowledge(stream_id, flow_bytes)

    def unsent_bytes(self, stream_id: int) -> int:
        """See Link."""
        return self._link.unsent_bytes(stream_id)

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See Link."""
        self._link.spawn(function, *args)
