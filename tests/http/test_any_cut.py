"""Both sides of a connection, whatever the cut of the bytes and whatever the bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode.http.engines import ENGINES
from dualmode.http.interface import STREAMED, Fields, RequestReceived, StreamEnded
from dualmode.http.native import ClientConnection, ServerConnection
from dualmode.http.options import Http2Options
from tests.http.wire import (
    ACK,
    HEAD,
    PREFACE,
    PSEUDO,
    SETTINGS,
    TRAILERS,
    block,
    data,
    frame,
    headers,
    literal,
    reset,
    trailers,
    window_update,
)
from tests.http.wire import settings as settings_frame

CONVERSATION = b"".join(
    [
        PREFACE,
        settings_frame((4, 30)),
        frame(SETTINGS, ACK, 0),
        headers(1, end=False),
        data(1, b"hello", end=True),
        frame(1, 0, 3, block(*PSEUDO)[:9]),
        frame(9, 4, 3, block(*PSEUDO)[9:] + literal(b"a", b"b", 0x40)),
        data(3, b"x"),
        trailers(3, (b"t", b"v")),
        window_update(1, 100),
        headers(5, end=False),
        reset(5),
        headers(7),
        frame(6, 0, 0, bytes(8)),
        window_update(0, 1000),
        b"\0\0\1\0\0\0\0\0\0x",
    ]
)


def plain(event: Any) -> Any:
    """Events as values that can be compared across connections."""
    head = getattr(event, "head", None)
    names = ("stream_id", "body", "data", "trailers", "status", "fields", "error_code", "error")
    values = tuple(getattr(event, name, None) for name in names)
    return type(event).__name__, values, head and (head.method, head.path, head.fields)


def talk(pieces: list[bytes], body_limit: int) -> tuple[list[Any], bytes]:
    """Answers follow the last piece, so that the cut cannot change what crosses what."""
    server = ServerConnection(lambda head: body_limit)
    server.start(0.0)
    events = [event for piece in pieces for event in server.receive(piece, 0.0)]
    return [plain(event) for event in events], server.take_output()


@pytest.mark.parametrize("body_limit", [100, STREAMED])
def test_every_cut_gives_the_same(body_limit: int) -> None:
    whole = talk([CONVERSATION], body_limit)
    assert whole[0][-1][0] == "ConnectionEnded"
    for at in range(1, len(CONVERSATION)):
        assert talk([CONVERSATION[:at], CONVERSATION[at:]], body_limit) == whole, at
    assert talk([CONVERSATION[at : at + 1] for at in range(len(CONVERSATION))], body_limit) == whole


# --- Garbage -------------------------------------------------------------------------------------------------------

FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.integers(0, 255) | st.sampled_from([0, 1, 4, 5]),
    st.integers(0, 9) | st.integers(0, 2**32 - 1),
    st.binary(max_size=40) | st.just(block(*PSEUDO)),
)
MANGLED = st.one_of(
    FRAMES,
    st.binary(max_size=30),
    st.sampled_from([headers(1), headers(3, end=False), data(3, b"abc"), data(3, b"", end=True), reset(1), headers(5)]),
)


@settings(max_examples=400)
@given(st.lists(MANGLED, max_size=12), st.booleans(), st.sampled_from([2, STREAMED]), st.booleans())
def test_garbage_at_a_server(pieces: list[bytes], joined: bool, body_limit: int, answers: bool) -> None:
    """Nothing a client can send raises: it only makes events."""
    server = ServerConnection(lambda head: body_limit)
    server.start(0.0)
    server.receive(PREFACE + settings_frame(), 0.0)
    for piece in [b"".join(pieces)] if joined else pieces:
        if not piece:
            continue
        for event in server.receive(piece, 0.0):
            if answers and isinstance(event, (RequestReceived, StreamEnded)):
                server.respond(event.stream_id, HEAD, b"hello", TRAILERS)
    server.tick(1000.0)
    server.take_output()
    server.receive(b"", 0.0)
    assert server.is_finished
    assert server.open_streams == 0
    assert server._gathered_bytes == 0 or server._is_ended


@settings(max_examples=300)
@given(st.lists(MANGLED, max_size=12), st.booleans())
def test_garbage_at_a_client(pieces: list[bytes], joined: bool) -> None:
    client = ClientConnection()
    client.start(0.0)
    client.receive(settings_frame(), 0.0)
    for _ in range(3):
        client.open_stream(Fields(*PSEUDO), b"abc")
    for piece in [b"".join(pieces)] if joined else pieces:
        if piece:
            client.receive(piece, 0.0)
    client.receive(b"", 0.0)
    assert client.is_finished
    assert not client.can_open_stream()


@given(st.binary(max_size=60))
@pytest.mark.parametrize("engine", list(ENGINES))
def test_garbage_from_the_first_byte(engine: str, raw: bytes) -> None:
    server = ENGINES[engine].server(lambda head: 0, Http2Options())
    server.start(0.0)
    if raw:
        server.receive(raw, 0.0)
    server.receive(b"", 0.0)
    assert server.is_finished


@settings(max_examples=150)
@given(st.lists(MANGLED, max_size=8))
def test_garbage_at_the_h2_engine(pieces: list[bytes]) -> None:
    server = ENGINES["h2"].server(lambda head: 2, Http2Options())
    server.start(0.0)
    server.receive(PREFACE + settings_frame(), 0.0)
    for piece in pieces:
        if piece:
            for event in server.receive(piece, 0.0):
                if isinstance(event, RequestReceived):
                    server.respond(event.stream_id, HEAD, b"hello", TRAILERS)
    server.receive(b"", 0.0)
    assert server.is_finished
