"""Requests whose head was seen before take a short way; what is said and heard is what the long way gives."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualmode import limits
from dualmode.http.h1 import Http1ServerConnection
from dualmode.http.interface import Fields, RequestHead, RequestReceived, RequestStarted, StreamEnded

JSON_HEAD = Fields((b":status", b"200"), (b"content-type", b"application/json"))
CHUNKED_HEAD = Fields((b":status", b"200"), (b"content-type", b"text/plain"))
TRAILERS = Fields((b"grpc-status", b"0"))

PUT = b"POST /v3/kv/put HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
REQUESTS = {
    "get": b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n",
    "head": b"HEAD /health HTTP/1.1\r\nHost: here\r\n\r\n",
    "put": PUT + b"body",
    "other body": PUT + b"BODY",
    "kept alive": b"GET /a HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n",
    "streamed answer": b"POST /stream HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\nx",
    "trailers": b"POST /trailers HTTP/1.1\r\nHost: here\r\n\r\n",
    "no content": b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n",
    "length given": b"GET /length HTTP/1.1\r\nHost: here\r\n\r\n",
    "chunks": b"POST /c HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "too long": b"POST /long HTTP/1.1\r\nHost: here\r\nContent-Length: 2000\r\n\r\n" + bytes(2000),
    "streamed body": b"POST /up HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabc",
    "old": b"GET /old HTTP/1.0\r\nHost: here\r\n\r\n",
    "last": b"GET /last HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
}
#: Those after which the connection goes on.
GOING_ON = [name for name in REQUESTS if name not in ("too long", "old", "last")]


def answer(server: Http1ServerConnection, stream_id: int, head: RequestHead, body: bytes) -> None:
    match head.path:
        case b"/stream":
            server.start_response(stream_id, CHUNKED_HEAD)
            server.send_data(stream_id, b"one")
            server.send_data(stream_id, body, end=True)
        case b"/trailers":
            server.respond(stream_id, CHUNKED_HEAD, b"all", TRAILERS)
        case b"/nothing":
            server.respond(stream_id, Fields((b":status", b"204")), b"")
        case b"/length":
            server.respond(stream_id, JSON_HEAD.plus((b"content-length", b"2")), b"ok")
        case _:
            server.respond(stream_id, JSON_HEAD, head.method + b" " + head.path + b" " + body)


def talk(pieces: list[bytes]) -> tuple[list[Any], bytes]:
    """Every request is answered as soon as it is whole: (requests in order, all that is said)."""
    server = Http1ServerConnection(lambda head: -1 if head.path == b"/up" else 1000)
    server.start(0.0)
    heard: list[Any] = []
    said = b""
    bodies: dict[int, tuple[RequestHead, bytes]] = {}

    def handle(events: list[Any]) -> None:
        for event in events:
            match event:
                case RequestReceived():
                    heard.append((event.stream_id, event.head.path, event.head.fields, event.body))
                    answer(server, event.stream_id, event.head, event.body)
                case RequestStarted():
                    bodies[event.stream_id] = event.head, b""
                case StreamEnded():
                    head, body = bodies[event.stream_id]
                    heard.append((event.stream_id, head.path, head.fields, body))
                    answer(server, event.stream_id, head, body)
                case _ if type(event).__name__ == "DataReceived":
                    head, body = bodies[event.stream_id]
                    bodies[event.stream_id] = head, body + event.data
                    server.acknowledge(event.stream_id, event.flow_bytes)
                case _ if type(event).__name__ == "BodyTooLarge":
                    heard.append((event.stream_id, event.head.path, event.head.fields, b"too large"))
                    server.respond(event.stream_id, JSON_HEAD, b"too large")

    for piece in pieces:
        handle(server.receive(piece, 0.0))
        while server.has_more and (events := server.tick(0.0)):
            handle(events)
        said += server.take_output()
    return heard, said + (b"finished" if server.is_finished else b"")


def the_long_way(pieces: list[bytes]) -> tuple[list[Any], bytes]:
    known, limits.HTTP1_KNOWN_HEAD_BYTES = limits.HTTP1_KNOWN_HEAD_BYTES, 0  # type: ignore[misc]
    try:
        return talk(pieces)
    finally:
        limits.HTTP1_KNOWN_HEAD_BYTES = known  # type: ignore[misc]


@pytest.mark.parametrize("name", REQUESTS)
def test_the_second_time_is_as_the_first(name: str) -> None:
    pieces = [REQUESTS[name]] * 3
    assert talk(pieces) == the_long_way(pieces)


@pytest.mark.parametrize("name", ["put", "streamed answer", "trailers", "head"])
def test_every_cut_of_two(name: str) -> None:
    whole = REQUESTS[name] * 2
    expected = the_long_way([whole])
    for cut in range(1, len(whole)):
        assert talk([whole[:cut], whole[cut:]]) == expected, cut


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(GOING_ON), max_size=8), st.sampled_from([*REQUESTS]), st.lists(st.integers(0, 3000)))
def test_any_conversation_in_any_pieces(names: list[str], last: str, cuts: list[int]) -> None:
    whole = b"".join(REQUESTS[name] for name in (*names, last))
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places) if start < end]
    assert talk(pieces) == the_long_way(pieces)


def test_what_is_remembered_is_bounded() -> None:
    server = Http1ServerConnection(lambda head: 1000)
    server.start(0.0)
    for number in range(3 * limits.HTTP1_KNOWN_HEADS):
        for size in (10, limits.HTTP1_KNOWN_HEAD_BYTES):
            head = b"GET /%d HTTP/1.1\r\nHost: here\r\nX: %b\r\n\r\n" % (number, b"x" * size)
            (event,) = server.receive(head, 0.0)
            assert isinstance(event, RequestReceived)
            server.respond(event.stream_id, JSON_HEAD, b"")
    known = server._known._known
    assert 0 < len(known) <= limits.HTTP1_KNOWN_HEADS
    assert all(len(head) <= limits.HTTP1_KNOWN_HEAD_BYTES for head in known)


def test_the_short_way_is_taken() -> None:
    server = Http1ServerConnection(lambda head: 1000)
    server.start(0.0)
    parsers = []
    for _ in range(2):
        (event,) = server.receive(REQUESTS["put"], 0.0)
        assert isinstance(event, RequestReceived)
        assert server._exchange is not None
        parsers.append(server._exchange.parser)
        server.respond(event.stream_id, JSON_HEAD, b"")
    assert parsers[0] is not None
    assert parsers[1] is None
