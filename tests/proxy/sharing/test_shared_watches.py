"""Shared watches against each client alone: whatever happens, a client hears what it would hear from the member itself.

The member here is a model: it keeps all events, answers creations and events on two queues of their own (as etcd does:
an answer to a creation may overtake an event or be overtaken), and knows nothing of sharing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from dualmode.errors import Code, RpcError
from dualmode.proxy.sharing.shared_watches import SharedWatches
from dualmode.proxy.sharing.watches import ClientStream
from dualmode.rpc.framing import unframed


class Member:
    """All events, and watches on them. A watch in the past is brought up to date in one response when it is made."""

    def __init__(self) -> None:
        self.revision = 10
        self.compacted = 0
        self.log: list[tuple[int, bytes]] = [(number, b"a" if number % 2 else b"b") for number in range(2, 11)]
        self.watches: dict[int, Any] = {}
        self.made = 0
        self.control: deque[bytes] = deque()
        self.events: deque[bytes] = deque()

    def take(self, data: bytes) -> None:
        request = pb.WatchRequest.FromString(data)
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            self._create(request.create_request)
        elif kind == "cancel_request":
            watch_id = request.cancel_request.watch_id
            if self.watches.pop(watch_id, None) is not None:
                self.control.append(self._response(watch_id, canceled=True))
        else:
            # Everything that was sent before is before it. A watch whose start is still to come holds it back.
            if all(watch.start_revision <= self.revision + 1 for watch in self.watches.values()):
                self.events.append(self._response(-1))

    def _create(self, create: Any) -> None:
        self.made += 1
        if create.key == b"forbidden":
            reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
            self.control.append(self._response(-1, created=True, canceled=True, cancel_reason=reason))
            return
        self.control.append(self._response(create.watch_id, created=True))
        start = create.start_revision
        if start and start < self.compacted:
            self.events.append(self._response(create.watch_id, canceled=True, compact_revision=self.compacted))
            return
        self.watches[create.watch_id] = create
        if start:
            self._send(create.watch_id, create, [one for one in self.log if one[0] >= start])

    def _response(self, watch_id: int, **fields: Any) -> bytes:
        header = pb.ResponseHeader(revision=self.revision)
        return bytes(pb.WatchResponse(header=header, watch_id=watch_id, **fields).SerializeToString())

    def _send(self, watch_id: int, create: Any, events: list[tuple[int, bytes]]) -> None:
        wanted = [one for one in events if create.key == one[1] or create.range_end]
        if wanted:
            made = [mvccpb.Event(kv=mvccpb.KeyValue(key=key, mod_revision=number)) for number, key in wanted]
            self.events.append(self._response(watch_id, events=made))

    def put(self, key: bytes) -> None:
        self.revision += 1
        self.log.append((self.revision, key))
        for watch_id, create in self.watches.items():
            if create.start_revision <= self.revision:
                self._send(watch_id, create, [(self.revision, key)])


class Client:
    """One client: what it was sent on each watch, and what it asked for."""

    def __init__(self) -> None:
        self.unsent_bytes = 0
        self.received: list[Any] = []
        self.ended: RpcError | None = None

    def send_frames(self, data: bytes, count: int) -> None:
        messages = list(unframed(data))
        assert len(messages) == count
        for message in messages:
            self.send_now(message)

    def send_now(self, message: bytes) -> None:
        self.received.append(pb.WatchResponse.FromString(message))

    def end(self, error: RpcError | None = None) -> None:
        self.ended = error

    def revisions(self, watch_id: int) -> list[int]:
        found = [one for one in self.received if one.watch_id == watch_id]
        return [event.kv.mod_revision for one in found for event in one.events]

    def created_at(self, watch_id: int) -> int | None:
        for one in self.received:
            if one.created and not one.canceled and one.watch_id == watch_id:
                return int(one.header.revision)
        return None


class World:
    """Everything together, driven by hand."""

    def __init__(self) -> None:
        self.member = Member()
        self.shared = SharedWatches(self.member.take)
        self.clients: list[tuple[Client, ClientStream]] = []

    def client(self) -> tuple[Client, ClientStream]:
        client = Client()
        self.clients.append((client, self.shared.open(client)))
        return self.clients[-1]

    def put_elsewhere(self, count: int) -> None:
        """The revision goes on without an event for anybody here."""
        self.member.revision += count

    def deliver(self, queue: deque[bytes] | None = None) -> None:
        """One response, or all."""
        member = self.member
        if queue is None:
            while member.control or member.events:
                self.shared.on_response((member.control or member.events).popleft())
        elif queue:
            # A member never speaks of a watch before it has confirmed that one.
            watch_id = pb.WatchResponse.FromString(queue[0]).watch_id
            while watch_id > 0 and queue is member.events and self._is_unconfirmed(watch_id):
                self.shared.on_response(member.control.popleft())
            self.shared.on_response(queue.popleft())

    def _is_unconfirmed(self, watch_id: int) -> bool:
        answers = map(pb.WatchResponse.FromString, self.member.control)
        return any(one.created and one.watch_id == watch_id for one in answers)

    def settle(self) -> None:
        """Everybody reads, everything is delivered."""
        while True:
            self.deliver()
            for client, stream in self.clients:
                client.unsent_bytes = 0
                self.shared.drained(stream)
            if not (self.member.control or self.member.events):
                return


def create(key: bytes = b"a", **fields: Any) -> Any:
    return pb.WatchCreateRequest(key=key, **fields)


def test_equal_watches_are_one_at_the_member() -> None:
    world = World()
    for _ in range(1000):
        _, stream = world.client()
        for key in (b"a", b"b"):
            world.shared.create(stream, create(key))
    world.deliver()
    assert (world.shared.client_watches, world.shared.upstream_watches, len(world.member.watches)) == (2000, 2, 2)
    world.member.put(b"a")
    world.deliver()
    assert all(client.revisions(0) == [11] and client.revisions(1) == [] for client, _ in world.clients)


def test_what_differs_is_not_shared() -> None:
    world = World()
    _, stream = world.client()
    for request in (
        create(b"a"),
        create(b"b"),
        create(b"a", range_end=b"b"),
        create(b"a", prev_kv=True),
        create(b"a", filters=[0]),
        create(b"a", fragment=True),
        create(b"a", progress_notify=True),
    ):
        world.shared.create(stream, request)
    world.deliver()
    assert world.shared.upstream_watches == 7
    world.shared.create(stream, create(b"a", filters=[0, 0]))
    world.deliver()
    assert world.shared.upstream_watches == 7


def test_an_event_that_overtakes_the_answer_to_a_creation_is_not_lost() -> None:
    world = World()
    one, first = world.client()
    world.shared.create(first, create())
    world.deliver()
    two, second = world.client()
    world.shared.create(second, create())
    world.member.put(b"a")
    world.deliver(world.member.events)  # the group hears of it before the second watch is confirmed
    assert two.received == []
    world.deliver()
    assert one.revisions(0) == two.revisions(0) == [11]


def test_an_event_before_a_creation_is_not_heard() -> None:
    world = World()
    one, first = world.client()
    world.shared.create(first, create())
    world.deliver()
    two, second = world.client()
    world.member.put(b"a")
    world.shared.create(second, create())
    world.deliver(world.member.control)
    world.deliver()
    assert (one.revisions(0), two.revisions(0)) == ([11], [])


def test_a_watch_from_the_past_joins_when_it_has_come_to_where_the_group_is() -> None:
    world = World()
    _, first = world.client()
    world.shared.create(first, create())
    two, second = world.client()
    world.shared.create(second, create(start_revision=3))
    world.deliver()
    assert world.shared.upstream_watches == 2
    world.member.put(b"a")
    world.deliver()
    assert world.shared.upstream_watches == 1
    world.member.put(b"a")
    world.deliver()
    assert two.revisions(0) == [3, 5, 7, 9, 11, 12]


def test_a_client_that_does_not_read_holds_nobody_up_and_loses_nothing() -> None:
    world = World()
    one, first = world.client()
    two, second = world.client()
    for stream in (first, second):
        world.shared.create(stream, create())
    world.deliver()
    one.unsent_bytes = limits.WATCH_STREAM_UNSENT_BYTES + 1
    for _ in range(5):
        world.member.put(b"a")
    world.deliver()
    assert (one.revisions(0), two.revisions(0)) == ([], [11, 12, 13, 14, 15])
    world.settle()
    world.member.put(b"a")
    world.settle()
    assert one.revisions(0) == two.revisions(0) == [11, 12, 13, 14, 15, 16]
    assert world.shared.upstream_watches == 1


def test_refusals_are_the_member_s_words() -> None:
    world = World()
    client, stream = world.client()
    world.shared.create(stream, create(b"a", watch_id=5))
    world.shared.create(stream, create(b"forbidden"))
    world.deliver()
    world.shared.create(stream, create(b"b", watch_id=5))
    world.deliver()
    assert [(one.watch_id, one.created, one.canceled) for one in client.received] == [
        (5, True, False),
        (-1, True, True),
        (-1, True, True),
    ]
    assert "permission denied" in client.received[1].cancel_reason
    assert client.received[2].cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"
    assert world.shared.client_watches == 1


def test_a_compacted_past() -> None:
    world = World()
    world.member.compacted = 8
    client, stream = world.client()
    world.shared.create(stream, create(start_revision=3))
    world.deliver()
    assert [(one.created, one.canceled, one.compact_revision) for one in client.received] == [
        (True, False, 0),
        (False, True, 8),
    ]
    assert world.shared.client_watches == world.shared.upstream_watches == 0


@pytest.mark.parametrize("riders", [1, 2])
def test_a_cancel_is_answered_with_the_revision_of_now(riders: int) -> None:
    """As the member would answer, though it is not the member that ends the watch."""
    world = World()
    clients = [world.client() for _ in range(riders)]
    for _, stream in clients:
        world.shared.create(stream, create(b"a", watch_id=4))
    world.deliver()
    world.put_elsewhere(7)
    client, stream = clients[0]
    world.shared.cancel(stream, 4)
    world.shared.create(stream, create(b"a", watch_id=4))  # the id is free at once
    world.shared.create(stream, create(b"b", watch_id=4))
    world.deliver()
    told = [(one.watch_id, one.created, one.canceled, one.header.revision) for one in client.received]
    assert told == [(4, True, False, 10), (4, False, True, 17), (4, True, False, 17), (-1, True, True, 17)]
    world.member.put(b"a")
    world.deliver()
    assert client.revisions(4) == [18]
    assert world.shared.upstream_watches == 1


def test_the_id_of_a_watch_in_a_compacted_past_stays_taken_until_it_is_cancelled() -> None:
    world = World()
    client, stream = world.client()
    world.member.compacted = 5
    world.shared.create(stream, create(b"a", watch_id=3, start_revision=2))
    world.deliver()
    world.shared.create(stream, create(b"a", watch_id=3))
    world.shared.cancel(stream, 3)
    world.shared.create(stream, create(b"a", watch_id=3))
    world.deliver()
    told = [(one.watch_id, one.created, one.canceled) for one in client.received]
    taken, cancelled, made = (-1, True, True), (3, False, True), (3, True, False)
    assert told == [(3, True, False), (3, False, True), taken, cancelled, made]


def test_cancelling() -> None:
    world = World()
    one, first = world.client()
    two, second = world.client()
    for stream in (first, second):
        world.shared.create(stream, create())
    world.shared.cancel(first, 0)  # before it is confirmed
    world.shared.cancel(first, 9)
    world.deliver()
    assert [(answer.created, answer.canceled) for answer in one.received] == [(True, False), (False, True)]
    world.member.put(b"a")
    world.deliver()
    assert (one.revisions(0), two.revisions(0)) == ([], [11])
    world.shared.cancel(second, 0)
    world.deliver()
    assert world.member.watches == {}
    world.shared.create(second, create())
    assert list(second.watches) == [1]


def test_a_client_that_asks_for_what_is_to_come_gets_a_stream_of_its_own() -> None:
    """Its watches go on where they were; nobody else is kept waiting for progress."""
    world = World()
    own_member = Member()
    private = SharedWatches(own_member.take)
    one, first = world.client()
    two, second = world.client()
    moved: list[ClientStream] = []
    world.shared.on_future = moved.append
    world.shared.create(first, create(b"a", watch_id=1))
    world.shared.create(second, create(b"a", watch_id=1))
    world.deliver()
    world.member.put(b"a")
    own_member.put(b"a")
    world.deliver()
    world.shared.create(first, create(b"b", watch_id=2, start_revision=13))
    world.shared.cancel(first, 99)
    world.shared.request_progress(first)
    world.deliver()
    assert moved == [first]
    world.shared.release(first)
    private.adopt(first)
    for key in (b"b", b"a", b"b"):  # 12, 13, 14
        world.member.put(key)
        own_member.put(key)
    while own_member.control or own_member.events:
        private.on_response((own_member.control or own_member.events).popleft())
    world.shared.request_progress(second)
    world.deliver()
    assert (one.revisions(1), one.revisions(2)) == ([11, 13], [14])
    # What it asked for itself is held back by its own watch, as it would be without a proxy.
    assert [(answer.watch_id, answer.created) for answer in one.received if not answer.events] == [(1, True), (2, True)]
    # The member has dropped one question, so its next answer may be to that one: it is asked once more.
    assert (two.revisions(1), two.received[-1].watch_id) == ([11, 13], 1)
    world.shared.ask_again()
    world.deliver()
    assert two.received[-1].watch_id == -1
    world.shared.ask_again()
    assert not world.member.events
    private.close(first)
    assert own_member.watches == {}


def test_progress_is_told_when_everything_before_it_was_sent() -> None:
    world = World()
    one, first = world.client()
    two, second = world.client()
    world.shared.request_progress(first)  # no watches: no answer
    world.shared.create(first, create())
    world.shared.create(second, create())
    world.deliver()
    world.member.put(b"a")
    world.shared.request_progress(first)
    world.deliver()
    assert [(answer.watch_id, answer.header.revision) for answer in one.received[-1:]] == [(-1, 11)]
    assert two.received[-1].watch_id == 0
    one.unsent_bytes = limits.WATCH_STREAM_UNSENT_BYTES + 1
    world.member.put(b"a")
    world.shared.request_progress(first)
    world.deliver()
    assert one.revisions(0) == [11]
    assert one.received[-1].header.revision == 11
    world.settle()
    world.shared.request_progress(first)
    world.settle()
    assert one.revisions(0) == [11, 12]
    assert (one.received[-1].watch_id, one.received[-1].header.revision) == (-1, 12)


def test_the_end_of_the_upstream_stream_is_the_end_for_all() -> None:
    world = World()
    client, stream = world.client()
    world.shared.create(stream, create())
    error = RpcError(Code.UNAVAILABLE, "lost")
    world.shared.lost(error)
    assert client.ended == error
    world.shared.close(stream)
    assert world.shared.is_empty


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([b"a", b"b"])),
        st.tuples(st.just("create"), st.integers(0, 2), st.sampled_from([b"a", b"b", b"*"]), st.integers(0, 14)),
        st.tuples(st.just("cancel"), st.integers(0, 2), st.integers(0, 4)),
        st.tuples(st.just("control")),
        st.tuples(st.just("events")),
        st.tuples(st.just("stall"), st.integers(0, 2)),
        st.tuples(st.just("read"), st.integers(0, 2)),
        st.tuples(st.just("progress"), st.integers(0, 2)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
# A watch in the past is made at the revision its group comes to next, and has brought nothing yet.
@example([("create", 0, b"a", 0), ("put", b"a"), ("create", 0, b"a", 1)])
def test_every_client_hears_what_it_would_alone(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for _ in range(3):
        world.client()
    asked: dict[tuple[int, int], Any] = {}
    cancelled: set[tuple[int, int]] = set()
    for step, *arguments in steps:
        if step == "put":
            world.member.put(arguments[0])
        elif step == "create":
            number, key, start = arguments
            stream = world.clients[number][1]
            fields = {"range_end": b"\0"} if key == b"*" else {}
            before = set(stream.watches)
            world.shared.create(stream, create(key, start_revision=start, **fields))
            [watch_id] = set(stream.watches) - before
            asked[number, watch_id] = (key, start)
        elif step == "cancel":
            number, watch_id = arguments
            if watch_id in world.clients[number][1].watches:
                cancelled.add((number, watch_id))
            world.shared.cancel(world.clients[number][1], watch_id)
        elif step in ("control", "events"):
            world.deliver(getattr(world.member, step))
        elif step == "stall":
            world.clients[arguments[0]][0].unsent_bytes = limits.WATCH_STREAM_UNSENT_BYTES + 1
        elif step == "read":
            world.clients[arguments[0]][0].unsent_bytes = 0
            world.shared.drained(world.clients[arguments[0]][1])
        else:
            world.shared.request_progress(world.clients[arguments[0]][1])
    world.settle()
    for (number, watch_id), (key, start) in asked.items():
        client = world.clients[number][0]
        created = client.created_at(watch_id)
        assert created is not None
        low = start or created + 1
        expected = [one for one, of in world.member.log if one >= low and (key == b"*" or of == key)]
        heard = client.revisions(watch_id)
        if (number, watch_id) in cancelled:
            assert heard == expected[: len(heard)]
        else:
            assert heard == expected
    _check_progress(world, asked)


def _check_progress(world: World, asked: dict[tuple[int, int], Any]) -> None:
    """After an answer that says how far everything is, nothing older comes."""
    for number, (client, _) in enumerate(world.clients):
        told = 0
        for answer in client.received:
            if answer.watch_id == -1 and not answer.created:
                told = answer.header.revision
            start = asked.get((number, answer.watch_id), (b"", 0))[1]
            for event in answer.events:
                assert event.kv.mod_revision > told or start, "an event after its progress was told"


def test_rubbish_from_the_member() -> None:
    world = World()
    with pytest.raises(DecodeError):
        world.shared.on_response(b"\xff\xff")
