"""Calls over JSON, through their routes, over a link in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.api.descriptors import POOL
from dualmode.errors import HTTP_STATUS, Code, RpcError
from dualmode.http.interface import STREAMED, RequestHead
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall, UnaryHandler
from dualmode.rpc.gateway import JsonNotFoundRoute, json_routes
from dualmode.rpc.gateway_answers import refusal_of_size
from dualmode.rpc.gateway_request import json_metadata
from dualmode.rpc.json_paths import JSON_PATHS
from dualmode.rpc.table import MethodTable, Shared
from tests.rpc.fake_link import FakeLink, present

settle = trio.testing.wait_all_tasks_blocked


def json_head(path: bytes = b"/v3/kv/put", *fields: tuple[bytes, bytes], method: bytes = b"POST") -> RequestHead:
    return RequestHead(method, b"http", b"localhost", path, fields, b"1.1")


def put_table(handler: UnaryHandler, shared: Shared | None = None) -> MethodTable:
    return MethodTable([Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, handler)], shared)


def call(handler: UnaryHandler, body: bytes, *fields: tuple[bytes, bytes], shared: Shared | None = None) -> FakeLink:
    link = FakeLink()
    json_routes(put_table(handler, shared))[b"/v3/kv/put"].serve(link, 1, json_head(b"/v3/kv/put", *fields), body)
    return link


def answer_with_lease(call: UnaryCall, message: bytes) -> None:
    """Says back what it understood."""
    request = pb.PutRequest.FromString(message)
    call.reply(pb.PutResponse(header={"revision": request.lease}, prev_kv={"key": request.key}).SerializeToString())


def test_a_put() -> None:
    answer = call(answer_with_lease, b'{"key":"YQ==","lease":"5"}').answer()
    assert answer.body == b'{"header":{"revision":"5"},"prev_kv":{"key":"YQ=="}}'
    assert answer.field(b":status") == b"200"
    assert answer.field(b"content-type") == b"application/json"
    assert answer.field(b"grpc-metadata-content-type") == b"application/grpc"
    assert answer.trailers is None


def test_an_empty_body_is_an_empty_message() -> None:
    assert call(answer_with_lease, b"").answer().body == b'{"header":{},"prev_kv":{}}'


def test_every_method_of_etcd_has_its_paths_under_three_prefixes() -> None:
    def nothing(*_: Any) -> None:
        pass

    methods = [
        Method(service.full_name, method.name, Kind.UNARY, None, None, nothing)
        for file in ("etcdserverpb/rpc.proto", "v3electionpb/v3election.proto", "v3lockpb/v3lock.proto")
        for service in POOL.FindFileByName(file).services_by_name.values()
        for method in service.methods
    ]
    known = {f"{method.service}/{method.name}" for method in methods}
    assert set(JSON_PATHS) == known - {"etcdserverpb.KV/RangeStream"}
    routes = json_routes(MethodTable(methods))
    assert len(routes) == 3 * (48 + 3)
    assert {b"/v3/watch", b"/v3alpha/kv/lease/leases", b"/v3beta/maintenance/transfer-leadership"} < set(routes)
    assert routes[b"/v3/lease/revoke"] is routes[b"/v3beta/kv/lease/revoke"]


def test_a_method_may_name_its_own_paths() -> None:
    method = Method("a.B", "C", Kind.UNARY, pb.PutRequest, pb.PutResponse, answer_with_lease, ("/v3/own",))
    assert set(json_routes(MethodTable([method]))) == {b"/v3/own", b"/v3beta/own", b"/v3alpha/own"}


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_errors_suit_readers_of_both_generations(code: Code) -> None:
    def handler(call: UnaryCall, message: bytes) -> None:
        raise RpcError(code, 'say "why"')

    answer = call(handler, b"{}").answer()
    assert json.loads(answer.body) == {
        "error": 'say "why"',
        "message": 'say "why"',
        "code": int(code),
        "details": [],
    }
    assert answer.field(b":status") == str(HTTP_STATUS[code]).encode()
    assert answer.field(b"www-authenticate") == (b'say "why"' if code is Code.UNAUTHENTICATED else None)


def test_bad_json_reaches_no_handler() -> None:
    answer = call(lambda call, message: pytest.fail("called"), b'{"key":1').answer()
    assert answer.field(b":status") == b"400"
    assert json.loads(answer.body)["code"] == Code.INVALID_ARGUMENT


def test_a_fault_of_a_handler() -> None:
    def handler(call: UnaryCall, message: bytes) -> None:
        raise ZeroDivisionError

    assert json.loads(call(handler, b"{}").answer().body)["message"] == "internal error"


def test_an_answer_that_is_no_message() -> None:
    answer = call(lambda call, message: call.reply(b"\xff"), b"{}").answer()
    assert answer.field(b":status") == b"500"


def test_the_first_answer_counts() -> None:
    def handler(call: UnaryCall, message: bytes) -> None:
        call.reply(b"")
        call.reply(b"")
        call.fail(errors.STOPPED)

    assert call(handler, b"{}").answer().body == b"{}"


def test_only_post() -> None:
    link = FakeLink()
    for route in json_routes(put_table(answer_with_lease)).values():
        link = FakeLink()
        assert route.serve(link, 1, json_head(method=b"GET"), b"") is None
        assert link.answer().field(b":status") == b"501"
        assert json.loads(link.answer().body)["message"] == "Method Not Allowed"


def test_large_requests() -> None:
    shared = Shared(receive_limit_bytes=6)
    fits = b'{"value":"YWFhYQ=="}'
    assert call(answer_with_lease, fits, shared=shared).answer().field(b":status") == b"200"
    answer = call(answer_with_lease, b'{"value":"YWFhYWE="}', shared=shared).answer()
    assert answer.field(b":status") == b"429"
    assert json.loads(answer.body)["message"] == "grpc: received message larger than max (7 vs. 6)"
    route = json_routes(put_table(answer_with_lease, shared))[b"/v3/kv/put"]
    assert route.body_limit == 12
    link = FakeLink()
    route.refuse_body(link, 1, json_head(b"/v3/kv/put", (b"content-length", b"99")), b"{")
    assert json.loads(link.answer().body)["message"] == "grpc: received message larger than max (99 vs. 12)"


@pytest.mark.parametrize(("announced", "size"), [(b"99", 99), (b"7", 13), (b"x", 13), (None, 13)])
def test_the_size_of_a_text_that_was_dropped(announced: bytes | None, size: int) -> None:
    fields = () if announced is None else ((b"content-length", announced),)
    error = refusal_of_size(json_head(b"/v3/kv/put", *fields), 12)
    assert error.message == f"grpc: received message larger than max ({size} vs. 12)"


def test_headers_become_metadata() -> None:
    head = json_head(
        b"/v3/kv/put",
        (b"authorization", b"tok.1"),
        (b"grpc-timeout", b"2S"),
        (b"grpc-metadata-hasleader", b"true"),
        (b"grpc-encoding", b"gzip"),
        (b"user-agent", b"curl"),
    )
    metadata = json_metadata(head)
    assert metadata.is_gateway
    assert metadata.has_leader
    assert metadata.token == "tok.1"
    assert metadata.timeout_seconds == 2
    assert metadata.encoding is None
    assert metadata.get("user-agent") is None
    assert json_metadata(head) is metadata


def test_bad_metadata_and_the_hook_refuse() -> None:
    def refuse(metadata: object, method: Method) -> None:
        raise errors.NO_LEADER

    handler = answer_with_lease
    assert call(handler, b"{}", (b"grpc-timeout", b"x")).answer().field(b":status") == b"500"
    assert call(handler, b"{}", shared=Shared(before_call=refuse)).answer().field(b":status") == b"503"


def test_a_parked_call_is_late() -> None:
    shared = Shared()
    link = call(lambda call, message: None, b"{}", (b"grpc-timeout", b"1S"), shared=shared)
    shared.deadlines.tick(100.0)
    shared.deadlines.tick(101.0 + limits.TICK_SECONDS)
    assert link.answer().field(b":status") == b"504"


def test_nothing_here() -> None:
    link = FakeLink()
    JsonNotFoundRoute().serve(link, 1, json_head(b"/v3/nothing"), b"")
    JsonNotFoundRoute().refuse_body(link, 3, json_head(b"/v3/nothing"), b"")
    for stream_id in (1, 3):
        assert link.answer(stream_id).field(b":status") == b"404"
        assert json.loads(link.answer(stream_id).body)["code"] == 5


# --- Streams -------------------------------------------------------------------------------------------------


async def echo(stream: ServerStream) -> None:
    """Answers each create request with its start revision as watch id."""
    while (message := await stream.receive()) is not None:
        watch_id = pb.WatchRequest.FromString(message).create_request.start_revision
        stream.send_now(pb.WatchResponse(watch_id=watch_id).SerializeToString())


def stream_route(handler: Any, kind: Kind = Kind.BIDI, shared: Shared | None = None) -> Any:
    method = Method("etcdserverpb.Watch", "Watch", kind, pb.WatchRequest, pb.WatchResponse, handler)
    return json_routes(MethodTable([method], shared))[b"/v3/watch"]


async def test_a_stream_of_objects_both_ways(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    route = stream_route(echo)
    assert route.body_limit == STREAMED
    sink = present(route.serve(link, 1, json_head(b"/v3/watch"), b""))
    for number in (1, 2):
        for byte in b'{"create_request":{"start_revision":%d}}\n' % number:
            sink.on_data(bytes([byte]), 1)
            await settle()
    assert link.answer().body == b'{"result":{"watch_id":"1"}}\n{"result":{"watch_id":"2"}}\n'
    assert link.answer().field(b":status") == b"200"
    sink.on_end(())
    await settle()
    assert link.answer().is_ended
    assert link.answer().trailers is None


async def test_a_stream_that_says_nothing(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    present(stream_route(echo).serve(link, 1, json_head(b"/v3/watch"), b"")).on_end(())
    await settle()
    assert (link.answer().field(b":status"), link.answer().body) == (b"200", b"")


async def test_an_error_after_messages_is_the_last_line(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    sink = present(stream_route(echo).serve(link, 1, json_head(b"/v3/watch"), b""))
    sink.on_data(b'{"create_request":{}} x', 23)
    await settle()
    first, last, rest = link.answer().body.split(b"\n")
    assert (first, rest) == (b'{"result":{}}', b"")
    assert json.loads(last) == {
        "error": {
            "grpc_code": 3,
            "http_code": 400,
            "message": "json: an object is expected",
            "http_status": "Bad Request",
            "code": 3,
            "details": [],
        }
    }


@pytest.mark.parametrize(
    ("error", "status", "phrase"),
    [
        (errors.COMPACTED, b"400", "Bad Request"),
        (errors.REQUEST_CANCELED, b"499", ""),
        (errors.CORRUPT, b"500", "Internal Server Error"),
    ],
)
async def test_an_error_before_messages(nursery: trio.Nursery, error: RpcError, status: bytes, phrase: str) -> None:
    async def handler(stream: ServerStream) -> None:
        raise error

    link = FakeLink(nursery)
    stream_route(handler).serve(link, 1, json_head(b"/v3/watch"), b"")
    await settle()
    assert link.answer().field(b":status") == status
    assert json.loads(link.answer().body)["error"]["http_status"] == phrase


async def test_an_answer_that_is_no_message_ends_its_stream_only(nursery: trio.Nursery) -> None:
    async def handler(stream: ServerStream) -> None:
        stream.send_now(b"")
        stream.send_now(b"\xff")
        stream.send_now(b"")

    link = FakeLink(nursery)
    stream_route(handler).serve(link, 1, json_head(b"/v3/watch"), b"")
    await settle()
    assert [next(iter(json.loads(line))) for line in link.answer().body.splitlines()] == ["result", "error"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"create_request":{}}'])
async def test_a_request_of_one_message(nursery: trio.Nursery, body: bytes) -> None:
    link = FakeLink(nursery)
    route = stream_route(echo, Kind.SERVER_STREAM, Shared(receive_limit_bytes=11))
    assert route.body_limit == 22
    present(route.serve(link, 1, json_head(b"/v3/watch"), body))
    await settle()
    assert link.answer().body == b'{"result":{}}\n'
    route.refuse_body(link, 3, json_head(b"/v3/watch"), b"")
    assert link.answer(3).field(b":status") == b"429"
    route.serve(link, 5, json_head(b"/v3/watch", method=b"PUT"), b"")
    assert link.answer(5).field(b":status") == b"501"


async def test_a_message_larger_than_grpc_would_take(nursery: trio.Nursery) -> None:
    link = FakeLink(nursery)
    sink = present(stream_route(echo, shared=Shared(receive_limit_bytes=20)).serve(link, 1, json_head(), b""))
    sink.on_data(b'{"create_request":{"key":"' + b"YWFh" * 8, 60)
    await settle()
    assert link.answer().field(b":status") == b"429"
