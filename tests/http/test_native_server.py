"""The native server beyond the clauses: bodies, the memory of header blocks, windows, draining, timers, floods."""

from __future__ import annotations

import pytest

from dualmode import limits
from dualmode.http.interface import (
    STREAMED,
    BodyTooLarge,
    ConnectionEnded,
    DataReceived,
    ErrorCode,
    Fields,
    GoawayReceived,
    RequestHead,
    RequestReceived,
    RequestStarted,
    StreamDrained,
    StreamEnded,
    StreamReset,
)
from dualmode.http.native import Http2Options, ServerConnection
from tests.http.wire import (
    ACK,
    CONTINUATION,
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
    WINDOW_UPDATE,
    Wire,
    block,
    data,
    decode_blocks,
    frame,
    headers,
    literal,
    priority,
    reset,
    settings,
    trailers,
    u32,
    window_update,
)

OPEN = headers(1, end=False)
PING_FRAME = frame(PING, 0, 0, bytes(8))


# --- Opening -------------------------------------------------------------------------------------------------------


def test_start_announces_settings_and_window() -> None:
    server = ServerConnection(lambda head: 0, Http2Options(concurrent_streams=7, frame_bytes=20_000))
    server.start(0.0)
    wire = Wire()
    wire.server = server  # type: ignore[assignment]
    first, second = wire.collect()
    values = {
        int.from_bytes(first.payload[at : at + 2], "big"): int.from_bytes(first.payload[at + 2 : at + 6], "big")
        for at in range(0, len(first.payload), 6)
    }
    assert first.kind == SETTINGS
    assert values == {3: 7, 4: limits.HTTP2_STREAM_WINDOW_BYTES, 5: 20_000, 6: limits.HTTP2_HEADER_LIST_BYTES}
    assert second.kind == WINDOW_UPDATE
    assert int.from_bytes(second.payload, "big") == limits.HTTP2_CONNECTION_WINDOW_BYTES - 65_535


def test_no_window_update_for_the_default_window() -> None:
    server = ServerConnection(lambda head: 0, Http2Options(connection_window_bytes=1))
    server.start(0.0)
    assert server.take_output()[3] == SETTINGS
    assert server.take_output() == b""


# --- Requests ------------------------------------------------------------------------------------------------------


def test_a_unary_call_is_one_event_and_one_answer() -> None:
    wire = Wire()
    (event,) = wire.feed(OPEN, data(1, b"hello", end=True))
    assert isinstance(event, RequestReceived)
    assert (event.head.method, event.head.path, event.head.authority, event.head.scheme) == (
        b"POST",
        b"/svc/Call",
        b"here",
        b"http",
    )
    assert (event.stream_id, event.body, event.head.version) == (1, b"hello", b"2")
    frames = wire.collect()
    assert [(each.kind, each.flags) for each in frames] == [
        (HEADERS, END_HEADERS),
        (DATA, 0),
        (HEADERS, END_HEADERS | END_STREAM),
    ]
    assert decode_blocks(frames) == [list(HEAD.pairs), list(TRAILERS.pairs)]
    assert wire.server.open_streams == 0


def test_a_body_in_many_frames_is_gathered() -> None:
    wire = Wire()
    wire.each([OPEN, data(1, b"a"), data(1, b"b"), frame(DATA, PADDED, 1, b"\x01c\0"), data(1, end=True)])
    assert [event.body for event in wire.events_of(RequestReceived)] == [b"abc"]


@pytest.mark.parametrize("pieces", [(b"123456",), (b"123", b"456"), (b"123", b"4", b"56")])
def test_a_body_over_its_limit_is_told_once_and_the_rest_dropped(pieces: tuple[bytes, ...]) -> None:
    wire = Wire(body_limit=5, answers=False)
    wire.feed(OPEN, *(data(1, piece) for piece in pieces), data(1, b"x"), data(1, b"y", end=True))
    (told,) = wire.events_of(BodyTooLarge)
    assert len(wire.events) == 1
    assert told.start == b"12345"
    wire.server.respond(1, HEAD, b"", TRAILERS)
    assert wire.server.open_streams == 0


def test_an_answer_before_the_end_of_the_request_asks_the_client_to_stop() -> None:
    wire = Wire(body_limit=1)
    wire.feed(OPEN, data(1, b"123"))
    last = wire.frames[-1]
    assert (last.kind, last.code) == (RST_STREAM, ErrorCode.NO_ERROR)
    wire.feed(data(1, b"on its way"), trailers(1, (b"a", b"b")))
    assert wire.ended is None


def test_a_streamed_request() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    wire.feed(OPEN, data(1, b"ab"), data(1, b""), frame(DATA, PADDED, 1, b"\x02c\0\0"), trailers(1, (b"x", b"y")))
    head = wire.events[0].head  # type: ignore[union-attr]
    assert wire.events == [
        RequestStarted(1, head),
        DataReceived(1, b"abc", 6),
        StreamEnded(1, ((b"x", b"y"),)),
    ]


def test_small_frames_of_a_stream_are_one_event_within_a_bound() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    wire.feed(OPEN, data(1, b"a"))
    assert wire.feed(data(1, b"b"), data(1, bytes(limits.JOINED_DATA_BYTES)), data(1, b"c"), data(1, b"d")) == [
        DataReceived(1, b"b" + bytes(limits.JOINED_DATA_BYTES), 1 + limits.JOINED_DATA_BYTES),
        DataReceived(1, b"cd", 2),
    ]


def test_a_streamed_request_without_a_body() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    assert [type(event) for event in wire.feed(headers(1))] == [RequestStarted, StreamEnded]


# --- The memory of header blocks -----------------------------------------------------------------------------------


def test_equal_blocks_share_one_head_and_one_classification() -> None:
    asked: list[RequestHead] = []

    def classify(head: RequestHead) -> int:
        asked.append(head)
        head.route = "route"
        return 100

    server = ServerConnection(classify)
    server.start(0.0)
    events = server.receive(PREFACE + settings() + headers(1) + headers(3) + headers(5, (b"a", b"b")), 0.0)
    first, second, third = events
    assert isinstance(first, RequestReceived)
    assert isinstance(second, RequestReceived)
    assert isinstance(third, RequestReceived)
    assert first.head is second.head
    assert second.head.route == "route"
    assert third.head is not first.head
    assert len(asked) == 2


def test_the_memory_is_lost_when_the_table_changes() -> None:
    """The same bytes mean something else after another entry was added: the attack that a wrong memory invites."""
    wire = Wire()
    base = block(*PSEUDO)
    indexed = base + b"\xbe"  # the newest entry of the dynamic table

    def request(stream_id: int, encoded: bytes) -> bytes:
        return frame(HEADERS, END_HEADERS | END_STREAM, stream_id, encoded)

    wire.feed(request(1, base + literal(b"user", b"alice", 0x40)))
    wire.feed(request(3, indexed), request(5, indexed))
    wire.feed(request(7, base + literal(b"user", b"bob", 0x40)))
    wire.feed(request(9, indexed))
    wire.feed(request(11, b"\x20" + base), request(13, b"\x3f\xe1\x1f" + base + literal(b"user", b"eve", 0x40)))
    wire.feed(request(15, indexed))
    users = [event.head.get(b"user") for event in wire.events_of(RequestReceived)]
    assert users == [b"alice", b"alice", b"alice", b"bob", b"bob", None, b"eve", b"eve"]


def test_the_memory_is_bounded() -> None:
    wire = Wire()
    for number in range(limits.HTTP2_REMEMBERED_BLOCKS + 10):
        wire.feed(headers(1 + 2 * number, (b"n", b"%d" % number)))
    assert 0 < len(wire.server._decoder.memory) <= limits.HTTP2_REMEMBERED_BLOCKS  # type: ignore[attr-defined]
    wire = Wire()
    wire.feed(headers(1, *((b"x", b"y" * 100),) * 12), headers(3, *((b"a", b"b"),) * 70))
    assert not wire.server._decoder.memory  # type: ignore[attr-defined]


# --- Answers and windows -------------------------------------------------------------------------------------------


def test_an_answer_without_trailers_and_without_a_body() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1), headers(3))
    wire.server.respond(1, HEAD, b"")
    wire.server.respond(3, HEAD, b"body")
    assert [(each.kind, each.flags, each.payload[-4:]) for each in wire.collect()[-3:]] == [
        (HEADERS, END_HEADERS | END_STREAM, b"grpc"),
        (HEADERS, END_HEADERS, b"grpc"),
        (DATA, END_STREAM, b"body"),
    ]


def test_the_answer_to_head_has_no_body() -> None:
    wire = Wire(answers=False)
    get_head = ((b":method", b"HEAD"), *PSEUDO[1:])
    wire.feed(headers(1, pseudo=get_head), headers(3, pseudo=get_head))
    wire.server.respond(1, HEAD, b"body", TRAILERS)
    wire.server.start_response(3, HEAD)
    wire.server.send_data(3, b"body")
    wire.server.end_stream(3, TRAILERS)
    assert [(each.kind, each.payload == b"") for each in wire.collect()] == [(HEADERS, False)] * 2 + [(DATA, True)]
    assert wire.server.open_streams == 0


def test_a_streamed_answer() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, b"one")
    wire.server.send_data(1, b"")
    wire.server.send_data(1, b"two", end=True)
    wire.server.send_data(1, b"ignored")
    assert [(each.kind, each.flags, each.payload) for each in wire.collect()[1:]] == [
        (DATA, 0, b"one"),
        (DATA, END_STREAM, b"two"),
    ]


def test_calls_on_streams_that_are_gone_are_ignored() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1), reset(1))
    for stream_id in (1, 99):
        wire.server.respond(stream_id, HEAD, b"", TRAILERS)
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, b"x", end=True)
        wire.server.end_stream(stream_id, TRAILERS)
        wire.server.reset_stream(stream_id, 8)
        wire.server.acknowledge(stream_id, 10)
        assert wire.server.unsent_bytes(stream_id) == 0
    assert wire.collect() == []


def test_an_answer_that_has_ended_takes_no_more() -> None:
    wire = Wire(answers=False)
    wire.feed(settings((4, 0)), headers(1))
    wire.server.respond(1, HEAD, b"waits", TRAILERS)
    wire.server.respond(1, HEAD, b"ignored", TRAILERS)
    wire.server.send_data(1, b"ignored")
    wire.feed(settings((4, 0)), settings((4, 100)))
    assert [each.payload for each in wire.of_kind(DATA)] == [b"waits"]
    assert wire.server.open_streams == 0


def test_a_response_has_one_head() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    wire.server.start_response(1, HEAD)
    with pytest.raises(AssertionError):
        wire.server.start_response(1, HEAD)
    with pytest.raises(AssertionError):
        wire.server.respond(1, HEAD, b"", TRAILERS)


def test_a_long_header_block_is_continued() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    fields = Fields((b":status", b"200"), *((b"x%d" % number, b"y" * 1000) for number in range(40)))
    wire.server.respond(1, fields, b"", fields)
    frames = wire.collect()
    assert [each.kind for each in frames] == [HEADERS, CONTINUATION, CONTINUATION] * 2
    assert [each.flags for each in frames] == [0, 0, END_HEADERS, END_STREAM, 0, END_HEADERS]
    assert decode_blocks(frames) == [list(fields.pairs)] * 2


def test_a_lower_table_limit_is_acknowledged_once() -> None:
    wire = Wire()
    wire.feed(settings((1, 100)), headers(1), headers(3))
    blocks = [each.payload for each in wire.of_kind(HEADERS)]
    assert blocks[0][:1] == b"\x20"
    assert [each[:1] for each in blocks[1:]] != [b"\x20"] * 3
    assert decode_blocks(wire.frames) == [list(HEAD.pairs), list(TRAILERS.pairs)] * 2
    wire.frames.clear()
    wire.feed(settings((1, 4096)), settings((1, 50)), headers(5))
    assert wire.of_kind(HEADERS)[0].payload[:1] != b"\x20"


def test_data_waits_for_the_streams_window() -> None:
    wire = Wire()
    wire.answer_body = bytes(range(100))
    wire.feed(settings((4, 10)), headers(1))
    assert [each.payload for each in wire.of_kind(DATA)] == [bytes(range(10))]
    assert wire.server.unsent_bytes(1) == 90
    wire.feed(window_update(1, 80))
    wire.feed(settings((4, 15)))
    wire.feed(window_update(1, 1000))
    assert b"".join(each.payload for each in wire.of_kind(DATA)) == bytes(range(100))
    assert [len(each.payload) for each in wire.of_kind(DATA)] == [10, 80, 5, 5]
    assert wire.frames[-1].kind == HEADERS
    assert wire.server.open_streams == 0


def test_a_window_can_be_negative() -> None:
    """Section 6.9.2: nothing is sent until it is above zero again; an end without bytes needs no window."""
    wire = Wire(answers=False)
    wire.feed(settings((4, 10)), headers(1), headers(3))
    for stream_id in (1, 3):
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, b"0123456789")
    wire.feed(settings((4, 4)))
    wire.server.send_data(1, b"abc")
    wire.server.send_data(3, b"", end=True)
    wire.feed(window_update(1, 6))
    assert wire.server.unsent_bytes(1) == 3
    assert [(each.stream_id, each.flags) for each in wire.of_kind(DATA)[2:]] == [(3, END_STREAM)]
    wire.feed(window_update(1, 2))
    assert wire.of_kind(DATA)[-1].payload == b"ab"


def test_data_waits_for_the_connections_window_and_streams_take_turns() -> None:
    wire = Wire(answers=False)
    wire.feed(settings((4, 1 << 20)), *(headers(stream_id) for stream_id in (1, 3, 5)))
    for stream_id in (1, 3, 5):
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, bytes(60_000), end=True)
    assert sum(len(each.payload) for each in wire.collect() if each.kind == DATA) == 65_535
    wire.feed(window_update(0, 16_384 * 4))
    turns = [each.stream_id for each in wire.of_kind(DATA)]
    assert turns == [3, 5, 3, 5]
    wire.frames.clear()
    wire.feed(window_update(0, 1 << 20))
    assert {each.stream_id for each in wire.frames if each.flags & END_STREAM} == {3, 5}
    assert wire.server.open_streams == 0


def test_a_stream_that_goes_leaves_its_turn() -> None:
    wire = Wire(answers=False)
    wire.feed(settings((4, 1 << 20)), headers(1), headers(3))
    for stream_id in (1, 3):
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, bytes(100_000))
    wire.feed(reset(1))
    wire.server.reset_stream(3, ErrorCode.CANCEL)
    wire.collect()
    wire.feed(window_update(0, 1 << 20))
    assert wire.collect() == []


def test_a_stream_whose_window_shrank_loses_its_turn_until_it_is_credited() -> None:
    wire = Wire(answers=False)
    wire.feed(settings((4, 200_000)), headers(1))
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, bytes(100_000), end=True)
    wire.feed(settings((4, 0)), window_update(0, 1 << 20))
    assert wire.server.unsent_bytes(1) == 100_000 - 65_535
    wire.feed(window_update(1, 1 << 20))
    assert wire.server.open_streams == 0


def test_the_driver_hears_when_little_is_left() -> None:
    wire = Wire(answers=False)
    low = limits.HTTP2_LOW_WATER_BYTES
    wire.feed(settings((4, 0)), headers(1))
    wire.server.start_response(1, HEAD)
    wire.server.send_data(1, bytes(low + 100))
    assert wire.feed(window_update(1, 50)) == []
    assert wire.feed(window_update(1, 100)) == [StreamDrained(1)]
    assert wire.feed(window_update(1, 100)) == []
    wire.server.send_data(1, bytes(low))
    wire.feed(window_update(0, 1 << 20))
    assert wire.feed(window_update(1, 1 << 20)) == [StreamDrained(1)]


def test_the_peers_greater_frames_are_used_up_to_a_bound() -> None:
    wire = Wire()
    wire.answer_body = bytes(limits.HTTP2_SENT_FRAME_BYTES + 1)
    wire.feed(settings((5, 2**24 - 1), (4, 1 << 24)), window_update(0, 1 << 24), headers(1))
    assert [len(each.payload) for each in wire.of_kind(DATA)] == [limits.HTTP2_SENT_FRAME_BYTES, 1]


# --- Credit --------------------------------------------------------------------------------------------------------


def test_gathered_bodies_are_credited_when_half_a_window_is_used() -> None:
    options = Http2Options(stream_window_bytes=100_000, connection_window_bytes=200_000)
    wire = Wire(options=options)
    wire.feed(OPEN)
    wire.each([data(1, bytes(10_000))] * 11)
    updates = [(each.stream_id, int.from_bytes(each.payload, "big")) for each in wire.of_kind(WINDOW_UPDATE)]
    assert updates == [(1, 60_000), (0, 110_000)]


def test_streamed_bodies_are_credited_when_they_are_acknowledged() -> None:
    options = Http2Options(stream_window_bytes=65_535, connection_window_bytes=65_535)
    wire = Wire(body_limit=STREAMED, options=options, answers=False)
    wire.server.receive(OPEN + data(1, bytes(16_384)) * 3, 0.0)
    assert wire.collect() == []
    wire.server.acknowledge(1, 1000)
    assert wire.collect() == []
    wire.server.acknowledge(1, 1 << 30)  # more than there is to acknowledge
    updates = [(each.stream_id, int.from_bytes(each.payload, "big")) for each in wire.collect()]
    assert updates == [(0, 3 * 16_384), (1, 3 * 16_384)]


def test_a_streams_window_holds() -> None:
    wire = Wire(body_limit=STREAMED, options=Http2Options(stream_window_bytes=65_535), answers=False)
    wire.server.receive(OPEN + data(1, bytes(16_384)) * 4, 0.0)
    (last,) = wire.collect()
    assert (last.kind, last.code) == (RST_STREAM, ErrorCode.FLOW_CONTROL_ERROR)


def test_the_connections_window_holds() -> None:
    wire = Wire(body_limit=STREAMED, options=Http2Options(connection_window_bytes=65_535), answers=False)
    wire.server.receive(OPEN + data(1, bytes(16_384)) * 4, 0.0)
    (last,) = wire.collect()
    assert (last.kind, last.code) == (GOAWAY, ErrorCode.FLOW_CONTROL_ERROR)


@pytest.mark.parametrize("end", [reset(1), b""])
def test_what_a_stream_held_is_credited_to_the_connection_when_it_goes(end: bytes) -> None:
    options = Http2Options(connection_window_bytes=65_535)
    wire = Wire(body_limit=STREAMED, options=options, answers=False)
    wire.server.receive(OPEN + data(1, bytes(16_384)) * 3, 0.0)
    if end:
        wire.server.receive(end, 0.0)
    else:
        wire.server.reset_stream(1, ErrorCode.CANCEL)
        wire.server.receive(PING_FRAME, 0.0)
    updates = [(each.stream_id, int.from_bytes(each.payload, "big")) for each in wire.collect() if each.kind == 8]
    assert updates == [(0, 3 * 16_384)]


def test_data_out_of_place_is_credited_to_the_connection() -> None:
    wire = Wire(options=Http2Options(connection_window_bytes=65_535), answers=False)
    wire.feed(OPEN)
    wire.server.reset_stream(1, ErrorCode.CANCEL)
    wire.feed(*[data(1, bytes(16_384))] * 3)
    assert [int.from_bytes(each.payload, "big") for each in wire.of_kind(WINDOW_UPDATE)] == [3 * 16_384]


def test_a_window_below_the_default_holds_once_it_is_acknowledged() -> None:
    wire = Wire(options=Http2Options(stream_window_bytes=10), handshake=False, body_limit=STREAMED, answers=False)
    wire.server.receive(PREFACE + settings() + OPEN + data(1, bytes(100)), 0.0)
    wire.server.acknowledge(1, 100)
    wire.server.receive(frame(SETTINGS, ACK, 0) + headers(3, end=False) + data(3, bytes(11)), 0.0)
    assert [(each.stream_id, each.code) for each in wire.collect() if each.kind == RST_STREAM] == [
        (3, ErrorCode.FLOW_CONTROL_ERROR)
    ]


# --- Ends ----------------------------------------------------------------------------------------------------------


def test_the_peers_reset_is_told() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    assert wire.feed(reset(1, 5)) == [StreamReset(1, 5, by_peer=True)]


def test_a_reset_of_what_was_not_delivered_is_silent() -> None:
    wire = Wire()
    assert wire.feed(OPEN, data(1, b"x"), reset(1)) == []


def test_our_own_reset_of_a_faulty_stream_is_told() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    events = wire.feed(OPEN, window_update(1, 0))
    assert events[1:] == [StreamReset(1, ErrorCode.PROTOCOL_ERROR, by_peer=False)]


def test_the_end_of_the_input_ends_everything() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1), headers(3, end=False))
    assert wire.feed(b"") == [StreamReset(1, ErrorCode.CANCEL, by_peer=True), ConnectionEnded("", 0)]
    assert wire.server.is_finished
    assert wire.feed(b"") == []
    assert wire.tick(1.0) == []
    wire.server.close()
    assert wire.collect() == []


def test_a_fault_ends_everything() -> None:
    wire = Wire(answers=False)
    events = wire.feed(headers(1), data(0, b"x"), headers(3))
    assert events[1:] == [
        StreamReset(1, ErrorCode.PROTOCOL_ERROR, by_peer=False),
        ConnectionEnded("DATA on stream 0", ErrorCode.PROTOCOL_ERROR),
    ]
    (goaway,) = wire.collect()
    assert goaway.payload == u32(1) + u32(1) + b"DATA on stream 0"
    wire.server.respond(1, HEAD, b"", TRAILERS)
    assert wire.collect() == []


def test_draining_takes_what_is_on_its_way() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    wire.server.close()
    wire.server.close()
    goaway, ping = wire.collect()
    assert goaway.payload == u32(2**31 - 1) + u32(0)
    assert not wire.server.is_finished
    wire.feed(headers(3), frame(PING, ACK, 0, b"other..."), frame(PING, ACK, 0, ping.payload))
    (last,) = wire.collect()
    assert last.payload == u32(3) + u32(0)
    wire.feed(headers(5), data(5, b"x"), headers(7))
    assert [event.stream_id for event in wire.events_of(RequestReceived)] == [1, 3]
    wire.server.respond(1, HEAD, b"", TRAILERS)
    assert not wire.server.is_finished
    wire.server.respond(3, HEAD, b"", TRAILERS)
    assert wire.server.is_finished


def test_draining_does_not_wait_for_ever_for_the_ping() -> None:
    wire = Wire()
    wire.server.close()
    wire.tick(limits.HTTP2_GOAWAY_GRACE_SECONDS)
    assert [each.payload[:4] for each in wire.of_kind(GOAWAY)] == [u32(2**31 - 1), u32(0)]
    assert wire.server.is_finished


def test_closing_with_a_code_is_one_goaway() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    wire.server.close(ErrorCode.ENHANCE_YOUR_CALM, b"d" * 1000)
    (goaway,) = wire.collect()
    assert goaway.payload == u32(1) + u32(11) + b"d" * limits.HTTP2_DEBUG_BYTES
    assert not wire.server.is_finished
    wire.feed(headers(3))
    assert len(wire.events_of(RequestReceived)) == 1


def test_header_blocks_of_ignored_streams_are_still_decoded() -> None:
    wire = Wire(body_limit=STREAMED, answers=False)
    wire.feed(OPEN)
    wire.server.close(ErrorCode.NO_ERROR + 2)
    base = block(*PSEUDO)
    wire.feed(frame(HEADERS, 5, 3, base + literal(b"x", b"y", 0x40)), frame(HEADERS, 5, 1, b"\xbe"))
    assert wire.events[-1] == StreamEnded(1, ((b"x", b"y"),))


def test_the_peers_goaway_is_told_and_ends_when_nothing_is_left() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    assert wire.feed(frame(GOAWAY, 0, 0, u32(0) + u32(2) + b"why")) == [GoawayReceived(0, 2, b"why")]
    assert not wire.server.is_finished
    wire.server.respond(1, HEAD, b"", TRAILERS)
    assert wire.server.is_finished


# --- Timers --------------------------------------------------------------------------------------------------------


def test_settings_that_are_not_acknowledged() -> None:
    wire = Wire(handshake=False)
    wire.feed(PREFACE + settings())
    assert wire.tick(limits.HTTP2_SETTINGS_TIMEOUT_SECONDS - 0.1) == []
    assert wire.tick(limits.HTTP2_SETTINGS_TIMEOUT_SECONDS)[-1] == ConnectionEnded(
        "SETTINGS were not acknowledged", ErrorCode.SETTINGS_TIMEOUT
    )


@pytest.mark.parametrize(
    "begun", [headers(1)[:5], headers(1)[:12], frame(HEADERS, 0, 1, b""), frame(HEADERS, 0, 1, b"") + b"\0"]
)
def test_the_slow_trickle(begun: bytes) -> None:
    wire = Wire()
    wire.now = 100.0
    wire.feed(begun)
    wire.now = 120.0
    wire.feed(b"\0")  # one byte more does not wind the clock up
    assert wire.tick(100.0 + limits.HTTP2_FRAME_TIMEOUT_SECONDS - 0.1) == []
    assert wire.tick(100.0 + limits.HTTP2_FRAME_TIMEOUT_SECONDS) != []


def test_a_preface_that_does_not_come() -> None:
    wire = Wire(handshake=False, options=Http2Options(settings_timeout_seconds=1000))
    wire.feed(PREFACE[:10])
    assert wire.tick(limits.HTTP2_FRAME_TIMEOUT_SECONDS) != []


def test_a_busy_connection_is_never_incomplete_for_long() -> None:
    """Every read ends within a frame, but each time within another one."""
    wire = Wire()
    stream = b"".join(headers(1 + 2 * number) for number in range(100))
    step = len(headers(1)) + 1
    for number, at in enumerate(range(0, len(stream) - step, step)):
        wire.now = float(number)
        wire.feed(stream[at : at + step])
        assert wire.tick(wire.now) == []


def test_keepalive_pings_and_gives_up() -> None:
    wire = Wire(options=Http2Options(keepalive_interval_seconds=60, keepalive_timeout_seconds=20))
    assert wire.tick(59.0) == []
    assert wire.collect() == []
    wire.tick(60.0)
    (ping,) = wire.collect()
    assert (ping.kind, ping.flags) == (PING, 0)
    wire.tick(79.0)
    wire.feed(frame(PING, ACK, 0, ping.payload))
    wire.tick(80.0)
    assert wire.ended is None
    wire.tick(139.0)
    assert [each.kind for each in wire.collect()] == [PING]
    wire.tick(159.0)
    assert wire.ended is not None


# --- Pings of the client -------------------------------------------------------------------------------------------


def test_too_many_pings() -> None:
    wire = Wire(answers=False)
    wire.feed(headers(1))
    wire.each([PING_FRAME] * 3)
    assert wire.ended is None
    wire.feed(PING_FRAME)
    assert wire.ended is not None
    goaway = wire.of_kind(GOAWAY)[0]
    assert (goaway.code, goaway.payload[8:]) == (ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")


def test_pings_are_forgiven_when_we_send() -> None:
    wire = Wire()
    for number in range(10):
        wire.each([PING_FRAME] * 3)
        wire.feed(headers(1 + 2 * number))
    assert wire.ended is None


# --- Floods --------------------------------------------------------------------------------------------------------


def assert_calm_down(wire: Wire) -> None:
    assert wire.ended is not None
    assert wire.ended.error_code == ErrorCode.ENHANCE_YOUR_CALM


def test_rapid_reset() -> None:
    wire = Wire(answers=False)
    for number in range(limits.HTTP2_RESET_BUDGET):
        wire.feed(headers(1 + 2 * number), reset(1 + 2 * number))
    assert wire.ended is None
    wire.feed(headers(9001), reset(9001))
    assert_calm_down(wire)


def test_resets_that_we_are_made_to_send() -> None:
    """CVE-2025-8671: each call is begun, then broken so that we reset it."""
    wire = Wire(answers=False)
    for number in range(limits.HTTP2_RESET_BUDGET + 1):
        wire.feed(headers(1 + 2 * number), window_update(1 + 2 * number, 0))
    assert_calm_down(wire)


def test_finished_calls_and_time_refill_the_reset_budget() -> None:
    wire = Wire(answers=False)
    stream_id = 1
    for number in range(3 * limits.HTTP2_RESET_BUDGET):
        wire.feed(headers(stream_id), reset(stream_id), headers(stream_id + 2))
        wire.server.respond(stream_id + 2, HEAD, b"", TRAILERS if number % 2 else None)
        stream_id += 4
    assert wire.ended is None
    for second in range(1, 200):
        wire.tick(float(second))
        for _ in range(limits.HTTP2_RESETS_PER_SECOND):
            wire.feed(headers(stream_id), reset(stream_id))
            stream_id += 2
    assert wire.ended is None


@pytest.mark.parametrize(
    "idle",
    [
        settings(),
        frame(SETTINGS, ACK, 0),
        priority(1, 3),
        data(1),
        window_update(0, 1),
        window_update(1, 1),
        frame(PING, ACK, 0, bytes(8)),
        frame(0x77, 0, 0),
        reset(3),
    ],
)
def test_frames_that_carry_nothing(idle: bytes) -> None:
    wire = Wire(answers=False)
    wire.feed(OPEN, headers(3), reset(3), headers(5, end=False), data(5, b"x"))
    wire.feed(idle * limits.HTTP2_IDLE_FRAMES_BUDGET)
    assert wire.ended is None
    wire.feed(idle)
    assert_calm_down(wire)


def test_useful_frames_and_time_refill_the_budget_of_idle_ones() -> None:
    half = window_update(0, 1) * (limits.HTTP2_IDLE_FRAMES_BUDGET // 2)
    wire = Wire(answers=False)
    wire.feed(headers(1), OPEN.replace(u32(1), u32(3), 1))
    wire.server.start_response(1, HEAD)
    for _ in range(3):
        wire.feed(half)
        wire.server.send_data(1, b"x")  # what we send
        wire.feed(half)
        wire.feed(data(3, b"x"))  # what the peer sends
    for second in (100.0, 200.0):
        wire.tick(second)
        wire.feed(half * 2)
    assert wire.ended is None


def test_a_settings_frame_that_moves_many_windows_costs_more() -> None:
    wire = Wire(answers=False)
    wire.feed(*(headers(1 + 2 * number) for number in range(6400)))
    frames = (settings((4, 1)) + settings((4, 2))) * (limits.HTTP2_IDLE_FRAMES_BUDGET // 200)
    wire.feed(frames)
    assert_calm_down(wire)


def test_continuation_flood() -> None:
    wire = Wire()
    wire.feed(frame(HEADERS, 0, 1, block(*PSEUDO)))
    wire.feed(*[frame(CONTINUATION, 0, 1, b"")] * limits.HTTP2_CONTINUATION_FRAMES)
    assert wire.ended is None
    wire.feed(frame(CONTINUATION, 0, 1, b""))
    assert_calm_down(wire)


def test_a_header_block_that_is_too_long_before_it_is_decoded() -> None:
    wire = Wire()
    wire.feed(frame(HEADERS, 0, 1, bytes(16_384)), *[frame(CONTINUATION, 0, 1, bytes(16_384))] * 4)
    assert_calm_down(wire)


def test_a_short_block_that_unfolds_to_too_much() -> None:
    """An entry of 4,000 bytes in the table, referred to a hundred times in a hundred bytes."""
    big = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000
    bomb = block(*PSEUDO) + big + b"\xbe" * 100
    wire = Wire()
    wire.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb))
    assert_calm_down(wire)
    wire = Wire()
    big_name = b"\x40\x7f\xa1\x1e" + b"y" * 4000 + b"\x01x"
    wire.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*PSEUDO) + big_name + b"\x0f\x2f\x00" * 100))
    assert_calm_down(wire)


def test_half_sent_bodies_are_bounded_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_GATHERED_BYTES", 100)
    wire = Wire()
    wire.feed(OPEN, data(1, bytes(60)), headers(3, end=False), data(3, bytes(40)), headers(5, end=False))
    wire.feed(data(5, b"x"))
    assert [(each.stream_id, each.code) for each in wire.of_kind(RST_STREAM)] == [(5, ErrorCode.ENHANCE_YOUR_CALM)]
    wire.feed(data(1, end=True), reset(3), headers(7, end=False), data(7, bytes(90)), data(7, b"y", end=True))
    assert [len(event.body) for event in wire.events_of(RequestReceived)] == [60, 91]


def test_what_waits_is_counted_exactly() -> None:
    wire = Wire(answers=False)
    wire.feed(settings((4, 10)), headers(1), headers(3), headers(5))
    for stream_id in (1, 3, 5):
        wire.server.start_response(stream_id, HEAD)
        wire.server.send_data(stream_id, bytes(100))
    outgoing = wire.server._outgoing  # type: ignore[attr-defined]
    assert outgoing.queued_bytes == 270
    wire.feed(window_update(1, 50), reset(3))
    wire.server.reset_stream(5, ErrorCode.CANCEL)
    assert outgoing.queued_bytes == 40
    wire.feed(window_update(1, 50))
    assert outgoing.queued_bytes == 0


def test_remembered_resets_are_bounded() -> None:
    wire = Wire(answers=False)
    for number in range(limits.HTTP2_REMEMBERED_RESETS + 10):
        wire.feed(headers(1 + 2 * number))
        wire.server.reset_stream(1 + 2 * number, ErrorCode.CANCEL)
        wire.collect()
    assert len(wire.server._table._resets) == limits.HTTP2_REMEMBERED_RESETS  # type: ignore[attr-defined]
    wire.feed(window_update(1, 1), data(8001, b"dropped"))
    assert wire.ended is None
