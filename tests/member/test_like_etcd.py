"""Watches and leases beside a real etcd: the same requests, the same answers, header revisions included."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import grpc
import pytest

from dualmode.api import etcdserverpb as pb
from tests.interop.grpc_client import Client, RequestFeed, connect, start_afresh, suppress_not_found
from tests.interop.servers import start_dualmode, start_etcd

pytestmark = [pytest.mark.interop, pytest.mark.slow]

#: A bound for what must come, however busy the machine is.
ANSWER_SECONDS = 30.0
#: How long is listened for what must not come. Too short to be sure on a busy machine, but then only less is noticed.
QUIET_SECONDS = 0.25


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """etcd, and ours."""
    with (
        start_etcd(tmp_path_factory.mktemp("etcd"), name="one") as etcd,
        start_dualmode(tmp_path_factory.mktemp("dualmode"), name="one") as ours,
        connect(etcd) as etcd_client,
        connect(ours) as our_client,
    ):
        yield etcd_client, our_client


_END = object()


class Watching:
    """A watch call with what it has been answered."""

    def __init__(self, client: Client) -> None:
        self._feed = RequestFeed()
        self._call = client.watch(self._feed)
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        try:
            for response in self._call:
                self._arrived.put(response)
        except grpc.RpcError as error:
            self._arrived.put(error.code())

    def create(self, **fields: Any) -> None:
        self._feed.send(pb.WatchRequest(create_request=pb.WatchCreateRequest(**fields)))

    def cancel(self, watch_id: int) -> None:
        self._feed.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id)))

    def ask_progress(self) -> None:
        self._feed.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    def heard(self, count: int, leaving_out: Callable[[Any], bool] = lambda response: False) -> list[str]:
        """The next `count` responses, and no more, in words that do not depend on the server."""
        found: list[str] = []
        while True:
            try:
                response = self._arrived.get(timeout=QUIET_SECONDS if len(found) >= count else ANSWER_SECONDS)
            except queue.Empty:
                assert len(found) == count, found
                return found
            if not isinstance(response, grpc.StatusCode):
                if leaving_out(response):
                    continue
                response.header.ClearField("cluster_id")
                response.header.ClearField("member_id")
                assert response.header.raft_term > 0
                response.header.ClearField("raft_term")
            found.append(str(response))

    def close(self) -> None:
        self._call.cancel()
        self._feed.close()


def outcome(call: Callable[[], Any]) -> str:
    """The answer of a call without what differs between members, or its error."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return f"{error.code()} {error.details()}"
    for field in ("cluster_id", "member_id", "raft_term"):
        answer.header.ClearField(field)
    return str(answer)


Script = Callable[[Client, Watching, int], Iterator[Any]]
SCRIPTS: list[Script] = []


def script(function: Script) -> Script:
    """Registers a conversation: what it yields must be the same on both sides. It is told the revision it starts at."""
    SCRIPTS.append(function)
    return function


@script
def live_events(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    watching.create(key=b"a", range_end=b"b", prev_kv=True)
    yield watching.heard(1)
    client.Put(key=b"a1", value=b"1")
    yield watching.heard(1)
    client.Put(key=b"a1", value=b"2")
    yield watching.heard(1)
    puts = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"3")) for key in (b"a2", b"b", b"a1")]
    client.Txn(success=puts)
    yield watching.heard(1)
    client.DeleteRange(key=b"a", range_end=b"z")
    yield watching.heard(1)


@script
def the_kinds_of_interval(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    for fields in (
        {"key": b"k"},
        {"key": b""},
        {"key": b"", "range_end": b"\0"},
        {"key": b"k", "range_end": b"\0"},
        {"key": b"\0", "range_end": b"\0"},
        {"key": b"", "range_end": b"k"},
        {"key": b"k", "range_end": b"k"},
        {"key": b"l", "range_end": b"k"},
    ):
        watching.create(**fields)
        yield watching.heard(1)
    for key, events in ((b"\0", 4), (b"j", 3), (b"k", 4), (b"k\0", 3), (b"\xff", 3)):
        client.Put(key=key)
        yield sorted(watching.heard(events))


@script
def watch_ids(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    for asked in (0, 2, 2, 0, 0, 0, -1, -1, (1 << 63) - 1):
        watching.create(key=b"k", watch_id=asked)
        yield watching.heard(1)
    watching.cancel(2)
    yield watching.heard(1)
    watching.cancel(2)
    watching.cancel(99)
    yield watching.heard(0)
    watching.create(key=b"k", watch_id=2)
    yield watching.heard(1)


@script
def filters(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    for chosen in ([], [0], [1], [0, 1], [1, 1]):
        watching.create(key=b"k", filters=chosen, prev_kv=True)
    yield watching.heard(5)
    client.Put(key=b"k", value=b"1")
    yield sorted(watching.heard(3))
    client.DeleteRange(key=b"k")
    yield sorted(watching.heard(2))


@script
def history(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    for number in range(5):
        client.Put(key=b"k%d" % (number % 2), value=b"%d" % number)
    client.DeleteRange(key=b"k0")
    for offset in (1, 3, 5, 6):
        watching.create(key=b"k0", start_revision=start + offset, prev_kv=True)
        yield watching.heard(2)
    watching.create(key=b"k", range_end=b"l", start_revision=start + 1)
    yield watching.heard(2)


@script
def a_start_to_come(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    def too_early(response: Any) -> bool:  # etcd below 3.5.22 leaks the first put to the second watch
        return response.watch_id == 1 and any(event.kv.mod_revision == start + 1 for event in response.events)

    watching.create(key=b"k", start_revision=start + 1)
    watching.create(key=b"k", start_revision=start + 2)
    yield watching.heard(2)
    client.Put(key=b"k", value=b"1")
    yield watching.heard(1, too_early)
    client.Put(key=b"k", value=b"2")
    yield sorted(watching.heard(2, too_early))


@script
def a_compacted_start(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    for _ in range(4):
        client.Put(key=b"k", value=b"v")
    client.Compact(revision=start + 3, physical=True)
    watching.create(key=b"k", start_revision=1)
    yield watching.heard(2)
    watching.create(key=b"k", start_revision=start + 2, watch_id=7)
    yield watching.heard(2)
    watching.create(key=b"k", watch_id=7)
    yield watching.heard(1)
    watching.cancel(7)
    yield watching.heard(1)
    watching.create(key=b"k", start_revision=start + 3, prev_kv=True)
    yield watching.heard(2)


@script
def progress(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    watching.create(key=b"k")
    yield watching.heard(1)
    client.Put(key=b"other")
    watching.ask_progress()
    yield watching.heard(1)
    client.Put(key=b"k")
    yield watching.heard(1)
    watching.ask_progress()
    yield watching.heard(1)


@script
def leases(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    watching.create(key=b"", range_end=b"\0", prev_kv=True)
    yield watching.heard(1)
    for lease_id, ttl in ((70, 100), (70, 100), (71, 99), (73, 9_000_000_000), (74, 9_000_000_001), (-75, 50)):
        yield outcome(lambda lease_id=lease_id, ttl=ttl: client.LeaseGrant(ID=lease_id, TTL=ttl))  # type: ignore[misc]
    for key, lease_id in ((b"c", 70), (b"a", 70), (b"b", 71), (b"moved", 70), (b"x", 99)):
        yield outcome(lambda key=key, lease_id=lease_id: client.Put(key=key, lease=lease_id))  # type: ignore[misc]
    client.Put(key=b"moved", lease=73)
    yield sorted(watching.heard(5))
    for lease_id in (70, 71, 73, 99, 0):
        answer = client.LeaseTimeToLive(ID=lease_id, keys=True)
        yield answer.ID, answer.grantedTTL, sorted(answer.keys), answer.TTL == -1  # etcd's order is a Go map's
    yield outcome(lambda: client.LeaseRevoke(ID=70))
    yield watching.heard(1)
    for lease_id in (70, 0, 99):
        yield outcome(lambda lease_id=lease_id: client.LeaseRevoke(ID=lease_id))  # type: ignore[misc]
    yield outcome(lambda: client.LeaseRevoke(ID=-75))
    yield [lease.ID for lease in client.LeaseLeases().leases]


@script
def the_shortest_leases(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    for lease_id, ttl in ((76, 1), (77, 0), (78, -5)):  # nothing more is asked: they may end at any moment
        yield outcome(lambda lease_id=lease_id, ttl=ttl: client.LeaseGrant(ID=lease_id, TTL=ttl))  # type: ignore[misc]


@script
def keep_alive(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    client.LeaseGrant(ID=80, TTL=100)
    feed = RequestFeed()
    answers = client.keep_alive(feed)
    for lease_id in (80, 81, 0, 80):
        feed.send(pb.LeaseKeepAliveRequest(ID=lease_id))
        answer = next(answers)
        yield answer.ID, answer.TTL, answer.header.revision
    feed.close()
    yield list(answers)


@script
def expiry(client: Client, watching: Watching, start: int) -> Iterator[Any]:
    watching.create(key=b"k", range_end=b"l")
    yield watching.heard(1)  # only now is sure that the watch was there before the put
    put_with_a_short_lease(client, 90, b"k2", b"k1")
    yield watching.heard(1)
    yield watching.heard(1)  # both deletions
    yield outcome(lambda: client.LeaseTimeToLive(ID=90))


def put_with_a_short_lease(client: Client, lease_id: int, *keys: bytes) -> None:
    """Puts the keys in one transaction; again, should the lease have been quicker to end on a machine that stood."""
    puts = [pb.RequestOp(request_put=pb.PutRequest(key=key, lease=lease_id)) for key in keys]
    for _ in range(10):
        client.LeaseGrant(ID=lease_id, TTL=2)
        with suppress_not_found():
            client.Txn(success=puts)
            return
    raise AssertionError("the lease ended before every put")


@pytest.mark.parametrize("conversation", SCRIPTS, ids=lambda one: one.__name__)
def test_like_etcd(clients: tuple[Client, Client], conversation: Script) -> None:
    start = start_afresh(*clients)
    watchings = [Watching(client) for client in clients]
    try:
        sides = [conversation(client, watching, start) for client, watching in zip(clients, watchings, strict=True)]
        with ThreadPoolExecutor(len(sides)) as both:
            for step in count():
                theirs, ours = both.map(lambda side: next(side, _END), sides)
                assert ours == theirs, f"step {step}"
                if theirs is _END:
                    return
    finally:
        for watching in watchings:
            watching.close()
