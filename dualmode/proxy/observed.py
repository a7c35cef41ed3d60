"""Does: tells of every call and request that has ended, whatever answered it: to the access log, to the metrics.

It stands around the mux, and around the link of every call it gives away: who serves a call sends what it has to say
through that link, and what is told is made of what passes. Where nobody asks for it none of this is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import Link, LinkAround, Mux, PeerIdentity, Route, Sink

#: How a call has ended, where it was not with an answer.
CLIENT_LEFT = "the client gave up or went away"
RESET = "reset by the proxy"
FAULT = "a fault of the proxy"

#: Called once for each call, when it has ended.
Observer = Callable[["ObservedCall"], None]


class ObservedMux:
    """A mux whose calls are told of when they have ended. `now` is the clock, in seconds."""

    def __init__(self, mux: Mux, now: Callable[[], float], observers: Sequence[Observer]) -> None:
        self._mux = mux
        self._now = now
        self._observers = observers

    def resolve(self, head: RequestHead, peer: PeerIdentity) -> Route:
        """See routing.Mux."""
        return _ObservedRoute(self._mux.resolve(head, peer), self._now, self._observers)


class _ObservedRoute:
    """The route that was found, and word of it when it has done its work."""

    def __init__(self, route: Route, now: Callable[[], float], observers: Sequence[Observer]) -> None:
        self._route = route
        self._now = now
        self._observers = observers
        self.body_limit = route.body_limit

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        call = ObservedCall(link, head, self._now, self._observers, len(body))
        try:
            call.sink = self._route.serve(call, stream_id, head, body)
        except Exception:
            call.finish(FAULT)
            raise
        return None if call.sink is None and call.is_over else call

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        call = ObservedCall(link, head, self._now, self._observers, len(start))
        self._route.refuse_body(call, stream_id, head, start)


class ObservedCall(LinkAround):
    """One call: the Link that its route sends on, and the Sink that its connection feeds. Observers read it."""

    def __init__(
        self,
        link: Link,
        head: RequestHead,
        now: Callable[[], float],
        observers: Sequence[Observer],
        received_bytes: int,
    ) -> None:
        super().__init__(link)
        self.head = head
        self._now = now
        self._observers = observers
        self._begun = now()
        self.received_bytes = received_bytes
        self.sent_bytes = 0
        self.http_status = b""
        self.grpc_status = b""
        #: How it ended, where it was not with an answer.
        self.fault = ""
        self.duration_seconds = 0.0
        self.sink: Sink | None = None
        self.is_over = False

    @property
    def endpoint(self) -> str:
        """Where it was forwarded to; the sinks of what is forwarded know."""
        return str(getattr(self.sink, "endpoint", None) or "")

    def finish(self, fault: str = "") -> None:
        """Tells of it, once. `fault` is how it ended, when not with an answer."""
        if self.is_over:
            return
        self.is_over = True
        self.fault = fault
        self.duration_seconds = self._now() - self._begun
        for observe in self._observers:
            observe(self)

    def _note(self, fields: Fields | None) -> None:
        if fields is not None:
            self.http_status = fields.get(b":status") or self.http_status
            self.grpc_status = fields.get(b"grpc-status") or self.grpc_status

    # --- The Link of the route -------------------------------------------------------------------------------

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._link.respond(stream_id, head, body, trailers)
        self._note(head)
        self._note(trailers)
        self.sent_bytes += len(body)
        self.finish()

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See routing.Link."""
        self._link.start_response(stream_id, head)
        self._note(head)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """See routing.Link."""
        self._link.send_data(stream_id, data, end)
        self.sent_bytes += len(data)
        if end:
            self.finish()

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._link.end_stream(stream_id, trailers)
        self._note(trailers)
        self.finish()

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """See routing.Link."""
        self._link.reset_stream(stream_id, error_code)
        self.finish(RESET)

    # --- The Sink of the connection --------------------------------------------------------------------------

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        self.received_bytes += len(data)
        assert self.sink is not None, "who takes a body in pieces has given a sink"
        self.sink.on_data(data, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink."""
        if self.sink is not None:
            self.sink.on_end(trailers)

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        if self.sink is not None:
            self.sink.on_reset(error_code)
        self.finish(CLIENT_LEFT)

    def on_drained(self) -> None:
        """See routing.Sink."""
        if self.sink is not None:
            self.sink.on_drained()
