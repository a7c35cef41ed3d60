"""What drivers rely on, on both engines: requests both ways of reading, answers, the end, timers, budgets."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode import limits
from dualmode.http.engines import ENGINES
from dualmode.http.interface import (
    STREAMED,
    BodyTooLarge,
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Fields,
    GoawayReceived,
    RequestReceived,
    RequestStarted,
    ResponseStarted,
    StreamDrained,
    StreamEnded,
    StreamReset,
)
from dualmode.http.options import Http2Options
from tests.http.wire import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PSEUDO,
    RST_STREAM,
    SETTINGS,
    TRAILERS,
    Wire,
    block,
    cut,
    data,
    decode_blocks,
    frame,
    headers,
    reset,
    settings,
    trailers,
    u32,
    window_update,
)

OPEN = headers(1, end=False)
PING_FRAME = frame(PING, 0, 0, bytes(8))
REQUEST = Fields(*PSEUDO)


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- Server --------------------------------------------------------------------------------------------------------


def test_a_unary_call(engine: str) -> None:
    wire = Wire(engine)
    wire.feed(OPEN, data(1, b"hel"), data(1, b"lo", end=True))
    assert [event.body for event in wire.events_of(RequestReceived)] == [b"hello"]
    frames = [each for each in wire.collect() if each.stream_id == 1]
    assert [each.kind for each in frames] == [HEADERS, DATA, HEADERS]
    assert frames[-1].flags & END_STREAM
    assert decode_blocks(frames) == [list(HEAD.pairs), list(TRAILERS.pairs)]
    assert wire.server.open_streams == 0


def test_a_streamed_call(engine: str) -> None:
    wire = Wire(engine, body_limit=STREAMED, answers=False)
    wire.feed(OPEN, frame(DATA, PADDED, 1, b"\x02ab\0\0"), data(1), trailers(1, (b"x", b"y")))
    assert [type(event) for event in wire.events] == [RequestStarted, DataReceived, StreamEnded]
    assert wire.events[1:] == [DataReceived(1, b"ab", 5), StreamEnded(1, ((b"x", b"y"),))]
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, b"one")
    wire.server.send_data(1, b"two", end=True)
    wire.server.send_data(1, b"ignored")
    assert [(each.kind, each.payload) for each in wire.collect()[-2:]] == [(DATA, b"one"), (DATA, b"two")]


def test_a_body_over_its_limit(engine: str) -> None:
    wire = Wire(engine, body_limit=2)
    wire.feed(OPEN, data(1, b"1"), data(1, b"23"))
    assert [event.start for event in wire.events if isinstance(event, BodyTooLarge)] == [b"123"]
    assert len(wire.events) == 1
    assert [(each.kind, each.code) for each in wire.of_kind(RST_STREAM)] == [(RST_STREAM, ErrorCode.NO_ERROR)]
    wire.feed(data(1, b"on its way"), headers(3))
    assert [type(event) for event in wire.events[1:]] == [RequestReceived]


def test_what_comes_after_a_body_was_too_large_is_dropped(engine: str) -> None:
    wire = Wire(engine, body_limit=2, answers=False)
    wire.feed(OPEN, data(1, b"123"), data(1, b"4"), data(1, b"5", end=True))
    assert [type(event) for event in wire.events] == [BodyTooLarge]
    wire.server.respond(1, HEAD, b"", TRAILERS)
    assert wire.server.open_streams == 0


def test_the_answer_to_head(engine: str) -> None:
    wire = Wire(engine, answers=False)
    wire.feed(headers(1, pseudo=((b":method", b"HEAD"), *PSEUDO[1:])))
    wire.server.respond(1, HEAD, b"body", TRAILERS)
    assert [(each.kind, bool(each.flags & END_STREAM)) for each in wire.collect()] == [(HEADERS, True)]


def test_calls_on_streams_that_are_gone(engine: str) -> None:
    wire = Wire(engine, answers=False)
    wire.feed(headers(1), reset(1))
    assert wire.events[-1] == StreamReset(1, 8, by_peer=True)
    for stream_id in (1, 99):
        wire.server.respond(stream_id, HEAD, b"", TRAILERS)
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, b"x", end=True)
        wire.server.end_stream(stream_id)
        wire.server.reset_stream(stream_id, 8)
        wire.server.acknowledge(stream_id, 1)
        assert wire.server.unsent_bytes(stream_id) == 0
    assert wire.collect() == []


def test_our_reset(engine: str) -> None:
    wire = Wire(engine, answers=False)
    wire.feed(OPEN, headers(3))
    wire.server.reset_stream(3, ErrorCode.INTERNAL_ERROR)
    assert [(each.stream_id, each.code) for each in wire.collect()] == [(3, ErrorCode.INTERNAL_ERROR)]
    assert wire.server.open_streams == 1
    assert wire.feed(reset(1)) == []  # it was never delivered


def test_waiting_for_windows_and_draining(engine: str) -> None:
    wire = Wire(engine, answers=False)
    low = limits.HTTP2_LOW_WATER_BYTES
    wire.feed(settings((4, 10)), headers(1))
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, bytes(low + 10))
    wire.server.end_stream(1, TRAILERS)
    assert wire.server.unsent_bytes(1) == low
    assert wire.feed(window_update(1, 1)) == [StreamDrained(1)]
    wire.feed(window_update(0, 1 << 20), window_update(1, 1 << 20))
    assert wire.server.open_streams == 0
    assert sum(len(each.payload) for each in wire.of_kind(DATA)) == low + 10
    assert decode_blocks(wire.frames)[-1] == list(TRAILERS.pairs)


def test_credit_and_reset_in_one_read(engine: str) -> None:
    """The second of two streams that wait is gone before the credit for both is acted on."""
    wire = Wire(engine, answers=False)
    wire.feed(settings((4, 0)), headers(1), headers(3))
    for stream_id in (1, 3):
        wire.server.respond(stream_id, HEAD, b"waits", TRAILERS)
    malformed = headers(7, pseudo=(*PSEUDO[:3], (b":path", b"none")), end=False)
    wire.feed(settings((4, 100)), reset(3), headers(5), malformed, reset(7))
    assert wire.ended is None
    assert {each.stream_id for each in wire.frames if each.flags & END_STREAM and each.kind == HEADERS} >= {1}
    assert [event.stream_id for event in wire.events_of(RequestReceived)] == [1, 3, 5]


def test_a_malformed_request_is_reset(engine: str) -> None:
    wire = Wire(engine, body_limit=STREAMED, answers=False)
    no_path = (frame(HEADERS, END_HEADERS, 3, block(*PSEUDO[:3], (b":path", b"none"))),)
    wire.feed(*no_path)
    assert [(each.stream_id, each.code) for each in wire.of_kind(RST_STREAM)] == [(3, ErrorCode.PROTOCOL_ERROR)]
    assert wire.events == []


def test_the_end_of_the_input(engine: str) -> None:
    wire = Wire(engine, answers=False)
    wire.feed(headers(1), headers(3, end=False))
    assert wire.feed(b"") == [StreamReset(1, ErrorCode.CANCEL, by_peer=True), ConnectionEnded("", 0)]
    assert wire.server.is_finished
    assert wire.feed(PING_FRAME) == []
    assert wire.tick(1.0) == []


def test_draining_takes_what_is_on_its_way(engine: str) -> None:
    wire = Wire(engine, answers=False)
    wire.feed(headers(1))
    wire.server.close()
    wire.server.close()
    goaway, ping = wire.collect()
    assert goaway.payload == u32(2**31 - 1) + u32(0)
    wire.feed(headers(3), frame(PING, ACK, 0, ping.payload))
    assert [each.payload for each in wire.collect()] == [u32(3) + u32(0)]
    wire.feed(headers(5))
    assert [event.stream_id for event in wire.events_of(RequestReceived)] == [1, 3]
    for stream_id in (1, 3):
        assert not wire.server.is_finished
        wire.server.respond(stream_id, HEAD, b"", TRAILERS)
    assert wire.server.is_finished


def test_draining_without_an_answer_to_the_ping(engine: str) -> None:
    wire = Wire(engine)
    wire.server.close()
    wire.tick(limits.HTTP2_GOAWAY_GRACE_SECONDS)
    assert wire.server.is_finished
    wire.server.close()
    assert len(wire.of_kind(GOAWAY)) == 2


def test_closing_with_a_code_while_draining_is_the_last_word(engine: str) -> None:
    wire = Wire(engine)
    wire.server.close()
    wire.server.close(ErrorCode.ENHANCE_YOUR_CALM, b"why")
    wire.tick(limits.HTTP2_GOAWAY_GRACE_SECONDS)
    goaways = [each for each in wire.collect() if each.kind == GOAWAY]
    assert [each.payload for each in goaways] == [u32(2**31 - 1) + u32(0), u32(0) + u32(11) + b"why"]


def test_the_peers_goaway(engine: str) -> None:
    wire = Wire(engine)
    events = wire.feed(frame(GOAWAY, 0, 0, u32(0) + u32(2) + b"why"))
    assert events[0] == GoawayReceived(0, 2, b"why")
    assert wire.server.is_finished


def test_settings_that_are_not_acknowledged(engine: str) -> None:
    wire = Wire(engine, handshake=False)
    wire.feed(PREFACE + settings())
    assert wire.tick(limits.HTTP2_SETTINGS_TIMEOUT_SECONDS - 0.1) == []
    wire.tick(limits.HTTP2_SETTINGS_TIMEOUT_SECONDS)
    assert wire.ended is not None
    assert wire.ended.error_code == ErrorCode.SETTINGS_TIMEOUT
    assert wire.of_kind(GOAWAY)[0].code == ErrorCode.SETTINGS_TIMEOUT


def test_keepalive(engine: str) -> None:
    wire = Wire(engine, options=Http2Options(keepalive_interval_seconds=60, keepalive_timeout_seconds=20))
    wire.tick(60.0)
    (ping,) = wire.collect()
    wire.feed(frame(PING, ACK, 0, ping.payload))
    wire.now = 61.0
    wire.feed(PING_FRAME)
    wire.tick(121.0)
    assert wire.ended is None
    wire.tick(141.0)
    assert wire.ended is not None


def test_too_many_pings(engine: str) -> None:
    wire = Wire(engine, answers=False)
    wire.feed(headers(1))
    wire.each([PING_FRAME] * 3)
    assert wire.ended is None
    wire.server.start_response(1, HEAD)
    wire.each([PING_FRAME] * 3)
    assert wire.ended is None
    wire.feed(PING_FRAME)
    assert wire.of_kind(GOAWAY)[0].payload[8:] == b"too_many_pings"
    assert wire.ended is not None


def test_rapid_reset(engine: str) -> None:
    wire = Wire(engine, answers=False)
    for number in range(limits.HTTP2_RESET_BUDGET + 1):
        assert wire.ended is None
        wire.feed(headers(1 + 2 * number), reset(1 + 2 * number))
    assert wire.ended is not None


@pytest.mark.parametrize("idle", [PING_FRAME, settings(), data(1), frame(0x77, 0, 0)])
def test_frames_that_carry_nothing(engine: str, idle: bytes) -> None:
    options = Http2Options(keepalive_min_time_seconds=0)
    wire = Wire(engine, body_limit=STREAMED, answers=False, options=options)
    wire.feed(OPEN)
    for _ in range(11):
        wire.feed(idle * 1000)
    assert wire.ended is not None
    assert wire.ended.error_code == ErrorCode.ENHANCE_YOUR_CALM


def test_half_sent_bodies_are_bounded_all_together(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_GATHERED_BYTES", 100)
    wire = Wire(engine)
    wire.feed(OPEN, data(1, bytes(60)), headers(3, end=False), data(3, bytes(41)))
    assert [(each.stream_id, each.code) for each in wire.of_kind(RST_STREAM)] == [(3, ErrorCode.ENHANCE_YOUR_CALM)]
    wire.feed(data(1, end=True))
    assert [len(event.body) for event in wire.events_of(RequestReceived)] == [60]


def test_answers_that_nobody_takes_are_bounded(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_QUEUED_BYTES", 100)
    wire = Wire(engine)
    wire.answer_body = bytes(90)
    wire.feed(settings((4, 0)), headers(1), headers(3), headers(5))
    assert [(each.stream_id, each.code) for each in wire.of_kind(RST_STREAM)] == [(5, ErrorCode.ENHANCE_YOUR_CALM)]
    wire.feed(window_update(1, 90), headers(7), reset(3), headers(9))
    assert len(wire.of_kind(RST_STREAM)) == 1
    assert wire.server.unsent_bytes(9) == 90
    wire.feed(settings((4, 1000)))
    assert wire.server.open_streams == 0


PIECE_BYTES = limits.HTTP2_QUEUED_PIECE_BYTES


def stalled(engine: str, *stream_ids: int) -> Wire:
    """Streams whose answers have begun, and windows for no byte of them."""
    wire = Wire(engine, answers=False)
    wire.feed(settings((4, 0)), *map(headers, stream_ids))
    for stream_id in stream_ids:
        wire.server.start_response(stream_id, HEAD)
    wire.collect()
    return wire


def test_streams_that_nobody_reads_cost_the_connection(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_STREAMED_BYTES", 3 * (100 + PIECE_BYTES))
    wire = stalled(engine, 1, 3, 5, 7)
    for stream_id in (1, 3, 5):
        wire.server.send_data(stream_id, bytes(100))
    wire.server.send_data(7, bytes(10_000))  # one message may have any size
    assert [each.kind for each in wire.collect()] == []
    wire.server.send_data(1, b"more")
    wire.server.send_data(3, b"more")
    assert [(each.kind, each.code) for each in wire.collect()] == [(GOAWAY, ErrorCode.ENHANCE_YOUR_CALM)]
    assert wire.server.is_finished
    assert (wire.server.open_streams, wire.server.unsent_bytes(7)) == (0, 0)
    told = wire.tick(1.0)
    assert [type(event) for event in told] == [StreamReset] * 4 + [ConnectionEnded]
    assert (wire.tick(2.0), wire.feed(headers(9)), wire.collect()) == ([], [], [])


def test_streams_that_are_read_may_go_on_for_ever(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_STREAMED_BYTES", 2 * (100 + PIECE_BYTES))
    wire = stalled(engine, 1)
    for round_number in range(20):
        other, third = 4 * round_number + 3, 4 * round_number + 5
        wire.feed(headers(other), headers(third))
        wire.server.start_response(other, HEAD)
        wire.server.send_data(other, bytes(50))
        wire.server.send_data(other, bytes(50))
        wire.server.send_data(1, bytes(70))
        wire.feed(window_update(1, 30), window_update(1, 40))
        wire.server.respond(third, HEAD, bytes(1000), TRAILERS)  # whole answers have a bound of their own
        if round_number % 2:
            wire.feed(reset(other), reset(third))
        else:
            wire.server.reset_stream(other, ErrorCode.CANCEL)
            wire.feed(window_update(third, 1000))
    assert (wire.ended, wire.server.open_streams) == (None, 1)


def test_many_small_pieces_count_for_what_they_cost(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_STREAMED_BYTES", 10 * PIECE_BYTES)
    wire = stalled(engine, 1)
    for _ in range(10):
        wire.server.send_data(1, b"x")
    assert not wire.server.is_finished
    wire.server.send_data(1, b"x")
    assert wire.server.is_finished


# --- Client --------------------------------------------------------------------------------------------------------


class Client:
    """A server made of bytes, facing one client connection."""

    def __init__(self, engine: str, options: Http2Options | None = None) -> None:
        self.client = ENGINES[engine].client(options or Http2Options())
        self.client.start(0.0)
        self.client.take_output()
        self.feed(settings(), frame(SETTINGS, ACK, 0))
        self.client.take_output()

    def feed(self, *frames: bytes) -> list[Any]:
        return list(self.client.receive(b"".join(frames), 0.0))


def response(stream_id: int, status: bytes = b"200", end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, block((b":status", status)))


def test_a_call_of_the_client(engine: str) -> None:
    server = Client(engine)
    assert server.client.open_stream(REQUEST, b"question", end=True) == 1
    events = server.feed(response(1, b"103"), response(1), data(1, b"answer"), trailers(1, (b"grpc-status", b"0")))
    assert events == [
        ResponseStarted(1, 200, ()),
        DataReceived(1, b"answer", 6),
        StreamEnded(1, ((b"grpc-status", b"0"),)),
    ]
    assert server.client.open_streams == 0


def test_a_call_of_the_client_both_ways(engine: str) -> None:
    server = Client(engine)
    server.client.open_stream(REQUEST)
    server.client.send_data(1, b"one")
    server.feed(response(1), data(1, b"x", end=True))
    assert server.client.open_streams == 1
    server.client.end_stream(1)
    assert server.client.open_streams == 0
    frames = cut(server.client.take_output())
    assert [(each.kind, bool(each.flags & END_STREAM)) for each in frames] == [
        (HEADERS, False),
        (DATA, False),
        (DATA, True),
    ]


def test_a_malformed_response(engine: str) -> None:
    server = Client(engine)
    server.client.open_stream(REQUEST, end=True)
    events = server.feed(response(1, b"20"))
    assert events == [StreamReset(1, ErrorCode.PROTOCOL_ERROR, by_peer=False)]


def test_streams_the_server_will_not_take(engine: str) -> None:
    server = Client(engine)
    server.client.open_stream(REQUEST, end=True)
    server.client.open_stream(REQUEST, end=True)
    events = server.feed(frame(GOAWAY, 0, 0, u32(1) + u32(0)))
    assert events[:2] == [GoawayReceived(1, 0, b""), StreamReset(3, ErrorCode.REFUSED_STREAM, by_peer=True)]
    assert not server.client.can_open_stream()


def test_closing_a_client(engine: str) -> None:
    server = Client(engine)
    server.client.open_stream(REQUEST, end=True)
    server.client.take_output()
    server.client.close()
    assert [each.payload for each in cut(server.client.take_output())] == [u32(0) + u32(0)]
    assert not server.client.can_open_stream()
    server.feed(response(1, end=True))
    assert server.client.is_finished


def test_cancelling(engine: str) -> None:
    server = Client(engine)
    server.client.open_stream(REQUEST, end=True)
    server.client.reset_stream(1, ErrorCode.CANCEL)
    assert [each.code for each in cut(server.client.take_output()) if each.kind == RST_STREAM] == [ErrorCode.CANCEL]
    assert server.feed(response(1), data(1, b"x"), trailers(1, (b"a", b"b"))) == []


def test_the_clients_keepalive(engine: str) -> None:
    server = Client(engine, Http2Options(keepalive_interval_seconds=10))
    server.client.tick(50.0)
    assert server.client.take_output() == b""
    server.client.open_stream(REQUEST)
    server.client.take_output()
    server.client.tick(60.0)
    assert [each.kind for each in cut(server.client.take_output())] == [PING]
