"""HTTP/1.1: what is served, what is refused, how bodies and responses are framed, and the timers."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode import limits
from dualmode.http.h1 import Http1ServerConnection
from dualmode.http.interface import (
    STREAMED,
    BodyTooLarge,
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Fields,
    RequestReceived,
    RequestStarted,
    StreamEnded,
    StreamReset,
)

HEAD = Fields((b":status", b"200"), (b"content-type", b"application/json"))
TRAILERS = Fields((b"grpc-status", b"0"))
GET = b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire:
    """A client made of bytes; answers whole requests unless told otherwise."""

    def __init__(self, body_limit: int = 1000, answers: bool = True, trailers: Fields | None = None) -> None:
        self.server = Http1ServerConnection(lambda head: body_limit)
        self.answers = answers
        self.trailers = trailers
        self.events: list[Any] = []
        self.output = b""
        self.server.start(0.0)

    def feed(self, raw: bytes, now: float = 0.0) -> list[Any]:
        events = self.server.receive(raw, now)
        seen = list(events)
        while events:
            self.events += events
            for event in events:
                if self.answers and isinstance(event, (RequestReceived, BodyTooLarge, StreamEnded)):
                    self.server.respond(event.stream_id, HEAD, b"answer", self.trailers)
            events = self.server.tick(now) if self.server.has_more else []
            seen += events
        self.output += self.server.take_output()
        return seen

    def responses(self, *methods: bytes, closed: bool = False) -> list[tuple[int, bytes]]:
        """The output as a client (h11) reads it: status and body of each response."""
        found = []
        rest = self.output
        for method in methods:
            client = h11.Connection(h11.CLIENT)
            client.send(h11.Request(method=method, target="/x", headers=[("host", "here")]))
            client.send(h11.EndOfMessage())
            client.receive_data(rest)
            if closed:
                client.receive_data(b"")
            body = b""
            status = 0
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                assert event is not h11.NEED_DATA, "the response is not complete"
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
            rest = client.trailing_data[0]
            found.append((status, body))
        assert rest == b""
        return found


# --- Requests ------------------------------------------------------------------------------------------------------


def test_a_request() -> None:
    wire = Wire()
    (event,) = wire.feed(b"GET /x?y=1 HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\nX-Y:  z \r\n\r\n")
    head = event.head
    assert (head.method, head.scheme, head.authority, head.path, head.version) == (
        b"GET",
        b"http",
        b"here",
        b"/x?y=1",
        b"1.1",
    )
    assert head.fields == ((b"host", b"here"), (b"x-y", b"z"))
    assert wire.output == (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\nanswer")
    assert not wire.server.is_finished


@pytest.mark.parametrize(
    ("line", "method", "authority", "path"),
    [
        (b"GET http://there:1/a?b HTTP/1.1", b"GET", b"there:1", b"/a?b"),
        (b"GET HTTPS://there HTTP/1.1", b"GET", b"there", b"/"),
        (b"GET http://there?b HTTP/1.1", b"GET", b"there", b"/?b"),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS", b"here", b"*"),
        (b"CONNECT there:1 HTTP/1.1", b"CONNECT", b"there:1", b""),
    ],
)
def test_forms_of_the_target(line: bytes, method: bytes, authority: bytes, path: bytes) -> None:
    (event,) = Wire(answers=False).feed(line + b"\r\nHost: here\r\n\r\n")
    assert (event.head.method, event.head.authority, event.head.path) == (method, authority, path)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (GET, b""),
        (POST, b"hello"),
        (CHUNKED + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n", b"hello"),
        (CHUNKED + b"0\r\nX-Trailer: 1\r\n\r\n", b""),
        (b"\r\n" + GET, b""),
        (b"POST /x HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_bodies_in_any_cut(raw: bytes, body: bytes) -> None:
    for at in range(len(raw)):
        wire = Wire()
        wire.feed(raw[:at] or raw)
        if at:
            wire.feed(raw[at:])
        assert [event.body for event in wire.events] == [body]
        assert wire.responses(b"POST") == [(200, b"answer")]
    wire = Wire()
    for byte in raw * 2:
        wire.feed(bytes((byte,)))
    assert [(event.stream_id, event.body) for event in wire.events] == [(1, body), (3, body)]
    assert wire.responses(b"POST", b"POST") == [(200, b"answer")] * 2


def test_pipelined_requests_are_served_one_after_the_other() -> None:
    wire = Wire(answers=False)
    assert [type(event) for event in wire.feed(POST + GET + POST)] == [RequestReceived]
    assert not wire.server.has_more
    wire.server.respond(1, HEAD, b"first")
    assert wire.server.has_more
    (second,) = wire.server.tick(0.0)
    assert second.stream_id == 3
    wire.server.respond(3, HEAD, b"second")
    (third,) = wire.server.tick(0.0)
    wire.server.respond(third.stream_id, HEAD, b"third")
    wire.output = wire.server.take_output()
    assert wire.responses(b"POST", b"GET", b"POST") == [(200, b"first"), (200, b"second"), (200, b"third")]


def test_a_streamed_request() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    wire.feed(CHUNKED + b"2\r\nhe\r\n")
    wire.feed(b"3\r\nllo\r\n0\r\nT: v\r\n\r\n")
    assert wire.events == [
        RequestStarted(1, wire.events[0].head),
        DataReceived(1, b"he", 2),
        DataReceived(1, b"llo", 3),
        StreamEnded(1, ((b"t", b"v"),)),
    ]


def test_continue() -> None:
    wire = Wire()
    head = b"POST /x HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    wire.feed(head)
    assert wire.output == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.feed(b"hello")
    assert wire.events[0].body == b"hello"
    refused = Wire(body_limit=2)
    refused.feed(head)
    assert refused.output.startswith(b"HTTP/1.1 200 OK\r\n")  # what the driver answers to BodyTooLarge
    assert refused.server.is_finished


# --- Responses -----------------------------------------------------------------------------------------------------


def test_trailers_need_a_chunked_response() -> None:
    wire = Wire(trailers=TRAILERS)
    wire.feed(GET)
    assert wire.output.endswith(b"Transfer-Encoding: chunked\r\n\r\n6\r\nanswer\r\n0\r\nGrpc-Status: 0\r\n\r\n")
    wire = Wire(answers=False)
    wire.feed(GET)
    wire.server.respond(1, HEAD.plus((b"content-length", b"6")), b"answer", TRAILERS)
    wire.output = wire.server.take_output()
    assert b"Grpc-Status" not in wire.output
    assert wire.responses(b"GET") == [(200, b"answer")]


def test_a_streamed_response() -> None:
    wire = Wire(answers=False)
    wire.feed(GET)
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, b"one")
    wire.server.send_data(1, b"")
    wire.server.send_data(1, b"two", end=True)
    wire.output = wire.server.take_output()
    assert wire.responses(b"GET") == [(200, b"onetwo")]
    assert wire.server.open_streams == 0


def test_http_1_0_gets_a_stream_until_close() -> None:
    wire = Wire(answers=False)
    wire.feed(b"GET /x HTTP/1.0\r\n\r\n")
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, b"one")
    wire.server.end_stream(1, TRAILERS)
    output = wire.server.take_output()
    assert output == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\none"
    assert wire.server.is_finished


def test_http_1_0_gets_a_length_where_there_is_one() -> None:
    wire = Wire(trailers=TRAILERS)
    wire.feed(b"GET /x HTTP/1.0\r\n\r\n")
    assert b"Content-Length: 6\r\n" in wire.output
    assert wire.server.is_finished


def test_head_and_bodiless_statuses() -> None:
    wire = Wire()
    wire.feed(GET.replace(b"GET", b"HEAD") + GET)
    assert wire.output.startswith(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\nHTTP/1.1 200 OK"
    )
    for status in (b"204", b"304"):
        wire = Wire(answers=False)
        wire.feed(GET)
        wire.server.respond(1, Fields((b":status", status)), b"dropped")
        output = wire.server.take_output()
        assert output.startswith(b"HTTP/1.1 " + status)
        assert output.endswith(b"\r\n\r\n")
        assert not wire.server.is_finished


def test_a_status_of_our_own() -> None:
    wire = Wire(answers=False)
    wire.feed(GET)
    wire.server.respond(1, Fields((b":status", b"499")), b"")
    assert wire.server.take_output().startswith(b"HTTP/1.1 499 \r\n")


@pytest.mark.parametrize(
    "raw", [GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"GET /x HTTP/1.0\r\n\r\n"]
)
def test_the_client_may_ask_for_the_end(raw: bytes) -> None:
    wire = Wire()
    wire.feed(raw + GET)
    assert wire.server.is_finished
    assert b"Connection: close" in wire.output
    assert len(wire.events) == 1


def test_an_answer_before_the_end_of_the_request_closes() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    wire.feed(POST[:-2])
    wire.server.respond(1, HEAD, b"early")
    wire.output = wire.server.take_output()
    assert b"Connection: close" in wire.output
    assert wire.server.is_finished


def test_a_body_over_its_limit() -> None:
    chunked = CHUNKED + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    for raw, start in ((POST + GET, b"hello"), (chunked, b"abcde")):
        wire = Wire(body_limit=4)
        wire.feed(raw)
        assert [event.start for event in wire.events if isinstance(event, BodyTooLarge)] == [start]
        assert len(wire.events) == 1
        assert wire.server.is_finished


def test_closing_lets_the_request_in_hand_finish() -> None:
    wire = Wire(answers=False)
    wire.feed(GET + GET)
    wire.server.close()
    assert not wire.server.is_finished
    wire.server.respond(1, HEAD, b"last")
    assert wire.server.is_finished
    assert not wire.server.has_more
    assert b"Connection: close" in wire.server.take_output()
    idle = Wire()
    idle.server.close()
    assert idle.server.is_finished
    assert idle.feed(GET) == []


def test_reset_is_the_end_of_the_connection() -> None:
    wire = Wire(answers=False)
    wire.feed(GET)
    wire.server.start_response(1, HEAD)
    wire.server.reset_stream(1, ErrorCode.INTERNAL_ERROR)
    assert wire.server.is_finished
    assert not wire.server.take_output().endswith(b"0\r\n\r\n")


def test_calls_on_requests_that_are_gone_are_ignored() -> None:
    wire = Wire()
    wire.feed(GET)
    before = len(wire.output)
    for stream_id in (1, 3):
        wire.server.respond(stream_id, HEAD, b"")
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, b"x", end=True)
        wire.server.end_stream(stream_id)
        wire.server.reset_stream(stream_id, 0)
        wire.server.acknowledge(stream_id, 1)
        assert wire.server.unsent_bytes(stream_id) == 0
    assert wire.server.take_output() == b""
    assert before
    assert not wire.server.is_finished


def test_switching_protocols_gives_bytes_both_ways() -> None:
    wire = Wire(answers=False)
    wire.feed(b"GET /x HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    switch = Fields((b":status", b"101"), (b"upgrade", b"websocket"), (b"connection", b"Upgrade"))
    wire.server.start_response(1, switch)
    wire.server.send_data(1, b"\x81\x00")
    assert wire.server.take_output() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00"
    )
    assert wire.feed(b"\x89\x00") == [DataReceived(1, b"\x89\x00", 2)]
    wire.server.end_stream(1)
    assert wire.server.is_finished


# --- Refused -------------------------------------------------------------------------------------------------------


def request(*lines: bytes, line: bytes = b"GET /x HTTP/1.1") -> bytes:
    return b"\r\n".join((line, *lines, b"", b""))


HOST = b"Host: here"
REFUSED = [
    ("no host", 400, request()),
    ("two hosts", 400, request(HOST, HOST)),
    ("two hosts in HTTP/1.0", 400, request(HOST, HOST, line=b"GET / HTTP/1.0")),
    ("not HTTP", 400, b"hello\r\n\r\n"),
    ("HTTP/0.9", 400, b"GET /\r\n\r\n"),
    ("HTTP/2.0", 505, request(HOST, line=b"GET / HTTP/2.0")),
    ("HTTP/1.2", 505, request(HOST, line=b"GET / HTTP/1.2")),
    ("lower-case version", 400, request(HOST, line=b"GET / http/1.1")),
    ("two spaces", 400, request(HOST, line=b"GET  / HTTP/1.1")),
    ("space in the target", 400, request(HOST, line=b"GET /a b HTTP/1.1")),
    ("target without a slash", 400, request(HOST, line=b"GET x HTTP/1.1")),
    ("* for GET", 400, request(HOST, line=b"GET * HTTP/1.1")),
    ("bad method", 400, request(HOST, line=b"G(T / HTTP/1.1")),
    ("space before the colon", 400, request(HOST, b"X : y")),
    ("name that is no token", 400, request(HOST, b"X(: y")),
    ("no colon", 400, request(HOST, b"X")),
    ("folded line", 400, request(HOST, b"X: y", b" z")),
    ("folded first line", 400, request(b" X: y", HOST)),
    ("bare line feed", 400, b"GET /x HTTP/1.1\nHost: here\n\n"),
    ("bare line feed within", 400, request(HOST, b"X: y\nZ: w")),
    ("bare carriage return", 400, request(HOST, b"X: y\rZ: w")),
    ("NUL", 400, request(HOST, b"X: a\0b")),
    ("control character", 400, request(HOST, b"X: a\x01b")),
    ("two equal lengths", 400, request(HOST, b"Content-Length: 5", b"Content-Length: 5") + b"hello"),
    ("two lengths", 400, request(HOST, b"Content-Length: 5", b"content-length: 6") + b"hello"),
    ("list of lengths", 400, request(HOST, b"Content-Length: 5, 5") + b"hello"),
    ("length with a sign", 400, request(HOST, b"Content-Length: +5") + b"hello"),
    ("negative length", 400, request(HOST, b"Content-Length: -1")),
    ("hexadecimal length", 400, request(HOST, b"Content-Length: 0x5")),
    ("huge length", 400, request(HOST, b"Content-Length: " + b"9" * 30)),
    ("empty length", 400, request(HOST, b"Content-Length: ")),
    ("length and chunked", 400, request(HOST, b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    ("chunked twice", 400, request(HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    ("chunked in HTTP/1.0", 400, request(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0")),
    ("other coding", 501, request(HOST, b"Transfer-Encoding: gzip, chunked")),
    ("disguised coding", 501, request(HOST, b"Transfer-Encoding: xchunked")),
    ("unknown expectation", 417, request(HOST, b"Expect: a-miracle")),
    ("chunk size that is no number", 400, CHUNKED + b"zz\r\n"),
    ("chunk size with a sign", 400, CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    ("chunk that is too long", 400, CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
    ("head too large", 431, b"GET /" + b"x" * (limits.HTTP1_HEADER_BYTES + 10)),
    ("complete head too large", 431, request(HOST, b"X: " + b"y" * limits.HTTP1_HEADER_BYTES)),
]


@pytest.mark.parametrize(("status", "raw"), [pytest.param(status, raw, id=what) for what, status, raw in REFUSED])
def test_refused(status: int, raw: bytes) -> None:
    for cut in (len(raw), 1 if len(raw) < 1000 else 1000):
        wire = Wire()
        for at in range(0, len(raw), cut):
            wire.feed(raw[at : at + cut])
        assert isinstance(wire.events[-1], ConnectionEnded)
        assert wire.events[-1].error
        assert wire.server.is_finished
        ((found, body),) = wire.responses(b"GET")
        assert found == status
        assert body.startswith(b"%d " % status)
        assert b"Connection: close" in wire.output
        assert not any(isinstance(event, RequestReceived) for event in wire.events)


def test_a_fault_within_a_body_that_is_being_answered() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    wire.feed(CHUNKED)
    wire.server.start_response(1, HEAD)
    assert [type(event) for event in wire.feed(b"zz\r\n")] == [StreamReset, ConnectionEnded]
    assert wire.output.count(b"HTTP/1.1") == 1


def test_too_much_sent_ahead() -> None:
    wire = Wire(answers=False)
    wire.feed(GET)
    while wire.server.wants_input:
        wire.feed(GET * 100)
    assert not wire.server.is_finished  # an owner that heeds `wants_input` is never cut off
    wire.feed(GET * 20_000)
    assert wire.events[-1].error_code == ErrorCode.ENHANCE_YOUR_CALM


def test_a_streamed_body_that_is_not_consumed() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    length = 10 * limits.HTTP1_UNREAD_BYTES
    wire.feed(b"POST /x HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % length)
    while wire.server.wants_input:
        wire.feed(bytes(60_000))
    assert not wire.server.is_finished
    wire.server.acknowledge(1, 10**6)
    assert wire.server.wants_input
    for _ in range(30):
        wire.feed(bytes(60_000))
    assert wire.events[-1].error_code == ErrorCode.ENHANCE_YOUR_CALM


def test_an_idle_connection_wants_input() -> None:
    assert Wire().server.wants_input


# --- Ends and timers -----------------------------------------------------------------------------------------------


def test_the_end_of_the_input() -> None:
    assert Wire().feed(b"") == [ConnectionEnded("", 0)]
    wire = Wire(answers=False)
    wire.feed(GET)
    assert wire.feed(b"") == [StreamReset(1, ErrorCode.CANCEL, by_peer=True), ConnectionEnded("", 0)]
    assert wire.feed(GET) == []
    assert wire.server.tick(1e9) == []
    half = Wire()
    half.feed(POST[:-1])
    assert half.feed(b"") == [ConnectionEnded("", 0)]


def test_a_head_that_does_not_come() -> None:
    silent = Wire()
    assert silent.server.tick(limits.HEADER_TIMEOUT_SECONDS - 0.1) == []
    assert silent.server.tick(limits.HEADER_TIMEOUT_SECONDS) == [ConnectionEnded("", 0)]
    assert silent.server.take_output() == b""
    slow = Wire()
    slow.feed(GET[:5], now=10.0)
    slow.feed(GET[5:9], now=30.0)
    assert slow.server.tick(10.0 + limits.HEADER_TIMEOUT_SECONDS - 0.1) == []
    assert slow.server.tick(10.0 + limits.HEADER_TIMEOUT_SECONDS) != []
    assert slow.server.take_output().startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_an_idle_connection() -> None:
    wire = Wire()
    wire.feed(GET, now=10.0)
    assert wire.server.tick(9.0 + limits.HTTP1_IDLE_TIMEOUT_SECONDS) == []
    assert wire.server.tick(10.0 + limits.HTTP1_IDLE_TIMEOUT_SECONDS) == [ConnectionEnded("", 0)]


def test_a_body_that_stops() -> None:
    wire = Wire()
    wire.feed(POST[:-3], now=10.0)
    wire.feed(POST[-3:-2], now=20.0)
    assert wire.server.tick(19.0 + limits.HEADER_TIMEOUT_SECONDS) == []
    assert wire.server.tick(20.0 + limits.HEADER_TIMEOUT_SECONDS) != []
    assert wire.server.take_output().startswith(b"HTTP/1.1 408 ")


def test_a_request_in_hand_has_all_the_time_it_needs() -> None:
    wire = Wire(answers=False)
    wire.feed(GET)
    assert wire.server.tick(1e6) == []
    streamed = Wire(body_limit=STREAMED, answers=False)
    streamed.feed(POST[:-1])
    assert streamed.server.tick(1e6) == []


# --- Garbage -------------------------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [GET, POST, CHUNKED, b"5\r\nhello\r\n", b"0\r\n\r\n", b"\r\n", b"Host: x\r\n", POST[:-2], b"GET / "]
    ),
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=8), st.sampled_from([0, 4, STREAMED]), st.booleans())
def test_garbage_only_makes_events(pieces: list[bytes], body_limit: int, answers: bool) -> None:
    wire = Wire(body_limit=body_limit, answers=answers)
    for piece in pieces:
        if piece:
            wire.feed(piece)
    wire.server.tick(1e6)
    wire.feed(b"")
    assert wire.server.is_finished or not answers


@settings(max_examples=100)
@given(st.lists(st.sampled_from([GET, POST, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"]), min_size=1, max_size=4), st.data())
def test_any_cut_of_pipelined_requests(requests: list[bytes], drawn: Any) -> None:
    raw = b"".join(requests)
    cuts = sorted(drawn.draw(st.sets(st.integers(1, len(raw)), max_size=6)))
    wire = Wire()
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        if raw[start:end]:
            wire.feed(raw[start:end])
    assert wire.responses(*[b"GET"] * len(requests)) == [(200, b"answer")] * len(requests)
