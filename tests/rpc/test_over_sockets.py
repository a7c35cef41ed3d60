"""The whole way: a foreign gRPC client and plain HTTP clients, over real sockets, on each HTTP/2 engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
import httpx
import pytest
import trio

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.edge.mux import MuxBuilder
from dualmode.edge.server import ServerOptions
from dualmode.http.engines import ENGINES
from dualmode.http.options import Http2Options
from dualmode.rpc.access import AccessRules
from dualmode.rpc.access_guard import AccessGuard
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.gateway import JsonNotFoundRoute, json_routes
from dualmode.rpc.grpc_route import UnknownMethodRoute, grpc_routes
from dualmode.rpc.table import MethodTable, Shared
from tests.edge.peers import serving

LIMIT = 100_000


def put(call: UnaryCall, message: bytes) -> None:
    """Answers from within, later, with an error, or never, as the key says."""
    request = pb.PutRequest.FromString(message)
    answer = pb.PutResponse(prev_kv={"key": request.key, "value": request.value}).SerializeToString()
    if request.key == b"later":
        call.spawn(reply_later, call, answer)
    elif request.key == b"error":
        raise errors.EMPTY_KEY
    elif request.key != b"never":
        call.reply(answer)


async def reply_later(call: UnaryCall, answer: bytes) -> None:
    await trio.sleep(0.01)
    call.reply(answer)


async def watch(stream: ServerStream) -> None:
    """Answers each request with as many messages as its watch id says; a negative one is an error."""
    while (message := await stream.receive()) is not None:
        watch_id = pb.WatchRequest.FromString(message).cancel_request.watch_id
        if watch_id < 0:
            raise errors.COMPACTED
        for _ in range(watch_id):
            await stream.send(pb.WatchResponse(watch_id=watch_id, cancel_reason="x" * 1000).SerializeToString())


async def range_stream(stream: ServerStream) -> None:
    """As many answers as the limit of the request says."""
    message = await stream.receive()
    assert message is not None
    for number in range(pb.RangeRequest.FromString(message).limit):
        await stream.send(pb.RangeStreamResponse(range_response={"count": number}).SerializeToString())


TABLE = MethodTable(
    [
        Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, put),
        Method("etcdserverpb.Watch", "Watch", Kind.BIDI, pb.WatchRequest, pb.WatchResponse, watch),
        Method(
            "etcdserverpb.KV", "RangeStream", Kind.SERVER_STREAM, pb.RangeRequest, pb.RangeStreamResponse, range_stream
        ),
    ],
    Shared(receive_limit_bytes=LIMIT),
)


@asynccontextmanager
async def running(engine: str) -> AsyncIterator[str]:
    builder = MuxBuilder().guard(AccessGuard(AccessRules([], [])))
    for path, route in grpc_routes(TABLE).items():
        builder.grpc(path, route)
    for path, route in json_routes(TABLE).items():
        builder.path(path, route)
    builder.grpc_fallback(UnknownMethodRoute(TABLE)).prefix(b"/v3/", JsonNotFoundRoute())
    options = ServerOptions(
        http2=lambda classify: ENGINES[engine].server(classify, Http2Options()),
        on_tick=(TABLE.shared.deadlines.tick,),
    )
    async with serving(builder.build(), options=options) as (_, address):
        yield address


engines = pytest.mark.parametrize("engine", list(ENGINES))


async def with_client(engine: str, use: Callable[[grpc.Channel], Any]) -> Any:
    """grpcio blocks, so it gets a thread."""
    async with running(engine) as address:
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            return await trio.to_thread.run_sync(use, channel)


def unary(channel: grpc.Channel, path: str, message: bytes, **more: Any) -> bytes:
    answer = channel.unary_unary(path)(message, timeout=more.pop("timeout", 10), **more)
    assert isinstance(answer, bytes)
    return answer


def put_message(key: bytes, value: bytes = b"") -> bytes:
    return bytes(pb.PutRequest(key=key, value=value).SerializeToString())


@engines
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("key", [b"now", b"later"])
async def test_a_unary_call(engine: str, compression: grpc.Compression, key: bytes) -> None:
    value = bytes(range(256)) * 300
    call = partial(unary, path="/etcdserverpb.KV/Put", message=put_message(key, value), compression=compression)
    answer = await with_client(engine, call)
    assert pb.PutResponse.FromString(answer).prev_kv.value == value


@engines
@pytest.mark.parametrize(
    ("path", "message", "more", "status"),
    [
        ("/etcdserverpb.KV/Put", put_message(b"error"), {}, (3, "etcdserver: key is not provided")),
        ("/etcdserverpb.KV/Get", b"", {}, (12, "unknown method Get for service etcdserverpb.KV")),
        ("/a.B/Get", b"x" * 300_000, {}, (12, "unknown service a.B")),
        (
            "/etcdserverpb.KV/Put",
            put_message(b"", b"x" * LIMIT),  # tag and length are four bytes more
            {},
            (8, f"grpc: received message larger than max ({LIMIT + 4} vs. {LIMIT})"),
        ),
        (
            "/etcdserverpb.KV/Put",
            put_message(b"now", b"x" * 1000),
            {"compression": grpc.Compression.Deflate},
            (12, 'grpc: Decompressor is not installed for grpc-encoding "deflate"'),
        ),
        ("/etcdserverpb.KV/Put", put_message(b"never"), {"timeout": 0.2}, (4, None)),
    ],
)
async def test_calls_that_fail(
    engine: str, path: str, message: bytes, more: dict[str, Any], status: tuple[int, str | None]
) -> None:
    def use(channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            unary(channel, path, message, **more)
        code, text = status
        assert caught.value.code().value[0] == code
        assert text is None or caught.value.details() == text

    await with_client(engine, use)


def watch_message(watch_id: int) -> bytes:
    return bytes(pb.WatchRequest(cancel_request={"watch_id": watch_id}).SerializeToString())


@engines
async def test_a_stream_both_ways(engine: str) -> None:
    def use(channel: grpc.Channel) -> list[int]:
        requests = iter([watch_message(number) for number in (1, 0, 300, 2)])
        answers = channel.stream_stream("/etcdserverpb.Watch/Watch")(requests, timeout=10)
        return [pb.WatchResponse.FromString(answer).watch_id for answer in answers]

    assert await with_client(engine, use) == [1, *[300] * 300, 2, 2]


@engines
async def test_a_stream_that_fails_after_messages(engine: str) -> None:
    def use(channel: grpc.Channel) -> None:
        answers = channel.stream_stream("/etcdserverpb.Watch/Watch")(
            iter([watch_message(1), watch_message(-1)]), timeout=10
        )
        assert pb.WatchResponse.FromString(next(answers)).watch_id == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert caught.value.details() == errors.COMPACTED.message

    await with_client(engine, use)


@engines
async def test_a_stream_of_answers(engine: str) -> None:
    def use(channel: grpc.Channel) -> list[int]:
        call = channel.unary_stream("/etcdserverpb.KV/RangeStream")
        answers = call(pb.RangeRequest(limit=2000).SerializeToString(), timeout=10)
        return [pb.RangeStreamResponse.FromString(answer).range_response.count for answer in answers]

    assert await with_client(engine, use) == list(range(2000))


@pytest.mark.parametrize("http2", [False, True])
@engines
async def test_json(engine: str, http2: bool) -> None:
    async with (
        running(engine) as address,
        httpx.AsyncClient(base_url=f"http://{address}", http1=not http2, http2=http2) as client,
    ):
        answer = await client.post("/v3/kv/put", json={"key": "bGF0ZXI=", "value": "Yg=="})
        assert answer.json() == {"prev_kv": {"key": "bGF0ZXI=", "value": "Yg=="}}
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert answer.headers["access-control-allow-origin"] == "*"
        answer = await client.post("/v3/kv/put", json={"key": "ZXJyb3I="})
        assert (answer.status_code, answer.json()["code"]) == (400, 3)
        assert (await client.get("/v3/kv/put")).status_code == 501
        assert (await client.post("/v3/nothing")).status_code == 404
        assert (await client.post("/v3/kv/put", content=b"x" * 3 * LIMIT)).status_code == 429
        body = (
            b'{"cancel_request":{"watch_id":1}}\n{"cancel_request":{"watch_id":"2"}}{"cancel_request":{"watch_id":-1}}'
        )
        lines = (await client.post("/v3/watch", content=body)).text.splitlines()
        assert ['"result"' in line for line in lines] == [True, True, True, False]
        assert '"grpc_code":11' in lines[-1]
