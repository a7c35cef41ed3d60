"""The native engine against h2: the same actions, the same events; each one's client against the other's server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dualmode.http.engines import ENGINES
from dualmode.http.interface import (
    STREAMED,
    BodyTooLarge,
    DataReceived,
    Fields,
    RequestReceived,
    RequestStarted,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from dualmode.http.options import Http2Options

REQUEST = Fields((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"here"), (b":path", b"/svc/Call"))
RESPONSE = Fields((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = Fields((b"grpc-status", b"0"), (b"grpc-message", b""))
SMALL = Http2Options(stream_window_bytes=70_000, connection_window_bytes=100_000)


@dataclass
class Story:
    """What one side saw of one stream, whatever the engine cut it into."""

    head: Any = None
    body: bytes = b""
    end: Any = None


@dataclass
class Side:
    stories: dict[int, Story] = field(default_factory=dict)

    def see(self, event: Any) -> None:
        if not hasattr(event, "stream_id"):
            return
        story = self.stories.setdefault(event.stream_id, Story())
        if isinstance(event, (RequestReceived, RequestStarted)):
            story.head = (event.head.method, event.head.path, event.head.authority, event.head.fields)
        if isinstance(event, RequestReceived):
            story.body, story.end = event.body, "whole"
        elif isinstance(event, ResponseStarted):
            story.head = (event.status, event.fields)
        elif isinstance(event, DataReceived):
            story.body += event.data
        elif isinstance(event, StreamEnded):
            story.end = event.trailers
        elif isinstance(event, BodyTooLarge):
            story.end = ("too large", event.start)
        elif isinstance(event, StreamReset):
            story.end = ("reset", event.error_code, event.by_peer)


class Pair:
    """A client and a server joined by a perfect wire. Bodies of paths `/s...` are streamed, others gathered."""

    def __init__(self, client: str, server: str) -> None:
        self.client = ENGINES[client].client(SMALL)
        self.server = ENGINES[server].server(self._classify, SMALL)
        self.seen_by_client, self.seen_by_server = Side(), Side()
        self.client.start(0.0)
        self.server.start(0.0)
        self.settle()

    @staticmethod
    def _classify(head: Any) -> int:
        return STREAMED if head.path.startswith(b"/s") else 50_000

    def settle(self) -> None:
        """Until nobody has anything to say. Whoever receives a body acknowledges it."""
        while True:
            to_server, to_client = self.client.take_output(), self.server.take_output()
            if not to_server and not to_client:
                return
            self._deliver(self.server, to_server, self.seen_by_server)
            self._deliver(self.client, to_client, self.seen_by_client)

    @staticmethod
    def _deliver(receiver: Any, raw: bytes, side: Side) -> None:
        if raw:
            for event in receiver.receive(raw, 0.0):
                side.see(event)
                if isinstance(event, DataReceived):
                    receiver.acknowledge(event.stream_id, event.flow_bytes)


STREAMS = st.integers(0, 3)
SIZES = st.sampled_from([0, 1, 100, 16_384, 16_385, 40_000, 60_000, 150_000])
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"x", b"token", b"grpc-timeout", b"user-agent"]), st.sampled_from([b"", b"1", b"v" * 150])
    ),
    max_size=3,
)
OPEN = st.tuples(st.just("open"), st.sampled_from([b"/s", b"/g", b"/g/other"]), FIELDS, SIZES, st.booleans())
ACTIONS = st.one_of(
    OPEN,
    st.tuples(st.just("send"), STREAMS, SIZES, st.booleans()),
    st.tuples(st.just("end"), STREAMS, st.booleans()),
    st.tuples(st.just("cancel"), STREAMS),
    st.tuples(st.just("respond"), STREAMS, SIZES, st.booleans()),
    st.tuples(st.just("start"), STREAMS),
    st.tuples(st.just("answer"), STREAMS, SIZES, st.booleans()),
    st.tuples(st.just("finish"), STREAMS, st.booleans()),
    st.tuples(st.just("refuse"), STREAMS),
    st.tuples(st.just("settle")),
)
# Left alone, most plays would be short and few calls would be answered.
ANSWERS = st.tuples(st.just("respond"), STREAMS, SIZES, st.booleans())
PLAYS = st.builds(
    lambda opens, rest, answers: opens + rest + answers,
    st.lists(OPEN, min_size=1, max_size=3),
    st.lists(ACTIONS, min_size=4, max_size=16),
    st.lists(ANSWERS, max_size=3),
)


def play(actions: list[Any], client: str, server: str) -> tuple[dict[int, Story], dict[int, Story], int, int]:
    """Runs the actions, ends what is left open, and gives both sides' stories."""
    pair = Pair(client, server)
    opened: list[int] = []
    started: set[int] = set()
    known = pair.seen_by_server.stories

    def act(action: Any) -> None:
        kind, *rest = action
        if kind == "settle":
            pair.settle()
            return
        if kind == "open":
            path, fields, size, end = rest
            head = Fields(*REQUEST.pairs[:3], (b":path", path), *fields)
            if pair.client.can_open_stream():
                opened.append(pair.client.open_stream(head, bytes(size), end))
                pair.settle()
            return
        if not opened:
            return
        stream_id = opened[rest[0] % len(opened)]
        if kind == "send":
            pair.client.send_data(stream_id, b"q" * rest[1], rest[2])
        elif kind == "end":
            pair.client.end_stream(stream_id, Fields((b"t", b"v")) if rest[1] else None)
        elif kind == "cancel":
            pair.client.reset_stream(stream_id, 8)
        elif kind == "refuse":
            pair.server.reset_stream(stream_id, 7)
        elif stream_id not in known:
            return
        elif kind == "respond" and stream_id not in started:
            started.add(stream_id)
            pair.server.respond(stream_id, RESPONSE, b"a" * rest[1], TRAILERS if rest[2] else None)
        elif kind == "start" and stream_id not in started:
            started.add(stream_id)
            pair.server.start_response(stream_id, RESPONSE)
        elif kind == "answer" and stream_id in started:
            pair.server.send_data(stream_id, b"a" * rest[1], rest[2])
        elif kind == "finish" and stream_id in started:
            pair.server.end_stream(stream_id, TRAILERS if rest[1] else None)
        # What crosses on the wire may be seen in either order; that is no difference between engines.
        pair.settle()

    for action in actions:
        act(action)
    pair.settle()
    return known, pair.seen_by_client.stories, pair.client.open_streams, pair.server.open_streams


PAIRS = [("native", "h2"), ("h2", "native"), ("native", "native")]


@pytest.mark.parametrize(("client", "server"), PAIRS)
@settings(max_examples=60, deadline=None)
@given(actions=PLAYS)
# More than the connection's first window, on streams that have ended by the time their bytes are acknowledged.
@example(
    actions=[
        ("open", b"/s", [], 0, True),
        ("respond", 0, 40_000, True),
        ("open", b"/s", [], 0, True),
        ("respond", 1, 60_000, True),
        ("open", b"/s", [], 0, True),
        ("respond", 2, 1, True),
    ]
)
def test_the_same_actions_tell_the_same_story(client: str, server: str, actions: list[Any]) -> None:
    assert play(actions, client, server) == play(actions, "h2", "h2")


@pytest.mark.parametrize(("client", "server"), [*PAIRS, ("h2", "h2")])
def test_large_bodies_both_ways_through_small_windows(client: str, server: str) -> None:
    pair = Pair(client, server)
    head = Fields(*REQUEST.pairs[:3], (b":path", b"/s"))
    for _ in range(3):
        pair.client.open_stream(head, b"q" * 1_000_000, end=True)
    pair.settle()
    for stream_id in (1, 3, 5):
        assert len(pair.seen_by_server.stories[stream_id].body) == 1_000_000
        pair.server.respond(stream_id, RESPONSE, b"a" * 1_000_000, TRAILERS)
    pair.settle()
    for stream_id in (1, 3, 5):
        story = pair.seen_by_client.stories[stream_id]
        assert len(story.body) == 1_000_000
        assert story.end == TRAILERS.pairs
    assert pair.client.open_streams == pair.server.open_streams == 0


@pytest.mark.parametrize(("client", "server"), [*PAIRS, ("h2", "h2")])
def test_thousands_of_calls_on_one_connection(client: str, server: str) -> None:
    """No budget and no memory may wear out on good behaviour."""
    pair = Pair(client, server)
    for number in range(2000 if "h2" not in (client, server) else 200):
        stream_id = pair.client.open_stream(REQUEST.plus((b"n", b"%d" % (number % 7))), b"question", end=True)
        pair.settle()
        pair.server.respond(stream_id, RESPONSE, b"answer", TRAILERS)
        pair.settle()
        assert pair.seen_by_client.stories.pop(stream_id).end == TRAILERS.pairs
        pair.seen_by_server.stories.clear()
