"""Plain HTTP through the proxy, in one process."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from dualmode.edge.mux import MuxBuilder
from dualmode.edge.outbox import Outbox
from dualmode.edge.server import Server
from dualmode.http.interface import Fields, RequestHead
from dualmode.http.native import ClientConnection
from dualmode.http.routing import Link, Sink
from dualmode.proxy.http_forward import HttpForwardRoute, HttpTransports
from dualmode.proxy.upstreams import Upstreams
from dualmode.urls import parse_address
from tests.edge.peers import H2Peer, dial, get, read_all, serving, until
from tests.edge.toy import OK, Notes, Streamed, Whole, echo


class Member:
    """A server behind the proxy that serves plain HTTP."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.asked: list[RequestHead] = []
        self.sinks: list[Notes] = []
        self.server: Server
        self.url = ""

    def whole(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        self.asked.append(head)
        length = (b"content-length", b"%d" % (len(self.name) + len(body)))
        fields = Fields((b":status", b"203"), length, (b"set-cookie", b"a"), (b"set-cookie", b"b"))
        link.respond(stream_id, fields, self.name + body)

    def park(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        self.asked.append(head)
        self.sinks.append(Notes(link, stream_id))
        return self.sinks[-1]

    def lazy(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        class Lazy(Notes):
            def on_data(self, data: bytes, flow_bytes: int) -> None:
                self.heard.append(flow_bytes)

        self.sinks.append(Lazy(link, stream_id))
        return self.sinks[-1]

    def die(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        self.asked.append(head)
        for connection in list(self.server.connections):
            connection.cut()

    def cut_short(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.start_response(stream_id, OK)
        link.send_data(stream_id, b"half")
        self.server.outbox.flush()
        self.die(link, stream_id, head, body)

    def mux(self) -> Any:
        builder = MuxBuilder().path(b"/park", Streamed(self.park)).path(b"/echo", Streamed(echo))
        builder.path(b"/die", Whole(self.die)).path(b"/short", Whole(self.cut_short)).path(
            b"/lazy", Streamed(self.lazy)
        )
        return builder.fallback(Whole(self.whole, 1 << 30)).build()


@asynccontextmanager
async def proxied(count: int = 1) -> AsyncIterator[tuple[str, list[Member], Upstreams]]:
    members = [Member(b"m%d" % number) for number in range(count)]
    async with AsyncExitStack() as stack:
        for member in members:
            member.server, address = await stack.enter_async_context(serving(member.mux()))
            member.url = f"http://{address}"
        upstreams = Upstreams([parse_address(member.url) for member in members], None, ClientConnection, Outbox(), 1.0)
        nursery = await stack.enter_async_context(trio.open_nursery())
        clients = await stack.enter_async_context(HttpTransports(None, 1.0))
        mux = MuxBuilder().fallback(HttpForwardRoute(upstreams, clients)).build()
        _, address = await stack.enter_async_context(serving(mux))
        yield address, members, upstreams
        nursery.cancel_scope.cancel()


def parts(answer: bytes) -> tuple[int, dict[str, list[str]], bytes]:
    """Status, fields and body of an HTTP/1.1 answer (not chunked)."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return int(first.split()[1]), fields, body


async def test_a_request_and_its_answer_pass_as_they_are() -> None:
    async with proxied() as (address, (member,), _):
        answer = await get(await dial(address), "/v3/x?y=%20z", b"body", "x-thing: 1\r\nx-hop: 2\r\nkeep-alive: 5\r\n")
        status, fields, body = parts(answer)
        assert (status, body) == (203, b"m0body")
        assert fields["set-cookie"] == ["a", "b"]
        (head,) = member.asked
        assert (head.method, head.path) == (b"POST", b"/v3/x?y=%20z")
        sent = dict(head.fields)
        assert sent[b"x-thing"] == b"1"
        assert sent[b"content-length"] == b"4"
        assert sent[b"x-forwarded-for"] == b"127.0.0.1"
        assert sent[b"x-forwarded-host"] == b"localhost"
        assert sent[b"x-forwarded-proto"] == b"http"
        assert head.authority == member.url.removeprefix("http://").encode()
        assert not {b"keep-alive", b"user-agent", b"accept", b"accept-encoding"} & set(sent)


async def test_http2_comes_out_as_http1() -> None:
    async with proxied() as (address, (member,), _):
        peer = H2Peer(await dial(address))
        assert await peer.request(b"/a", b"body") == (203, b"m0body")
        assert await peer.request(b"/b", b"more", (b"content-length", b"4")) == (203, b"m0more")
        assert await peer.request(b"/c") == (203, b"m0")
        assert [head.version for head in member.asked] == [b"1.1"] * 3
        assert [head.get(b"content-length") for head in member.asked] == [None, b"4", None]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_methods_without_a_body(method: str) -> None:
    async with proxied() as (address, (member,), _):
        stream = await dial(address)
        await stream.send_all(f"{method} /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        status, fields, body = parts(await read_all(stream))
        assert (status, fields["content-length"]) == (203, ["2"])
        assert body == (b"" if method == "HEAD" else b"m0")
        assert member.asked[0].method == method.encode()


async def test_bodies_stream_both_ways() -> None:
    async with proxied() as (address, _, _):
        peer = H2Peer(await dial(address))
        stream_id = peer.open(b"/echo", end=False)
        await peer.flush()
        for _ in range(100):
            while peer.h2.local_flow_control_window(stream_id) < 16_000:
                await peer.pump()
            peer.h2.send_data(stream_id, b"z" * 16_000)
            await peer.flush()
        peer.h2.end_stream(stream_id)
        await peer.flush()
        assert await peer.answer(stream_id) == (200, b"z" * 1_600_000)


async def test_a_slow_client_holds_the_member_back() -> None:
    async with proxied() as (address, (member,), _):
        peer = H2Peer(await dial(address), auto_credit=False)
        stream_id = peer.open(b"/park", (b"content-length", b"0"))
        await peer.flush()
        await until(lambda: bool(member.sinks))
        link, member_stream = member.sinks[0].link, member.sinks[0].stream_id
        link.start_response(member_stream, OK)
        link.send_data(member_stream, b"y" * 30_000_000)
        await trio.sleep(0.3)
        # Socket buffers of the kernel may hold some megabytes; the proxy holds little.
        assert link.unsent_bytes(member_stream) > 10_000_000
        peer.h2.increment_flow_control_window(2**30)
        peer.h2.increment_flow_control_window(2**30, stream_id)
        await peer.flush()
        link.end_stream(member_stream)
        status, body = await peer.answer(stream_id)
        assert (status, len(body)) == (200, 30_000_000)


async def test_a_slow_member_holds_the_client_back() -> None:
    async with proxied() as (address, (member,), _):
        stream = await dial(address)
        await stream.send_all(b"POST /lazy HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n")
        sent = 0
        with trio.move_on_after(0.5):
            while sent < 100_000_000:
                await stream.send_all(b"x" * 100_000)
                sent += 100_000
        assert sent < 20_000_000  # mostly in the kernel's buffers
        await until(lambda: bool(member.sinks))
        assert sum(member.sinks[0].heard) < 2_000_000


async def test_when_the_client_goes_the_request_goes() -> None:
    async with proxied() as (address, (member,), _):
        stream = await dial(address)
        await stream.send_all(b"GET /park HTTP/1.1\r\nhost: a\r\n\r\n")
        await until(lambda: bool(member.sinks))
        await stream.aclose()
        await until(lambda: any(isinstance(note, tuple) for note in member.sinks[0].heard))


async def test_a_read_goes_to_another_member_a_write_does_not() -> None:
    async with proxied(2) as (address, members, _):
        stream = await dial(address)
        await stream.send_all(b"GET /die HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        status, _, body = parts(await read_all(stream))
        assert (status, json.loads(body)["code"]) == (503, 14)  # both died of it
        assert [len(member.asked) for member in members] == [1, 1]
        status, _, body = parts(await get(await dial(address), "/die", b"precious"))
        assert status == 502
        assert "unable to get response" in json.loads(body)["message"]
        assert [len(member.asked) for member in members] == [2, 1]


async def test_an_endpoint_that_is_down_is_passed_over() -> None:
    async with proxied(2) as (address, members, _):
        await members[0].server.close(0)
        assert parts(await get(await dial(address), "/x", b"precious"))[::2] == (203, b"m1precious")
        await members[1].server.close(0)
        status, fields, body = parts(await get(await dial(address), "/x", b"precious"))
        assert (status, fields["content-type"]) == (503, ["application/json"])
        assert "no endpoint is available" in json.loads(body)["message"]
        stream = await dial(address)
        await stream.send_all(b"HEAD /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert parts(await read_all(stream))[::2] == (503, b"")


async def test_an_answer_that_breaks_off_is_not_passed_for_whole() -> None:
    async with proxied() as (address, _, _):
        peer = H2Peer(await dial(address))
        status, _ = await peer.request(b"/short", b"x")
        assert status == -1
        answer = await get(await dial(address), "/short", b"x")
        assert answer.startswith(b"HTTP/1.1 200")
        assert not answer.endswith(b"0\r\n\r\n")
