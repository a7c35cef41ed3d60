"""Decides: a server's HTTP/1.1 connection, on h11, in the words of `interface.py`.

HTTP/1.1 has no streams, so the requests of a connection are numbered 1, 3, 5 ... and one is served at a time: while it
is, pipelined requests wait as bytes (`has_more` tells when one of them can be read; `tick` reads it too). Each exchange
gets an h11 connection of its own: h11 sees exactly one request, so where a message ends is decided once, here.

A `101` response given to `start_response` turns the rest of the connection into the stream: bytes both ways.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import h11

from dualmode import limits
from dualmode.http.h1_exchange import BODILESS, Exchange, may_be_chunked, with_length
from dualmode.http.h1_known_heads import KnownHead, KnownHeads
from dualmode.http.h1_messages import (
    CHUNKED,
    HEAD_END,
    RefusedRequestError,
    check_head,
    check_partial_head,
    reason,
    refusal,
    request_head,
    status_of,
    written_fields,
    written_head,
)
from dualmode.http.interface import (
    BODY_START_BYTES,
    STREAMED,
    BodyTooLarge,
    Classifier,
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Event,
    Fields,
    Pairs,
    RequestReceived,
    RequestStarted,
    StreamEnded,
    StreamReset,
    streamed_at_most,
)

_NO_FIELDS: Final[Pairs] = ()
#: Lines that may come before a request line (RFC 9112 section 2.2).
_LEADING_LINE_END: Final = b"\r\n"


class Http1ServerConnection:
    """`HttpServerConnection` for HTTP/1.1 and HTTP/1.0. One owner drives it."""

    def __init__(self, classify: Classifier, scheme: bytes = b"http") -> None:
        self._classify = classify
        self._scheme = scheme
        self._input = bytearray()
        #: Up to here `_input` holds no end of a head.
        self._scanned = 0
        self._output: list[bytes] = []
        self._events: list[Event] = []
        self._exchange: Exchange | None = None
        self._next_id = 1
        self._known = KnownHeads()
        self._is_tunnel = False
        self._is_closing = False
        self._is_ended = False
        self._now = 0.0
        #: Since when we wait for a request, or for the rest of its head.
        self._waiting_since = 0.0
        self._is_head_begun = False

    # --- HttpConnection ------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Starts the clocks; a server says nothing first."""
        self._now = self._waiting_since = now

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes from the peer in any cut; b"" says that it has closed its half."""
        if self._is_ended:
            return []
        self._now = now
        if not data:
            self._end("", ErrorCode.NO_ERROR)
            return self._take_events()
        self._input += data
        if self._exchange is None and not self._is_head_begun:
            self._is_head_begun = True
            self._waiting_since = now
        self._advance()
        return self._take_events()

    def tick(self, now: float) -> list[Event]:
        """Timers: a head that does not come, a body that stops, a connection nobody uses. Also reads what `has_more`
        speaks of."""
        if self._is_ended:
            return []
        self._now = now
        exchange = self._exchange
        if exchange is None:
            self._advance()
            if self._exchange is None and not self._is_ended:
                self._check_waiting(now - self._waiting_since)
        elif not exchange.request_done and exchange.body_limit >= 0:
            self._check_body(now - exchange.heard_at)
        return self._take_events()

    def take_output(self) -> bytes:
        """All bytes to send now."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def close(self, error_code: int = 0, debug: bytes = b"") -> None:
        """The request that is being served is the last one."""
        self._is_closing = True

    @property
    def open_streams(self) -> int:
        """1 while a request is being read or served."""
        return 0 if self._exchange is None else 1

    @property
    def is_finished(self) -> bool:
        """Whether only the sending of the output is left to do."""
        return self._is_ended or (self._is_closing and self._exchange is None)

    @property
    def has_more(self) -> bool:
        """Whether an answer has made room for a request that is already here: `tick` then gives its events."""
        return bool(self._input) and self._exchange is None and not self.is_finished

    @property
    def wants_input(self) -> bool:
        """Whether the owner should read on. HTTP/1.1 has no flow control but not reading."""
        exchange = self._exchange
        if exchange is None:
            return True
        return (
            exchange.unacknowledged < limits.HTTP1_UNREAD_BYTES and len(self._input) < limits.HTTP1_PIPELINED_BYTES // 2
        )

    def unsent_bytes(self, stream_id: int) -> int:
        """Nothing is held back here: the socket's queue is the owner's to watch."""
        return 0

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        """The driver has consumed so much of a streamed body."""
        exchange = self._current(stream_id)
        if exchange is not None:
            exchange.unacknowledged -= flow_bytes

    # --- Requests ------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Reads as far as the input and the order of the exchanges allow."""
        try:
            while not self._is_ended and self._step():
                pass
        except RefusedRequestError as error:
            self._refuse(error)
        except h11.RemoteProtocolError as error:
            self._refuse(RefusedRequestError(error.error_status_hint, str(error)))

    def _step(self) -> bool:
        """One head or one stretch of body; False when more input or an answer is needed."""
        exchange = self._exchange
        if exchange is None:
            if self._is_closing:
                return False
            return self._read_head()
        if self._is_tunnel:
            self._read_tunnel(exchange)
            return False
        if not exchange.request_done:
            self._read_body(exchange)
            return exchange.request_done
        if len(self._input) > limits.HTTP1_PIPELINED_BYTES:
            self._end("too much was sent ahead of an answer", ErrorCode.ENHANCE_YOUR_CALM)
        return False

    def _read_head(self) -> bool:
        if self._input[:2] == _LEADING_LINE_END:
            del self._input[:2]
            self._scanned = 0
        if len(self._input) < len(_LEADING_LINE_END):
            return False
        at = self._input.find(HEAD_END, max(0, self._scanned - 3))
        if at < 0 or at > limits.HTTP1_HEADER_BYTES:
            check_partial_head(self._input, self._scanned, limits.HTTP1_HEADER_BYTES)
            self._scanned = len(self._input)
            return False
        head = bytes(self._input[: at + len(HEAD_END)])
        del self._input[: len(head)]
        self._scanned = 0
        self._is_head_begun = False
        self._open_exchange(head)
        return True

    def _open_exchange(self, raw_head: bytes) -> None:
        known = self._known.get(raw_head)
        if known is not None and known.fits(len(self._input)):
            self._open_known(raw_head, known)
            return
        body_bytes = check_head(raw_head)
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP1_HEADER_BYTES)
        parser.receive_data(raw_head)
        request = parser.next_event()
        assert isinstance(request, h11.Request), "a whole head is a request"
        head = request_head(request.method, request.target, tuple(request.headers), request.http_version, self._scheme)
        expectation = head.get(b"expect")
        if expectation is not None and expectation.lower() != b"100-continue":
            raise RefusedRequestError(HTTPStatus.EXPECTATION_FAILED, "unknown expectation")
        exchange = self._exchange = Exchange(self._next_id, parser, head, body_bytes, self._now)
        self._next_id += 2
        exchange.body_limit = streamed_at_most(self._classify(head))
        if exchange.body_limit == STREAMED:
            exchange.is_told = True
            self._events.append(RequestStarted(exchange.stream_id, head))
        elif body_bytes > exchange.body_limit:
            self._refuse_body(exchange, self._input[: min(body_bytes, BODY_START_BYTES)])
            return
        self._known.remember(raw_head, KnownHead(head, exchange.body_limit, body_bytes))
        if parser.they_are_waiting_for_100_continue:
            self._send(exchange, h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))

    def _open_known(self, raw_head: bytes, known: KnownHead) -> None:
        """The hot path: the same head as before, byte for byte, and all of its body is here."""
        head, body_limit, body_bytes = known
        body = bytes(self._input[:body_bytes])
        del self._input[:body_bytes]
        exchange = self._exchange = Exchange(self._next_id, None, head, 0, self._now)
        self._next_id += 2
        exchange.raw = raw_head, body
        exchange.body_limit = body_limit
        exchange.is_told = exchange.request_done = True
        self._events.append(RequestReceived(exchange.stream_id, head, body))

    def _parser_of(self, exchange: Exchange) -> h11.Connection:
        """Made now for a request that came without: it goes through what was left out."""
        if exchange.parser is None:
            parser = exchange.parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP1_HEADER_BYTES)
            for piece in exchange.raw:
                parser.receive_data(piece)
            while not isinstance(parser.next_event(), h11.EndOfMessage):
                pass
        return exchange.parser

    def _read_body(self, exchange: Exchange) -> None:
        """Hands h11 what belongs to this request, as far as that is known, and passes on what it makes of it."""
        parser = self._parser_of(exchange)
        if self._input:
            exchange.heard_at = self._now
            if exchange.remaining_bytes == CHUNKED:
                parser.receive_data(bytes(self._input))
                self._input.clear()
            elif exchange.remaining_bytes:
                piece = bytes(self._input[: exchange.remaining_bytes])
                del self._input[: len(piece)]
                exchange.remaining_bytes -= len(piece)
                parser.receive_data(piece)
        while not self._is_ended:
            event = parser.next_event()
            if isinstance(event, h11.Data):
                self._on_body(exchange, bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._input[:0] = parser.trailing_data[0]
                self._on_request_end(exchange, tuple(event.headers))
                return
            else:
                return

    def _on_body(self, exchange: Exchange, data: bytes) -> None:
        if exchange.body_limit == STREAMED:
            exchange.unacknowledged += len(data)
            if exchange.unacknowledged > limits.HTTP1_UNREAD_BYTES + limits.HTTP1_PIPELINED_BYTES:
                self._end("the body came faster than it was consumed", ErrorCode.ENHANCE_YOUR_CALM)
                return
            self._events.append(DataReceived(exchange.stream_id, data, len(data)))
        elif exchange.body_limit >= 0:
            exchange.body += data
            if len(exchange.body) > exchange.body_limit:
                self._refuse_body(exchange, exchange.body[:BODY_START_BYTES])

    def _refuse_body(self, exchange: Exchange, start: bytearray) -> None:
        """Too large: the driver answers, what still comes is dropped, and the connection ends with the answer."""
        exchange.body = bytearray()
        exchange.body_limit = STREAMED - 1
        exchange.is_told = True
        self._is_closing = True
        self._events.append(BodyTooLarge(exchange.stream_id, exchange.head, bytes(start)))

    def _on_request_end(self, exchange: Exchange, trailers: Pairs) -> None:
        exchange.request_done = True
        if exchange.body_limit >= 0:
            exchange.is_told = True
            body, exchange.body = bytes(exchange.body), bytearray()
            self._events.append(RequestReceived(exchange.stream_id, exchange.head, body))
        elif exchange.body_limit == STREAMED:
            self._events.append(StreamEnded(exchange.stream_id, trailers))

    def _read_tunnel(self, exchange: Exchange) -> None:
        data = bytes(self._input)
        self._input.clear()
        if data:
            exchange.unacknowledged += len(data)
            self._events.append(DataReceived(exchange.stream_id, data, len(data)))

    # --- Answers -------------------------------------------------------------------------------------------------

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """A whole response. Trailers are sent where HTTP/1.1 has a place for them: in a chunked body."""
        exchange = self._current(stream_id)
        if exchange is None:
            return
        if exchange.parser is None and trailers is None and not self._is_closing and self._respond_at_once(head, body):
            return
        if not (trailers is not None and may_be_chunked(exchange, head)) and status_of(head) not in BODILESS:
            head = with_length(head, len(body))
        self.start_response(stream_id, head)
        self.send_data(stream_id, body)
        self.end_stream(stream_id, trailers)

    def _respond_at_once(self, head: Fields, body: bytes) -> bool:
        """The hot path: a whole answer to a plain request. False, with nothing done, where it has more to it."""
        written = written_head(head)
        exchange = self._exchange
        if written is None or exchange is None or exchange.head.method == b"HEAD":
            return False
        self._output.append(b"%bContent-Length: %d\r\n\r\n%b" % (written, len(body), body))
        self._exchange = None
        self._waiting_since = self._now
        self._is_head_begun = bool(self._input)
        return True

    def start_response(self, stream_id: int, head: Fields) -> None:
        """The head of a response whose body follows: chunked, or to the end of the connection for HTTP/1.0."""
        exchange = self._current(stream_id)
        if exchange is None:
            return
        assert not exchange.response_started, "a response has one head"
        exchange.response_started = True
        status = status_of(head)
        fields = written_fields(head)
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._switch(exchange, fields)
            return
        # Some responses end with their head whatever it says (RFC 9112 section 6.3).
        exchange.is_bodiless = exchange.head.method == b"HEAD" or status in BODILESS
        exchange.is_chunked = not exchange.is_bodiless and may_be_chunked(exchange, head)
        if self._is_closing or not exchange.request_done:
            fields.append((b"Connection", b"close"))
        self._send(exchange, h11.Response(status_code=status, headers=fields, reason=reason(status)))

    def _switch(self, exchange: Exchange, fields: list[tuple[bytes, bytes]]) -> None:
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self._output.append(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % lines)
        self._is_tunnel = True
        self._is_closing = True

    def send_data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Body bytes."""
        exchange = self._current(stream_id)
        if exchange is None:
            return
        if self._is_tunnel:
            self._output.append(data)
        elif data and exchange.is_chunked:
            # What h11 would write, whose state does not change with it: streams to peers have thousands of these.
            self._output.append(b"%x\r\n%b\r\n" % (len(data), data))
        elif data and not exchange.is_bodiless:
            self._send(exchange, h11.Data(data=data))
        if end:
            self.end_stream(stream_id)

    def end_stream(self, stream_id: int, trailers: Fields | None = None) -> None:
        """Ends the response, and the connection with it unless both sides let it live."""
        exchange = self._current(stream_id)
        if exchange is None:
            return
        assert exchange.response_started, "an end needs a head"
        self._exchange = None
        if self._is_tunnel:
            return
        fields = [] if trailers is None or not exchange.is_chunked else written_fields(trailers)
        self._send(exchange, h11.EndOfMessage(headers=fields))
        self._waiting_since = self._now
        self._is_head_begun = bool(self._input)
        if self._parser_of(exchange).our_state is not h11.DONE or not exchange.request_done:
            self._is_closing = True

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """HTTP/1.1 can only end the connection; an answer that is incomplete is seen as such by its framing."""
        if self._current(stream_id) is not None:
            self._exchange = None
            self._is_closing = True

    def _current(self, stream_id: int) -> Exchange | None:
        exchange = self._exchange
        return exchange if exchange is not None and exchange.stream_id == stream_id and not self._is_ended else None

    def _send(self, exchange: Exchange, event: h11.Event) -> None:
        output = self._parser_of(exchange).send(event)
        if output:
            self._output.append(output)

    # --- The end -------------------------------------------------------------------------------------------------

    def _check_waiting(self, waited_seconds: float) -> None:
        if self._is_head_begun:
            if waited_seconds >= limits.HEADER_TIMEOUT_SECONDS:
                self._refuse(RefusedRequestError(HTTPStatus.REQUEST_TIMEOUT, "the request head stopped"))
            return
        is_first = self._next_id == 1
        bound_seconds = limits.HEADER_TIMEOUT_SECONDS if is_first else limits.HTTP1_IDLE_TIMEOUT_SECONDS
        if waited_seconds >= bound_seconds:
            self._end("", ErrorCode.NO_ERROR)

    def _check_body(self, silent_seconds: float) -> None:
        if silent_seconds >= limits.HEADER_TIMEOUT_SECONDS:
            self._refuse(RefusedRequestError(HTTPStatus.REQUEST_TIMEOUT, "the request body stopped"))

    def _refuse(self, error: RefusedRequestError) -> None:
        """A request that cannot be served: a short answer if there is still room for one, and the end."""
        exchange = self._exchange
        if exchange is None or not exchange.response_started:
            self._output.append(refusal(error))
        self._end(error.text, ErrorCode.PROTOCOL_ERROR)

    def _end(self, error: str, error_code: int) -> None:
        self._is_ended = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.is_told:
            lost_code = error_code or ErrorCode.CANCEL
            self._events.append(StreamReset(exchange.stream_id, lost_code, by_peer=not error))
        self._input.clear()
        self._events.append(ConnectionEnded(error, error_code))

    def _take_events(self) -> list[Event]:
        events = self._events
        self._events = []
        return events
