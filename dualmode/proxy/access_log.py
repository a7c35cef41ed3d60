"""Does: one line in the log for every call and request that has ended, whatever answered it.

It stands around the mux, and around the link of every call it gives away: who serves a call sends what it has to say
through that link, and the line is made of what passes. Never of bodies, tokens or header values, nor of what stands
behind the question mark of a path. Without `--access-log` none of this is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dualmode import limits, log
from dualmode.edge.mux import is_grpc
from dualmode.errors import Code
from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import Link, Mux, PeerIdentity, Route, Sink

_log = log.get("access")

#: How a call has ended, where it was not with an answer.
CLIENT_LEFT = "the client gave up or went away"
RESET = "reset by the proxy"
FAULT = "a fault of the proxy"


class LoggedMux:
    """A mux whose routes are logged. `now` is the clock, in seconds."""

    def __init__(self, mux: Mux, now: Callable[[], float]) -> None:
        self._mux = mux
        self._now = now

    def resolve(self, head: RequestHead, peer: PeerIdentity) -> Route:
        """See routing.Mux."""
        return _LoggedRoute(self._mux.resolve(head, peer), self._now)


class _LoggedRoute:
    """The route that was found, and a line when it has done its work."""

    def __init__(self, route: Route, now: Callable[[], float]) -> None:
        self._route = route
        self._now = now
        self.body_limit = route.body_limit

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        call = _LoggedCall(link, head, self._now, len(body))
        try:
            call.sink = self._route.serve(call, stream_id, head, body)
        except Exception:
            call.finish(FAULT)
            raise
        return None if call.sink is None and call.is_over else call

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        self._route.refuse_body(_LoggedCall(link, head, self._now, len(start)), stream_id, head, start)


class _LoggedCall:
    """One call: the Link that its route sends on, and the Sink that its connection feeds."""

    def __init__(self, link: Link, head: RequestHead, now: Callable[[], float], received_bytes: int) -> None:
        self._link = link
        self._head = head
        self._now = now
        self._begun = now()
        self._received_bytes = received_bytes
        self._sent_bytes = 0
        self._http_status = b""
        self._grpc_status = b""
        self.peer = link.peer
        self.sink: Sink | None = None
        self.is_over = False

    def finish(self, fault: str = "") -> None:
        """Writes the line, once. `fault` is how it ended, when not with an answer."""
        if self.is_over:
            return
        self.is_over = True
        fields: dict[str, Any] = {"status": int(self._http_status or 0)}
        if is_grpc(self._head):
            fields = {"code": "" if fault else _code_name(self._grpc_status)}
        if fault:
            fields["fault"] = fault
        endpoint = getattr(self.sink, "endpoint", None)  # the sinks of what is forwarded know
        _log.info(
            "call",
            client=self.peer.address,
            protocol=f"HTTP/{self._head.version.decode('ascii')}",
            tls=self.peer.is_tls,
            method=_text(self._head.method),
            path=_text(self._head.path.partition(b"?")[0]),
            **fields,
            duration_ms=round((self._now() - self._begun) * 1000, 3),
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
            endpoint=str(endpoint or ""),
        )

    def _note(self, fields: Fields | None) -> None:
        if fields is not None:
            self._http_status = fields.get(b":status") or self._http_status
            self._grpc_status = fields.get(b"grpc-status") or self._grpc_status

    # --- The Link of the route -------------------------------------------------------------------------------

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._link.respond(stream_id, head, body, trailers)
        self._note(head)
        self._note(trailers)
        self._sent_bytes += len(body)
        self.finish()

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See routing.Link."""
        self._link.start_response(stream_id, head)
        self._note(head)

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """See routing.Link."""
        self._link.send_data(stream_id, data, end)
        self._sent_bytes += len(data)
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

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """See routing.Link."""
        self._link.acknowledge(stream_id, flow_bytes)

    def unsent_bytes(self, stream_id: int) -> int:
        """See routing.Link."""
        return self._link.unsent_bytes(stream_id)

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See routing.Link."""
        self._link.spawn(function, *args)

    # --- The Sink of the connection --------------------------------------------------------------------------

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        self._received_bytes += len(data)
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


def _code_name(status: bytes) -> str:
    """`OK`, `NOT_FOUND` ...; a member's own number as it is."""
    text = _text(status)
    known = text.isdigit() and len(text) < 3 and int(text) in Code.__members__.values()
    return Code(int(text)).name if known else text


def _text(data: bytes) -> str:
    """What a client has sent, as far as it is printed: it may be long, and hold anything."""
    return ascii(data[: limits.ACCESS_LOG_PATH_BYTES].decode("latin-1"))[1:-1]
