"""The handlers of a namespaced proxy behind the routes of gRPC and JSON, with the test in the place of the member."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dualmode.api import etcdserverpb as pb
from dualmode.api import v3lockpb
from dualmode.edge.mux import MuxBuilder, text_route
from dualmode.http.interface import ErrorCode, RequestHead
from dualmode.http.routing import Mux, PeerIdentity
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.routes import NamespaceRoutes
from dualmode.rpc.framing import frame
from tests.proxy.fake_upstreams import FakeUpstreams
from tests.rpc.fake_link import Answer, FakeLink

PEER = PeerIdentity("client", is_tls=False)
FORWARDED = text_route(299, "forwarded")
LockRequest = v3lockpb.LockRequest
KV = {"create_revision": 3, "mod_revision": 4, "version": 2, "value": b"v"}


class Case:
    """A namespaced proxy, without watches shared."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.upstreams = FakeUpstreams()
        self.link = FakeLink(nursery)
        builder = MuxBuilder()
        routes = NamespaceRoutes(KeySpace(b"ns/"), self.upstreams, (), 1 << 20)  # type: ignore[arg-type]
        routes.add_to(builder, FORWARDED, FORWARDED, has_json=True)
        self.mux: Mux = builder.build()
        self.sinks: list[Any] = []

    async def ask(self, head: RequestHead, body: bytes) -> Answer:
        """Sends a request; what the client has got so far."""
        route = self.mux.resolve(head, PEER)
        number = 2 * len(self.sinks) + 1
        sink = route.serve(self.link, number, head, body)
        self.sinks.append(sink)
        await wait_all_tasks_blocked()
        return self.link.answer(number)

    async def grpc(self, path: str, message: Any = None, *fields: tuple[bytes, bytes]) -> Answer:
        body = b"" if message is None else frame(message.SerializeToString())
        content_type = (b"content-type", b"application/grpc")
        return await self.ask(RequestHead(b"POST", b"http", b"here", path.encode(), (content_type, *fields)), body)

    async def json(self, path: str, body: dict[str, Any], *fields: tuple[bytes, bytes]) -> Answer:
        head = RequestHead(b"POST", b"http", b"here", path.encode(), fields, b"1.1")
        return await self.ask(head, json.dumps(body).encode())

    async def get(self, path: str, method: bytes = b"GET") -> Answer:
        return await self.ask(RequestHead(method, b"http", b"here", path.encode(), (), b"1.1"), b"")


@asynccontextmanager
async def case() -> AsyncIterator[Case]:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            yield Case(nursery)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


def range_answer(*keys: bytes) -> bytes:
    return bytes(pb.RangeResponse(kvs=[{"key": key, **KV} for key in keys], count=len(keys)).SerializeToString())


async def test_a_unary_call_over_grpc() -> None:
    async with case() as it:
        answer = await it.grpc("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"a"), (b"token", b"t"))
        (asked,) = it.upstreams.asked
        assert pb.RangeRequest.FromString(asked.messages[0]) == pb.RangeRequest(key=b"ns/a")
        assert asked.head.get(b"token") == b"t"
        asked.answer(range_answer(b"ns/a"))
        await wait_all_tasks_blocked()
        assert answer.messages == [range_answer(b"a")]
        assert answer.grpc_status == (0, "")


async def test_a_unary_call_over_json() -> None:
    async with case() as it:
        answer = await it.json("/v3beta/kv/range", {"key": "YQ=="}, (b"authorization", b"t"))
        (asked,) = it.upstreams.asked
        assert pb.RangeRequest.FromString(asked.messages[0]) == pb.RangeRequest(key=b"ns/a")
        assert asked.head.get(b"authorization") == b"t"
        assert asked.head.get(b"grpcgateway-accept") == b"*/*"
        asked.answer(range_answer(b"ns/a"))
        await wait_all_tasks_blocked()
        assert json.loads(answer.body)["kvs"][0]["key"] == "YQ=="


async def test_errors_of_members_pass_unchanged() -> None:
    async with case() as it:
        over_grpc = await it.grpc("/etcdserverpb.KV/Put", pb.PutRequest(key=b"a"))
        over_json = await it.json("/v3/kv/put", {"key": "YQ=="})
        for asked in it.upstreams.asked:
            asked.fail(8, b"etcdserver: mvcc: database space exceeded")
        await wait_all_tasks_blocked()
        assert over_grpc.grpc_status == (8, "etcdserver: mvcc: database space exceeded")
        assert json.loads(over_json.body)["message"] == "etcdserver: mvcc: database space exceeded"


async def test_fields_that_nobody_knows_do_not_pass() -> None:
    """Those of a later release may be keys."""
    unknown = b"\xa2\x06\x07unknown"  # field 100
    async with case() as it:
        head = RequestHead(
            b"POST", b"http", b"here", b"/etcdserverpb.KV/Range", ((b"content-type", b"application/grpc"),)
        )
        answer = await it.ask(head, frame(pb.RangeRequest(key=b"a").SerializeToString() + unknown))
        (asked,) = it.upstreams.asked
        assert asked.messages == [pb.RangeRequest(key=b"ns/a").SerializeToString()]
        asked.answer(range_answer(b"ns/a") + unknown)
        await wait_all_tasks_blocked()
        assert answer.messages == [range_answer(b"a")]


@pytest.mark.parametrize("data", [range_answer(b"other/a"), b"\xff"])
async def test_what_a_member_must_not_say_is_not_passed_on(data: bytes) -> None:
    async with case() as it:
        answer = await it.grpc("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"a"))
        it.upstreams.asked[0].answer(data)
        await wait_all_tasks_blocked()
        assert answer.messages == []
        assert answer.grpc_status[0] == 13
        assert "other" not in answer.grpc_status[1]


async def test_a_client_that_goes_takes_its_call_along() -> None:
    async with case() as it:
        await it.grpc("/v3lockpb.Lock/Lock", LockRequest(name=b"l"))
        it.sinks[0].on_reset(ErrorCode.CANCEL)
        await wait_all_tasks_blocked()
        assert it.upstreams.asked[0].reset_code == ErrorCode.CANCEL


async def test_a_call_ends_with_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        it = Case(nursery)
        answer = await it.grpc("/v3lockpb.Lock/Lock", LockRequest(name=b"l"), (b"grpc-timeout", b"3S"))
        await trio.sleep(4)
        assert answer.grpc_status[0] == 4
        assert it.upstreams.asked[0].reset_code == ErrorCode.CANCEL


async def test_a_watch_in_both_directions() -> None:
    async with case() as it:
        answer = await it.grpc("/etcdserverpb.Watch/Watch")
        create = pb.WatchRequest(create_request={"key": b"a", "range_end": b"\0", "prev_kv": True})
        data = frame(create.SerializeToString())
        it.sinks[0].on_data(data, len(data))
        await wait_all_tasks_blocked()
        (asked,) = it.upstreams.asked
        rewritten = pb.WatchRequest.FromString(asked.messages[0]).create_request
        assert (rewritten.key, rewritten.range_end, rewritten.prev_kv) == (b"ns/a", b"ns0", True)
        event = {"kv": {"key": b"ns/b", **KV}, "prev_kv": {"key": b"ns/b", **KV}}
        asked.send(pb.WatchResponse(watch_id=1, events=[event]).SerializeToString())
        await wait_all_tasks_blocked()
        (seen,) = pb.WatchResponse.FromString(answer.messages[0]).events
        assert (seen.kv.key, seen.prev_kv.key) == (b"b", b"b")
        it.sinks[0].on_end(())
        await wait_all_tasks_blocked()
        assert asked.is_ended
        asked.end(14, b"etcdserver: no leader")
        await wait_all_tasks_blocked()
        assert answer.grpc_status == (14, "etcdserver: no leader")


async def test_a_stream_whose_client_goes_is_cancelled() -> None:
    async with case() as it:
        await it.grpc("/etcdserverpb.Watch/Watch")
        it.sinks[0].on_reset(ErrorCode.CANCEL)
        await wait_all_tasks_blocked()
        assert it.upstreams.asked[0].reset_code == ErrorCode.CANCEL


async def test_a_range_in_pieces() -> None:
    async with case() as it:
        answer = await it.grpc("/etcdserverpb.KV/RangeStream", pb.RangeRequest(key=b"a", range_end=b"\0"))
        (asked,) = it.upstreams.asked
        assert (asked.messages, asked.is_ended) == (
            [pb.RangeRequest(key=b"ns/a", range_end=b"ns0").SerializeToString()],
            True,
        )
        piece = pb.RangeStreamResponse(range_response={"kvs": [{"key": b"ns/a"}]})
        asked.send(piece.SerializeToString())
        asked.end()
        await wait_all_tasks_blocked()
        (message,) = answer.messages
        assert pb.RangeStreamResponse.FromString(message).range_response.kvs[0].key == b"a"
        assert answer.grpc_status == (0, "")


@pytest.mark.parametrize("path", ["/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.KV/Compact"])
async def test_grpc_without_keys_is_forwarded_as_it_is(path: str) -> None:
    async with case() as it:
        assert (await it.grpc(path)).body == b"forwarded"


async def test_json_without_keys_is_served_by_a_call() -> None:
    async with case() as it:
        answer = await it.json("/v3/lease/grant", {"TTL": 5})
        (asked,) = it.upstreams.asked
        assert asked.messages == [pb.LeaseGrantRequest(TTL=5).SerializeToString()]
        asked.answer(pb.LeaseGrantResponse(ID=7, TTL=5).SerializeToString())
        await wait_all_tasks_blocked()
        assert json.loads(answer.body) == {"ID": "7", "TTL": "5"}


async def test_a_snapshot_is_refused() -> None:
    async with case() as it:
        over_grpc = await it.grpc("/etcdserverpb.Maintenance/Snapshot", pb.SnapshotRequest())
        assert over_grpc.grpc_status[0] == 7
        assert "a snapshot holds the keys of all" in over_grpc.grpc_status[1]
        over_json = await it.json("/v3/maintenance/snapshot", {})
        assert over_json.head is not None
        assert over_json.head.get(b":status") == b"403"
        assert it.upstreams.asked == []


@pytest.mark.parametrize("path", ["/etcdserverpb.KV/RangeBackwards", "/some.Other/Thing", "/v3/kv/range", "x"])
async def test_unknown_grpc_is_refused(path: str) -> None:
    async with case() as it:
        assert (await it.grpc(path, pb.RangeRequest(key=b"a"))).grpc_status[0] == 12
        assert it.upstreams.asked == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 299),
        ("/health?serializable=true", 299),
        ("/version", 299),
        ("/metrics", 299),
        ("/livez", 299),
        ("/livez/serializable_read?verbose", 299),
        ("/readyz/data_corruption", 299),
        ("/debug/vars", 299),
        ("/debug/pprof/", 299),
        ("/debug/pprof/heap", 299),
        ("/debug/requests", 404),
        ("/debug/pprof/../../v2/keys", 404),
        ("/livez/..%2fv2/keys", 404),
        ("/livez/x/y", 404),
        ("/v2/keys/a", 404),
        ("/v2", 404),
        ("/v3/kv/nothing", 404),
        ("/v3/kv/../kv/range", 404),
        ("/v3alpha/x", 404),
        ("/v4/kv/range", 404),
        ("//health", 404),
        ("/", 404),
    ],
)
async def test_pages(path: str, status: int) -> None:
    async with case() as it:
        for method in (b"GET", b"POST"):
            answer = await it.get(path, method)
            assert answer.head is not None
            assert answer.head.get(b":status") == b"%d" % status
        assert it.upstreams.asked == []
