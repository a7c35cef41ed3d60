"""Decides: the words an HTTP connection and its driver exchange; every engine (native, h2, HTTP/1.1) speaks them.

A connection is sans-I/O: `receive(data, now)` takes bytes from the wire and gives events; the calls that answer put
bytes into an output that `take_output()` hands over. Nothing here knows sockets, tasks or clocks.

Two ways for a request body, decided per request by the driver's `Classifier` at the moment its headers are complete:

* whole: the connection gathers the body (up to a limit, crediting flow control by itself) and gives one
  `RequestReceived`. This is the hot path: a unary call is one event.
* streamed: `RequestStarted`, then `DataReceived` as it comes (credited by `acknowledge`), then `StreamEnded`.

A proxy wants the best of both: what is here as a whole should cost one event, and what comes slowly should pass as it
comes. `WHOLE_OR_STREAMED` is that for requests, `Http2Options.gathers_responses` for answers.

HTTP/1.1 has no streams; its adapter numbers the requests of a connection 1, 3, 5 ... and speaks the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

Pairs = tuple[tuple[bytes, bytes], ...]


class ErrorCode(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Fields:
    """A header or trailer list to send, made once and sent often.

    `pairs` are lower-case names and values, pseudo-headers (`:status`, or `:method` ... for requests) first. `block` is
    its HPACK form that touches no dynamic table, filled by the first HTTP/2 connection that sends it: constant bytes,
    the same on every connection.
    """

    __slots__ = ("block", "pairs")

    def __init__(self, *pairs: tuple[bytes, bytes]) -> None:
        self.pairs: Pairs = pairs
        self.block: bytes | None = None

    def plus(self, *pairs: tuple[bytes, bytes]) -> Fields:
        """These fields followed by more."""
        return Fields(*self.pairs, *pairs)

    def get(self, name: bytes) -> bytes | None:
        """The first value under a name."""
        for key, value in self.pairs:
            if key == name:
                return value
        return None


class RequestHead:
    """The head of a request, validated. Equal header blocks of one connection may share one object (native engine),
    so it is immutable but for `route` and `notes`: what the layers above resolved from it, kept beside it.
    """

    __slots__ = ("authority", "fields", "method", "notes", "path", "route", "scheme", "version")

    def __init__(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        fields: Pairs,
        version: bytes = b"2",
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        #: The request target, query included.
        self.path = path
        #: Without pseudo-headers; names in lower case.
        self.fields = fields
        #: b"2", b"1.1" or b"1.0".
        self.version = version
        #: What the mux resolved this head to. Any, because this layer does not know routes.
        self.route: Any = None
        #: What rpc derived from the metadata (deadline text, token, hasleader ...).
        self.notes: Any = None

    def get(self, name: bytes) -> bytes | None:
        """The first value under a lower-case name."""
        for key, value in self.fields:
            if key == name:
                return value
        return None


# --- Events --------------------------------------------------------------------------------------------------
# RequestReceived is on the hot path, hence a plain slotted class; the others are frozen values.


class RequestReceived:
    """A whole request (body gathered by the connection).

    Of a request that is WHOLE_OR_STREAMED it is the first event: with the body when the read that brought the head has
    brought all of it, else with b"" in its place, and the body follows in events as of a streamed one.
    """

    __slots__ = ("body", "head", "stream_id")

    def __init__(self, stream_id: int, head: RequestHead, body: bytes) -> None:
        self.stream_id = stream_id
        self.head = head
        self.body = body


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request whose body is streamed. A request without body is followed by StreamEnded at once."""

    stream_id: int
    head: RequestHead


#: How much is kept of a body that is dropped: a gRPC message says its size there.
BODY_START_BYTES = 5


@dataclass(frozen=True, slots=True)
class BodyTooLarge:
    """A gathered body went over its limit. All of it is dropped but its first bytes; the driver answers.

    `start` has BODY_START_BYTES, or fewer where no more have come.
    """

    stream_id: int
    head: RequestHead
    start: bytes


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """Client role: a final response head (1xx are dropped). `fields` has no pseudo-headers."""

    stream_id: int
    status: int
    fields: Pairs


class ResponseReceived:
    """Client role, where responses are gathered: a final response head with everything behind it that came in the same
    read. What comes later follows in the other events."""

    __slots__ = ("data", "fields", "flow_bytes", "status", "stream_id", "trailers")

    def __init__(self, stream_id: int, status: int, fields: Pairs) -> None:
        self.stream_id = stream_id
        self.status = status
        self.fields = fields
        self.data = b""
        self.flow_bytes = 0
        #: None while the server has not ended the stream.
        self.trailers: Pairs | None = None


@dataclass(slots=True)
class DataReceived:
    """Body bytes of a streamed request or a response. `flow_bytes` (padding included) is what `acknowledge` takes. Not
    frozen: one is made for every message of a stream, and it may grow before anybody sees it."""

    stream_id: int
    data: bytes
    flow_bytes: int


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer has said all it wants to say on this stream."""

    stream_id: int
    trailers: Pairs


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone: reset by the peer, or by us because the peer broke the protocol on it, or lost with the
    connection. After it no call on this stream has an effect."""

    stream_id: int
    error_code: int
    by_peer: bool


@dataclass(frozen=True, slots=True)
class StreamDrained:
    """What was queued for this stream has fallen below the low-water mark."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class GoawayReceived:
    """The peer opens or accepts no further streams above `last_stream_id`."""

    last_stream_id: int
    error_code: int
    debug: bytes


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """Nothing more will be read. Send what `take_output` gives, then close. `error` says what the peer did wrong, or
    is empty for an orderly end."""

    error: str
    error_code: int


Event = (
    RequestReceived
    | RequestStarted
    | BodyTooLarge
    | ResponseStarted
    | ResponseReceived
    | DataReceived
    | StreamEnded
    | StreamReset
    | StreamDrained
    | GoawayReceived
    | ConnectionEnded
)

#: Called once per request head; gives the greatest body to gather, in bytes, or one of the two constants below.
#: It may set `head.route`; the connection looks at nothing but the number.
Classifier = Callable[[RequestHead], int]
STREAMED = -1
#: (-2 is used by engines.) Engines that know no better take it for STREAMED.
WHOLE_OR_STREAMED = -3


def streamed_at_most(limit: int) -> int:
    """For engines that know no WHOLE_OR_STREAMED."""
    return STREAMED if limit == WHOLE_OR_STREAMED else limit


class HttpConnection(Protocol):
    """What all engines have in common. One owner drives it; no method blocks or awaits.

    A call on a stream that is gone (reset, finished, never opened) is ignored: the peer may have cancelled while the
    answer was on its way, and that is a normal day.
    """

    def start(self, now: float) -> None:
        """Queues what opens the connection (HTTP/2: preface, SETTINGS). `now` is in seconds on any monotonic clock."""

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes from the peer; b"" says the peer closed its half."""

    def tick(self, now: float) -> list[Event]:
        """Looks at the timers. Called about twice a second."""

    def take_output(self) -> bytes:
        """All bytes to send now; b"" when there are none."""

    def close(self, error_code: int = 0, debug: bytes = b"") -> None:
        """Orderly end: GOAWAY (or `connection: close`); open streams may finish, new ones are refused."""

    @property
    def open_streams(self) -> int:
        """Streams (requests) not yet finished."""

    @property
    def is_finished(self) -> bool:
        """Nothing is in flight and the connection is to be closed once the output is sent."""

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes queued for a stream because of flow control."""

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """The driver has consumed this much of a streamed body; the peer may send as much again."""

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes; queued without bound here, so the driver watches `unsent_bytes` and `StreamDrained`."""

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """Ends our half, after what is queued."""

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Drops the stream now, with what is queued for it."""


class HttpServerConnection(HttpConnection, Protocol):
    """Server role."""

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """A whole response in one call: head (with `:status`), body, trailers or plain end."""

    def start_response(self, stream_id: int, head: Fields) -> None:
        """The head of a response whose body follows with `send_data` and `end_stream`."""


class HttpClientConnection(HttpConnection, Protocol):
    """Client role."""

    def can_open_stream(self) -> bool:
        """False while the peer's limit on concurrent streams is reached, or after GOAWAY."""

    def open_stream(self, head: Fields, body: bytes = b"", end: bool = False) -> int:
        """Sends a request head (pseudo-headers first) and perhaps its body; gives the stream's number."""
