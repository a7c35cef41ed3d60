"""Decides: a WebSocket (RFC 6455) in front of a route of the JSON gateway, so that pages in browsers can watch.

An upgrade of a gateway path becomes one POST: each message that comes is the next object of its body, each line of the
answer is a text message. The socket closes with the answer, and closing the socket cancels the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from dualmode import limits
from dualmode.http.interface import STREAMED, ErrorCode, Fields, Pairs, RequestHead
from dualmode.http.routing import Link, PeerIdentity, Route, Sink
from dualmode.rpc.websocket_handshake import BAD_HANDSHAKE, accepted, as_post, is_whole

_KEY: Final = b"sec-websocket-key"


class WebSocketRoute:
    """The Route of upgrade requests to the path of another one."""

    body_limit = STREAMED

    def __init__(self, route: Route) -> None:
        self._route = route

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if not is_whole(head):
            link.respond(stream_id, *BAD_HANDSHAKE)
            return None
        key = head.get(_KEY) or b""
        link.start_response(stream_id, accepted(head, generate_accept_token(key)))
        return WebSocket(link, stream_id, as_post(head), self._route).begin()

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route. Never called: the body is streamed."""
        link.respond(stream_id, *BAD_HANDSHAKE)


class WebSocket:
    """The Sink of what the client sends, and the Link of the route behind: frames on one side, JSON on the other."""

    def __init__(self, link: Link, stream_id: int, head: RequestHead, route: Route) -> None:
        self.peer: PeerIdentity = link.peer
        self._link = link
        self._stream_id = stream_id
        self._head = head
        self._route = route
        self._frames = Connection(ConnectionType.SERVER)
        self._message_limit = limits.WEBSOCKET_MESSAGE_BYTES if route.body_limit == STREAMED else route.body_limit
        #: The sink of the call behind; None before it begins and after it ends.
        self._sink: Sink | None = None
        self._has_called = False
        self._is_over = False
        self._pieces: list[bytes] = []
        self._piece_bytes = 0
        #: Bytes of messages that the call has not taken yet, and bytes of the wire not credited to the client yet.
        self._held_bytes = 0
        self._owed_bytes = 0

    def begin(self) -> Sink | None:
        """Starts a call that does not wait for its first message."""
        if self._route.body_limit == STREAMED or self._route.body_limit == 0:
            self._call(b"")
        return None if self._is_over else self

    def _call(self, body: bytes) -> None:
        self._has_called = True
        sink = self._route.serve(self, self._stream_id, self._head, body)
        if not self._is_over:
            self._sink = sink

    # --- routing.Sink ----------------------------------------------------------------------------------------

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink. Frames in any cut."""
        self._owed_bytes += flow_bytes
        if self._is_over:
            return
        try:
            self._frames.receive_data(data)
            for event in self._frames.events():
                if not self._handle(event):
                    return
        except RemoteProtocolError as error:
            hint = error.event_hint
            self._close(hint.code if isinstance(hint, CloseConnection) else CloseReason.PROTOCOL_ERROR)
            return
        self._credit()

    def _handle(self, event: Event) -> bool:
        """Whether there is anybody left for the next one."""
        if isinstance(event, Message):
            self._take(event)
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._close(event.code)
        return not self._is_over

    def _take(self, event: Message[Any]) -> None:
        """A piece of a message; etcd takes binary ones for text as well."""
        data = event.data
        piece = data.encode() if isinstance(data, str) else bytes(data)
        self._piece_bytes += len(piece)
        if self._piece_bytes > self._message_limit:
            self._close(CloseReason.MESSAGE_TOO_BIG)
            return
        if piece:
            self._pieces.append(piece)
        if not event.message_finished:
            return
        message = b"".join(self._pieces)
        self._pieces.clear()
        self._piece_bytes = 0
        if self._route.body_limit == STREAMED:
            if self._sink is not None:
                self._held_bytes += len(message)
                self._sink.on_data(message, len(message))
        elif not self._has_called:  # one request is all that a unary call takes
            self._call(message)

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink. The end of the upgrade request's body, which has none."""

    def on_drained(self) -> None:
        """See routing.Sink."""
        self._credit()
        if self._sink is not None:
            self._sink.on_drained()

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink. The connection is gone."""
        self._is_over = True
        self._end_call(error_code)

    # --- routing.Link ----------------------------------------------------------------------------------------

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link. The status stays here: an answer that is an error says so itself."""
        self._say(body)
        self._sink = None
        self._close(CloseReason.NORMAL_CLOSURE)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See routing.Link."""

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """See routing.Link. Whole lines."""
        self._say(data)
        if end:
            self.end_stream(stream_id)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._sink = None
        self._close(CloseReason.NORMAL_CLOSURE)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """See routing.Link. A call that failed by a fault of ours."""
        self._sink = None
        self._close(CloseReason.INTERNAL_ERROR)

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """See routing.Link."""
        self._held_bytes -= flow_bytes
        self._credit()

    def unsent_bytes(self, stream_id: int) -> int:
        """See routing.Link."""
        return self._link.unsent_bytes(self._stream_id)

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See routing.Link."""
        self._link.spawn(function, *args)

    # --- Inside ----------------------------------------------------------------------------------------------

    def _say(self, body: bytes) -> None:
        for line in body.split(b"\n"):
            if line:
                self._send(TextMessage(data=line.decode()))

    def _send(self, event: Event) -> None:
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING) and not self._is_over:
            self._link.send_data(self._stream_id, self._frames.send(event))

    def _credit(self) -> None:
        """Lets the client send on, unless the call does not read, or the client does not (it may ask for any number of
        pongs)."""
        if self._held_bytes > limits.WEBSOCKET_HELD_BYTES or self.unsent_bytes(0) > limits.STREAM_UNSENT_BYTES:
            return
        owed, self._owed_bytes = self._owed_bytes, 0
        if owed:
            self._link.acknowledge(self._stream_id, owed)

    def _close(self, code: int) -> None:
        """Says goodbye, or answers the client's, and ends the connection; a call that is under way is cancelled."""
        if self._is_over:
            return
        try:
            self._send(CloseConnection(code=code))
        except LocalProtocolError:  # a code that has no place in a frame: the client's goodbye had none either
            self._send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))
        self._is_over = True
        self._end_call(ErrorCode.CANCEL)
        self._link.end_stream(self._stream_id)

    def _end_call(self, error_code: int) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.on_reset(error_code)
