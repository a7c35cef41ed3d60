"""The native client: opening, responses, what a server can do wrong, GOAWAY."""

from __future__ import annotations

import hpack
import pytest

from dualmode import limits
from dualmode.http.interface import (
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Fields,
    GoawayReceived,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from dualmode.http.native import ClientConnection, Http2Options
from dualmode.http.native.header_blocks import HeaderDecoder
from tests.http.wire import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    Frame,
    block,
    cut,
    data,
    decode_blocks,
    frame,
    priority,
    reset,
    settings,
    u32,
    window_update,
)

REQUEST = Fields((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"here"), (b":path", b"/svc/Call"))
GET = Fields((b":method", b"GET"), *REQUEST.pairs[1:])
HEAD = Fields((b":method", b"HEAD"), *REQUEST.pairs[1:])


def response(stream_id: int, *pairs: tuple[bytes, bytes], status: bytes = b"200", end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, block((b":status", status), *pairs))


def trailing(stream_id: int, *pairs: tuple[bytes, bytes], end: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, block(*pairs))


class Server:
    """A server made of bytes, facing one client connection."""

    def __init__(self, *values: tuple[int, int], options: Http2Options | None = None) -> None:
        self.client = ClientConnection(options)
        self.client.start(0.0)
        self.preface = self.client.take_output()
        self.feed(settings(*values), frame(SETTINGS, ACK, 0))
        self.collect()

    def feed(self, *frames: bytes, now: float = 0.0) -> list[object]:
        return list(self.client.receive(b"".join(frames), now))

    def collect(self) -> list[Frame]:
        return cut(self.client.take_output())


def test_it_opens_with_the_preface_and_without_push() -> None:
    server = Server()
    assert server.preface.startswith(PREFACE)
    first = cut(server.preface[len(PREFACE) :])[0]
    assert b"\0\x02\0\0\0\0" in first.payload
    assert first.kind == SETTINGS


def test_a_unary_call() -> None:
    server = Server()
    assert server.client.open_stream(REQUEST, b"question", end=True) == 1
    frames = server.collect()
    assert [(each.kind, each.flags) for each in frames] == [(HEADERS, END_HEADERS), (DATA, END_STREAM)]
    assert decode_blocks(frames) == [list(REQUEST.pairs)]
    assert server.client.open_streams == 1
    assert server.feed(response(1, (b"a", b"b")), data(1, b"answer"), trailing(1, (b"grpc-status", b"0"))) == [
        ResponseStarted(1, 200, ((b"a", b"b"),)),
        DataReceived(1, b"answer", 6),
        StreamEnded(1, ((b"grpc-status", b"0"),)),
    ]
    assert server.client.open_streams == 0


def test_equal_blocks_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    for stream_id in (1, 3, 5):
        server.client.open_stream(REQUEST, b"question", end=True)
        answer = response(stream_id, (b"a", b"b")), data(stream_id, b"x"), trailing(stream_id, (b"grpc-status", b"0"))
        assert server.feed(*answer) == [
            ResponseStarted(stream_id, 200, ((b"a", b"b"),)),
            DataReceived(stream_id, b"x", 1),
            StreamEnded(stream_id, ((b"grpc-status", b"0"),)),
        ]
        assert len(server.client._decoder.memory) == 2
        monkeypatch.setattr(HeaderDecoder, "decode", None)  # from here on the memory must do


def test_a_remembered_block_loses_its_meaning_with_the_table() -> None:
    """The second block is one index of the dynamic table: what stands there changes with every entry."""
    server = Server()
    encoder = hpack.Encoder()
    for number in range(6):
        stream_id = server.client.open_stream(GET, end=True)
        value = b"%d" % (number // 2)
        pairs = [(b":status", b"200"), (b"x", value)]
        head = frame(HEADERS, END_HEADERS | END_STREAM, stream_id, encoder.encode(pairs))
        assert server.feed(head)[0] == ResponseStarted(stream_id, 200, ((b"x", value),))


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(
    "blocks", [[response(1), response(1, end=True)], [trailing(1, (b"a", b"b"))]], ids=["two heads", "no head"]
)
def test_a_known_block_in_the_wrong_place(is_known: bool, blocks: list[bytes]) -> None:
    server = Server()
    server.client.open_stream(REQUEST)
    server.client.open_stream(REQUEST)
    if is_known:
        server.feed(response(3), trailing(3, (b"a", b"b")))
    told = server.feed(*blocks)
    assert told[-1] == StreamReset(1, ErrorCode.PROTOCOL_ERROR, by_peer=False)


def test_a_request_without_a_body_ends_with_its_head() -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    assert [(each.kind, each.flags) for each in server.collect()] == [(HEADERS, END_HEADERS | END_STREAM)]
    assert server.feed(response(1, end=True)) == [ResponseStarted(1, 200, ()), StreamEnded(1, ())]


def test_a_stream_both_ways() -> None:
    server = Server()
    server.client.open_stream(REQUEST)
    assert [each.kind for each in server.collect()] == [HEADERS]
    server.client.send_data(1, b"one")
    server.feed(response(1), data(1, b"x"), data(1, b"y", end=True))
    assert server.client.open_streams == 1
    server.client.send_data(1, b"two")
    server.client.end_stream(1)
    assert server.client.open_streams == 0
    assert [each.payload for each in server.collect()] == [b"one", b"two", b""]


def test_interim_responses_are_dropped() -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    events = server.feed(response(1, status=b"100"), response(1, status=b"103"), response(1, end=True))
    assert events == [ResponseStarted(1, 200, ()), StreamEnded(1, ())]


def test_content_length_without_a_body() -> None:
    server = Server()
    server.client.open_stream(HEAD, end=True)
    server.client.open_stream(GET, end=True)
    length = (b"content-length", b"10")
    events = server.feed(response(1, length, end=True), response(3, length, status=b"304", end=True))
    assert [type(event) for event in events] == [ResponseStarted, StreamEnded] * 2


FAULTS = [
    ("no status", frame(HEADERS, END_HEADERS, 1, block((b"a", b"b")))),
    ("status twice", frame(HEADERS, END_HEADERS, 1, block((b":status", b"200"), (b":status", b"200")))),
    ("status of a request", frame(HEADERS, END_HEADERS, 1, block((b":status", b"200"), (b":path", b"/")))),
    ("status of two digits", response(1, status=b"20")),
    ("switching protocols", response(1, status=b"101")),
    ("interim response that ends", response(1, status=b"100", end=True)),
    ("DATA before the head", data(1, b"x")),
    ("trailers that do not end", response(1) + trailing(1, (b"a", b"b"), end=False)),
    ("pseudo-header in trailers", response(1) + trailing(1, (b":status", b"200"))),
    ("connection field", response(1, (b"connection", b"close"))),
    ("less than content-length", response(1, (b"content-length", b"2")) + data(1, b"x", end=True)),
    ("content-length and nothing", response(1, (b"content-length", b"2"), end=True)),
    ("more than content-length", response(1, (b"content-length", b"1")) + data(1, b"xx")),
    ("increment of 0", window_update(1, 0)),
]


@pytest.mark.parametrize("frames", [pytest.param(frames, id=what) for what, frames in FAULTS])
def test_stream_errors(frames: bytes) -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    server.collect()
    assert server.feed(frames)[-1] == StreamReset(1, ErrorCode.PROTOCOL_ERROR, by_peer=False)
    assert [(each.kind, each.code) for each in server.collect()] == [(RST_STREAM, ErrorCode.PROTOCOL_ERROR)]
    assert server.client.can_open_stream()


CONNECTION_FAULTS = [
    ("HEADERS on a stream we did not open", response(3), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on a stream of the server", response(2), ErrorCode.PROTOCOL_ERROR),
    ("push", frame(PUSH_PROMISE, END_HEADERS, 1, u32(2)), ErrorCode.PROTOCOL_ERROR),
    ("push allowed by a server", settings((2, 1)), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on a closed stream", response(1, end=True) * 2, ErrorCode.STREAM_CLOSED),
    ("DATA on a closed stream", response(1, end=True) + data(1), ErrorCode.STREAM_CLOSED),
    ("RST_STREAM on an idle stream", reset(3), ErrorCode.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(
    ("frames", "code"), [pytest.param(frames, code, id=what) for what, frames, code in CONNECTION_FAULTS]
)
def test_connection_errors(frames: bytes, code: ErrorCode) -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    server.collect()
    last = server.feed(frames)[-1]
    assert isinstance(last, ConnectionEnded)
    assert last.error_code == code
    (goaway,) = server.collect()
    assert goaway.payload[:8] == u32(0) + u32(code)
    assert not server.client.can_open_stream()


def test_more_frames_after_the_peers_end_on_a_stream_that_is_half_open() -> None:
    server = Server()
    server.client.open_stream(REQUEST)
    events = server.feed(response(1, end=True), trailing(1, (b"a", b"b")))
    assert events[-1] == StreamReset(1, ErrorCode.STREAM_CLOSED, by_peer=False)


def test_the_servers_reset() -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    assert server.feed(reset(1, 7)) == [StreamReset(1, 7, by_peer=True)]
    assert server.client.open_streams == 0


def test_our_own_resets_of_faulty_streams_are_bounded_and_forgiven() -> None:
    server = Server()
    for _ in range(limits.HTTP2_RESET_BUDGET):
        server.client.open_stream(GET, end=True)
        server.feed(window_update(server.client._table.highest, 0))
    server.client.open_stream(GET, end=True)
    server.feed(response(server.client._table.highest, end=True))
    server.client.open_stream(GET, end=True)
    server.feed(window_update(server.client._table.highest, 0))
    assert server.client.can_open_stream()
    server.client.open_stream(GET, end=True)
    assert isinstance(server.feed(window_update(server.client._table.highest, 0))[-1], ConnectionEnded)


def test_many_resets_of_a_server_are_no_attack() -> None:
    server = Server()
    for _ in range(2 * limits.HTTP2_RESET_BUDGET):
        server.feed(reset(server.client.open_stream(GET, end=True)))
    assert server.client.can_open_stream()


def test_late_frames_on_a_stream_we_cancelled_are_dropped() -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    server.client.reset_stream(1, ErrorCode.CANCEL)
    server.collect()
    assert server.feed(response(1), data(1, b"x"), priority(1), reset(1)) == []
    assert server.collect() == []


def test_the_servers_limit_on_streams() -> None:
    client = ClientConnection()
    client.start(0.0)
    for _ in range(limits.HTTP2_STREAMS_BEFORE_SETTINGS):
        client.open_stream(GET, end=True)
    assert not client.can_open_stream()
    client.receive(settings(), 0.0)
    assert client.can_open_stream()
    client.receive(settings((3, 100)), 0.0)
    assert not client.can_open_stream()
    with pytest.raises(AssertionError):
        client.open_stream(GET)
    client.receive(reset(1), 0.0)
    assert client.can_open_stream()
    client.receive(settings(), 0.0)  # says nothing about streams: the limit stays
    client.open_stream(GET, end=True)
    assert not client.can_open_stream()


def test_numbers_run_out() -> None:
    server = Server()
    server.client._table.highest = 2**31 - 3
    assert server.client.open_stream(GET, end=True) == 2**31 - 1
    assert not server.client.can_open_stream()


def test_goaway() -> None:
    server = Server()
    for _ in range(3):
        server.client.open_stream(GET, end=True)
    events = server.feed(frame(GOAWAY, 0, 0, u32(3) + u32(0) + b"bye"))
    assert events == [
        GoawayReceived(3, 0, b"bye"),
        StreamReset(5, ErrorCode.REFUSED_STREAM, by_peer=True),
    ]
    assert not server.client.can_open_stream()
    assert not server.client.is_finished
    server.feed(response(1, end=True), response(3, end=True))
    assert server.client.is_finished


def test_closing() -> None:
    server = Server()
    server.client.open_stream(GET, end=True)
    server.collect()
    server.client.close()
    assert [each.payload for each in server.collect()] == [u32(0) + u32(0)]
    assert not server.client.can_open_stream()
    server.feed(response(1, end=True))
    assert server.client.is_finished


def test_keepalive_only_with_streams_unless_allowed() -> None:
    quiet = Http2Options(keepalive_interval_seconds=10)
    server = Server(options=quiet)
    server.client.tick(50.0)
    assert server.collect() == []
    server.client.open_stream(GET)
    server.collect()
    server.client.tick(50.0)
    assert [each.kind for each in server.collect()] == [PING]
    eager = Server(options=Http2Options(keepalive_interval_seconds=10, keepalive_without_streams=True))
    eager.client.tick(50.0)
    assert [each.kind for each in eager.collect()] == [PING]


def test_a_server_may_ping_as_it_likes() -> None:
    server = Server()
    server.feed(frame(PING, 0, 0, bytes(8)) * 100)
    assert len(server.collect()) == 100


def test_a_server_that_begins_with_something_else() -> None:
    client = ClientConnection()
    client.start(0.0)
    (event,) = client.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n", 0.0)
    assert isinstance(event, ConnectionEnded)
    assert event.error_code == ErrorCode.FRAME_SIZE_ERROR


def test_credentials_are_never_indexed() -> None:
    server = Server()
    server.client.open_stream(REQUEST.plus((b"authorization", b"secret"), (b"token", b"secret")), end=True)
    (first,) = server.collect()
    assert b"\x1f\x08\x06secret" in first.payload
    assert b"\x10\x05token\x06secret" in first.payload
