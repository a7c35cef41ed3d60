"""What one read brings as a whole is one event, and whatever the cut, what is told is what streaming would tell."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.http.interface import (
    STREAMED,
    WHOLE_OR_STREAMED,
    DataReceived,
    Fields,
    RequestReceived,
    RequestStarted,
    ResponseReceived,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from dualmode.http.native import ClientConnection, ServerConnection
from dualmode.http.options import Http2Options
from tests.http.wire import ACK, HEAD, PREFACE, SETTINGS, data, frame, headers, reset, trailers
from tests.http.wire import settings as settings_frame

OPENING = PREFACE + settings_frame() + frame(SETTINGS, ACK, 0)
#: Heads first and bodies behind, as clients write that have much to say at once; one in two frames, one without a body,
#: one with trailers, one that is given up, one that never ends.
REQUESTS = b"".join(
    [
        *(headers(number, end=False) for number in (1, 3, 5)),
        data(3, b"three", end=True),
        data(1, b"one", end=True),
        data(5, b"fi"),
        data(5, b"ve", end=True),
        headers(7),
        headers(9, end=False),
        data(9, b"nine"),
        trailers(9, (b"t", b"v")),
        headers(11, end=False),
        data(11, b"", end=True),
        headers(13, end=False),
        data(13, b"x"),
        reset(13),
        headers(15, end=False),
        data(15, b"on and"),
    ]
)


def told(events: list[Any], said: dict[int, list[Any]]) -> None:
    """What a driver makes of events, by stream: head, bytes, end."""
    for event in events:
        stream = said.setdefault(event.stream_id, ["", b"", None]) if hasattr(event, "stream_id") else []
        match event:
            case RequestStarted():
                stream[0] = "head"
            case RequestReceived():
                stream[0] = "head"
                if event.body:
                    stream[1:] = [event.body, ()]
            case ResponseStarted() | ResponseReceived():
                stream[0] = (event.status, event.fields)
                if isinstance(event, ResponseReceived):
                    stream[1:] = [event.data, event.trailers]
            case DataReceived():
                stream[1] += event.data
            case StreamEnded():
                stream[2] = event.trailers
            case StreamReset():
                stream[2] = "reset"


def requests_told(body_limit: int, pieces: list[bytes]) -> dict[int, list[Any]]:
    server = ServerConnection(lambda head: body_limit)
    server.start(0.0)
    said: dict[int, list[Any]] = {}
    told(server.receive(OPENING, 0.0), said)
    for piece in pieces:
        told(server.receive(piece, 0.0), said)
    return said


def pieces_of(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cuts), len(whole)]
    return [whole[start:end] for start, end in pairwise(places) if start < end]


def test_whole_requests_are_one_event() -> None:
    server = ServerConnection(lambda head: WHOLE_OR_STREAMED)
    server.start(0.0)
    server.receive(OPENING, 0.0)
    events = server.receive(headers(1, end=False) + headers(3, end=False) + data(3, b"b", end=True), 0.0)
    assert [(type(event), event.stream_id, event.body) for event in events] == [  # type: ignore[union-attr]
        (RequestReceived, 1, b""),
        (RequestReceived, 3, b"b"),
    ]
    later = server.receive(data(1, b"a", end=True), 0.0)
    assert [type(event) for event in later] == [DataReceived, StreamEnded]


def test_every_cut_of_requests() -> None:
    expected = requests_told(STREAMED, [REQUESTS])
    for cut in range(len(REQUESTS) + 1):
        assert requests_told(WHOLE_OR_STREAMED, pieces_of(REQUESTS, [cut])) == expected, cut


@given(st.lists(st.integers(0, len(REQUESTS)), max_size=8))
def test_any_cuts_of_requests(cuts: list[int]) -> None:
    assert requests_told(WHOLE_OR_STREAMED, pieces_of(REQUESTS, cuts)) == requests_told(STREAMED, [REQUESTS])


def test_a_whole_body_needs_no_credit_from_the_driver() -> None:
    """Requests that add up to many times the connection's window pass without an acknowledgement."""
    server = ServerConnection(lambda head: WHOLE_OR_STREAMED, Http2Options(connection_window_bytes=70_000))
    server.start(0.0)
    server.receive(OPENING, 0.0)
    for number in range(1, 101, 2):
        (event,) = server.receive(headers(number, end=False) + data(number, bytes(10_000), end=True), 0.0)
        assert isinstance(event, RequestReceived)
        server.respond(number, HEAD, b"x", HEAD)


# --- Answers -------------------------------------------------------------------------------------------------------

ANSWER_HEAD = ((b":status", b"200"), (b"a", b"b"))
ANSWERS = b"".join(
    [
        *(headers(number, end=False, pseudo=ANSWER_HEAD) for number in (1, 3, 5)),
        data(3, b"three"),
        trailers(3, (b"grpc-status", b"0")),
        data(1, b"o"),
        data(1, b"ne"),
        trailers(1, (b"grpc-status", b"0")),
        data(5, b"five", end=True),
        headers(7, end=True, pseudo=ANSWER_HEAD),
        headers(9, end=False, pseudo=ANSWER_HEAD),
        data(9, b"on and"),
        headers(11, end=False, pseudo=ANSWER_HEAD),
        data(11, b"x"),
        reset(11),
    ]
)


def client_with_questions(gathers: bool) -> ClientConnection:
    client = ClientConnection(Http2Options(gathers_responses=gathers))
    client.start(0.0)
    client.receive(settings_frame() + frame(SETTINGS, ACK, 0), 0.0)
    for _ in range(6):
        client.open_stream(Fields((b":method", b"POST"), (b":path", b"/")), b"question", end=True)
    return client


def answers_told(gathers: bool, pieces: list[bytes]) -> dict[int, list[Any]]:
    client = client_with_questions(gathers)
    said: dict[int, list[Any]] = {}
    for piece in pieces:
        told(client.receive(piece, 0.0), said)
    return said


def test_whole_answers_are_one_event() -> None:
    client = client_with_questions(True)
    events: Any = client.receive(ANSWERS, 0.0)
    assert [type(event) for event in events] == [ResponseReceived] * 6 + [StreamReset]
    assert [(event.stream_id, event.data, event.trailers) for event in events[:5]] == [
        (1, b"one", ((b"grpc-status", b"0"),)),
        (3, b"three", ((b"grpc-status", b"0"),)),
        (5, b"five", ()),
        (7, b"", ()),
        (9, b"on and", None),
    ]
    assert events[4].flow_bytes == 6


def test_every_cut_of_answers() -> None:
    expected = answers_told(False, [ANSWERS])
    for cut in range(len(ANSWERS) + 1):
        assert answers_told(True, pieces_of(ANSWERS, [cut])) == expected, cut


@given(st.lists(st.integers(0, len(ANSWERS)), max_size=8))
def test_any_cuts_of_answers(cuts: list[int]) -> None:
    assert answers_told(True, pieces_of(ANSWERS, cuts)) == answers_told(False, [ANSWERS])


@pytest.mark.parametrize("body_bytes", [0, 8, 16_384, 16_385, 70_000])
def test_a_question_is_the_same_bytes_whichever_way_it_leaves(body_bytes: int) -> None:
    """At once when nothing is in the way; else head and body go by the windows."""
    head = Fields((b":method", b"POST"), (b":path", b"/"))
    client = ClientConnection(Http2Options())
    client.start(0.0)
    client.receive(settings_frame() + frame(SETTINGS, ACK, 0), 0.0)
    client.take_output()
    client.open_stream(head, bytes(body_bytes), end=True)  # makes the block of the head
    first = client.take_output()
    client.receive(headers(1, pseudo=ANSWER_HEAD) + frame(8, 0, 0, (200_000).to_bytes(4, "big")), 0.0)
    client.take_output()
    client.open_stream(head, bytes(body_bytes), end=True)
    second = client.take_output()
    cut = min(len(first), 65_000)
    assert second[:cut].replace(b"\0\0\0\x03", b"\0\0\0\x01") == first[:cut]
