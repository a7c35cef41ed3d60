"""gRPC through the proxy, in one process: our client, the proxy, and servers that can be told to misbehave."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from dualmode import limits
from dualmode.client.channel import Channel, open_channel
from dualmode.client.status import CallError
from dualmode.edge.mux import MuxBuilder
from dualmode.edge.outbox import Outbox
from dualmode.edge.server import Server, ServerOptions
from dualmode.errors import Code
from dualmode.http.interface import ErrorCode, Fields, RequestHead
from dualmode.http.native import ClientConnection, Http2Options, ServerConnection
from dualmode.http.routing import Link, Sink
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.framing import frame
from dualmode.urls import parse_address
from tests.edge.peers import serving, until
from tests.edge.toy import Echo, Notes, Streamed, Whole

HEAD = Fields((b":status", b"200"), (b"content-type", b"application/grpc"), (b"x-member", b"yes"))
DONE = Fields((b"grpc-status", b"0"), (b"x-end", b"bye"))
OPTIONS = Http2Options(
    stream_window_bytes=limits.PROXY_STREAM_WINDOW_BYTES,
    connection_window_bytes=limits.PROXY_CONNECTION_WINDOW_BYTES,
)
RANGE, PUT = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put"


class Member:
    """A server behind the proxy. What it was asked is in `asked`; `behave` says what it does with a whole call."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.asked: list[RequestHead] = []
        self.parked: list[Notes] = []
        self.streams: list[Notes] = []
        self.behaviour: Any = self.answer
        self.server: Server
        self.url = ""

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Any:
        self.asked.append(head)
        return self.behaviour(link, stream_id, head, body)

    def answer(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, HEAD, body + frame(self.name), DONE)

    def park(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        self.parked.append(Notes(link, stream_id))
        return self.parked[-1]

    def refuse(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.reset_stream(stream_id, ErrorCode.REFUSED_STREAM)

    def fail(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, HEAD.plus((b"grpc-status", b"9"), (b"grpc-message", b"no%20way")), b"")

    def die(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        for connection in list(self.server.connections):
            connection.cut()

    def stream(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        class GrpcEcho(Echo):
            def on_end(self, trailers: Any) -> None:
                link.end_stream(stream_id, DONE)

        self.asked.append(head)
        link.start_response(stream_id, HEAD)
        self.streams.append(GrpcEcho(link, stream_id))
        return self.streams[-1]

    def mux(self) -> Any:
        return MuxBuilder().grpc(b"/any/Stream", Streamed(self.stream)).grpc_fallback(Whole(self.serve)).build()


@asynccontextmanager
async def proxied(count: int = 1) -> AsyncIterator[tuple[Channel, list[Member], Upstreams, Server]]:
    """A channel to a proxy in front of members."""
    members = [Member(b"m%d" % number) for number in range(count)]
    async with AsyncExitStack() as stack:
        for member in members:
            member.server, address = await stack.enter_async_context(serving(member.mux()))
            member.url = f"http://{address}"
        targets = [parse_address(member.url) for member in members]
        outbox = Outbox()
        upstreams = Upstreams(targets, None, lambda: ClientConnection(OPTIONS), outbox, 1.0)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(upstreams.run)
        mux = MuxBuilder().grpc_fallback(GrpcForwardRoute(upstreams)).build()
        proxy, address = await stack.enter_async_context(serving(mux))
        yield await stack.enter_async_context(open_channel(f"http://{address}")), members, upstreams, proxy
        nursery.cancel_scope.cancel()


async def test_unary_calls_pass_with_metadata_and_trailers() -> None:
    async with proxied() as (channel, (member,), _, _):
        stream = await channel.stream("/any/Thing", [("token", "t"), ("blob-bin", "AAE=")], timeout=7)
        await stream.send(b"hello")
        await stream.close_send()
        assert [message async for message in stream] == [b"hello", b"m0"]
        assert stream.fields == ((b"content-type", b"application/grpc"), (b"x-member", b"yes"))
        assert stream.trailers == ((b"grpc-status", b"0"), (b"x-end", b"bye"))
        (head,) = member.asked
        assert head.path == b"/any/Thing"
        assert dict(head.fields) == {
            b"te": b"trailers",
            b"content-type": b"application/grpc",
            b"user-agent": b"dualmode",
            b"grpc-timeout": b"7000000u",
            b"token": b"t",
            b"blob-bin": b"AAE=",
        }


async def test_an_error_without_body_stays_one_header_block() -> None:
    async with proxied() as (channel, (member,), _, _):
        member.behaviour = member.fail
        stream = await channel.stream("/any/Thing")
        await stream.close_send()
        with pytest.raises(CallError) as raised:
            await stream.receive()
        assert (raised.value.code, raised.value.message) == (Code.FAILED_PRECONDITION, "no way")
        assert stream.trailers == ()  # it was all in the head


async def test_streams_pass_both_ways_with_large_messages() -> None:
    async with proxied() as (channel, _, _, _):
        with await channel.stream("/any/Stream") as stream:
            for number in range(50):
                await stream.send(b"%d" % number)
                assert await stream.receive() == b"%d" % number
            big = bytes(range(256)) * 20_000
            await stream.send(big)
            assert await stream.receive() == big
            await stream.close_send()
            assert await stream.receive() is None


async def test_many_calls_at_once() -> None:
    async with proxied() as (channel, (member,), _, _):
        answers: list[bytes] = []

        async def call(number: int) -> None:
            with await channel.stream("/any/Stream") as stream:
                await stream.send(b"%d" % number)
                answers.append(await stream.receive() or b"")

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(call, number)
        assert sorted(answers) == sorted(b"%d" % number for number in range(300))
        assert member.server.accepted == 1


async def test_a_cancelled_call_is_cancelled_at_the_member() -> None:
    async with proxied() as (channel, (member,), _, _):
        member.behaviour = member.park
        while not member.parked:  # a slow machine may miss the deadline before the call is there
            with pytest.raises(CallError):
                await channel.unary(PUT, b"", timeout=0.1)
        await until(lambda: member.parked[0].heard == [("reset", ErrorCode.CANCEL)])


async def test_a_member_that_resets_resets_the_client() -> None:
    async with proxied() as (channel, (member,), _, _):
        with await channel.stream("/any/Stream") as stream:
            await stream.send(b"a")
            assert await stream.receive() == b"a"
            member.streams[0].link.reset_stream(member.streams[0].stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            with pytest.raises(CallError) as raised:
                await stream.receive()
            assert raised.value.code is Code.RESOURCE_EXHAUSTED


async def test_a_slow_client_holds_the_member_back_and_no_other_call() -> None:
    async with proxied() as (channel, (member,), _, _):
        with await channel.stream("/any/Stream") as slow:
            await slow.send(b"a")
            assert await slow.receive() == b"a"
            sink = member.streams[0]
            for _ in range(200):
                sink.link.send_data(sink.stream_id, frame(b"y" * 100_000))
            await trio.sleep(0.2)
            held = sink.link.unsent_bytes(sink.stream_id)
            # What has left is in the client's window, the proxy's bound, and the window between.
            passed = 200 * 100_005 - held
            assert passed <= (
                limits.HTTP2_STREAM_WINDOW_BYTES + limits.PROXY_UNSENT_BYTES + limits.PROXY_STREAM_WINDOW_BYTES + 20_000
            )
            assert await _who(channel) == b"m0"
            for _ in range(200):
                assert await slow.receive() == b"y" * 100_000


async def test_a_slow_member_holds_the_client_back() -> None:
    class Lazy(Notes):
        def on_data(self, data: bytes, flow_bytes: int) -> None:
            self.heard.append(flow_bytes)

    lazy: list[Lazy] = []

    def serve(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        lazy.append(Lazy(link, stream_id))
        return lazy[-1]

    async with AsyncExitStack() as stack:
        _, address = await stack.enter_async_context(serving(MuxBuilder().grpc(b"/any/Lazy", Streamed(serve)).build()))
        nursery = await stack.enter_async_context(trio.open_nursery())
        upstreams = Upstreams([parse_address(address)], None, lambda: ClientConnection(OPTIONS), Outbox(), 1.0)
        nursery.start_soon(upstreams.run)
        mux = MuxBuilder().grpc_fallback(GrpcForwardRoute(upstreams)).build()
        _, address = await stack.enter_async_context(serving(mux))
        channel = await stack.enter_async_context(open_channel(f"http://{address}"))
        with await channel.stream("/any/Lazy") as stream:
            sent = 0
            with trio.move_on_after(0.5):
                while True:
                    await stream.send(b"x" * 100_000)
                    sent += 100_000
            between = limits.HTTP2_STREAM_WINDOW_BYTES + limits.PROXY_UNSENT_BYTES + limits.CLIENT_UNSENT_BYTES
            assert sent <= limits.HTTP2_STREAM_WINDOW_BYTES + between + 300_000
            await until(lambda: bool(lazy))
            lazy[0].link.acknowledge(lazy[0].stream_id, sum(lazy[0].heard))
            await stream.send(b"more")
        nursery.cancel_scope.cancel()


async def test_another_endpoint_takes_over() -> None:
    async with proxied(2) as (channel, members, _, _):
        assert await _who(channel) == b"m0"
        await members[0].server.close(0)
        assert await _who(channel) == b"m1"
        assert await _who(channel) == b"m1"


async def _who(channel: Channel) -> bytes:
    """Which member answers."""
    with await channel.stream(RANGE) as stream:
        await stream.close_send()
        messages = [message async for message in stream]
    return messages[-1]


async def test_a_read_that_was_lost_is_asked_of_another_member() -> None:
    async with proxied(2) as (channel, members, _, _):
        members[0].behaviour = members[0].die
        assert await _who(channel) == b"m1"
        assert [len(member.asked) for member in members] == [1, 1]


async def test_a_write_that_may_have_arrived_is_not_sent_again() -> None:
    async with proxied(2) as (channel, members, _, _):
        members[0].behaviour = members[0].die
        with pytest.raises(CallError, match="the endpoint was lost") as raised:
            await channel.unary(PUT, b"precious")
        assert raised.value.code is Code.UNAVAILABLE
        assert [len(member.asked) for member in members] == [1, 0]


async def test_a_write_that_was_refused_unseen_is_sent_again() -> None:
    async with proxied(1) as (channel, (member,), _, _):
        refusals = 2

        def behave(*args: Any) -> None:
            nonlocal refusals
            refusals -= 1
            (member.refuse if refusals >= 0 else member.answer)(*args)

        member.behaviour = behave
        with await channel.stream(PUT) as stream:
            await stream.send(b"precious")
            await stream.close_send()
            assert [message async for message in stream] == [b"precious", b"m0"]
        refusals = 100
        with pytest.raises(CallError) as raised:
            await channel.unary(PUT, b"precious")
        assert raised.value.code is Code.UNAVAILABLE
        assert len(member.asked) == 3 + limits.PROXY_ATTEMPTS


async def test_a_stream_whose_member_is_lost_ends_with_a_status() -> None:
    async with proxied(2) as (channel, members, _, _):
        with await channel.stream("/any/Stream") as stream:
            await stream.send(b"a")
            assert await stream.receive() == b"a"
            for connection in list(members[0].server.connections):
                connection.cut()
            with pytest.raises(CallError, match="the endpoint was lost") as raised:
                await stream.receive()
            assert raised.value.code is Code.UNAVAILABLE


async def test_a_member_that_leaves_in_order_finishes_its_calls() -> None:
    async with proxied(2) as (channel, members, _, _), trio.open_nursery() as nursery:
        with await channel.stream("/any/Stream") as stream:
            await stream.send(b"a")
            assert await stream.receive() == b"a"
            nursery.start_soon(members[0].server.close, 5)
            await until(lambda: bool(members[1].server.accepted))
            assert await _who(channel) == b"m1"
            await stream.send(b"still")
            assert await stream.receive() == b"still"
            await stream.close_send()
            assert await stream.receive() is None


async def test_no_endpoint_is_said_clearly_and_the_first_to_come_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_ROUND_PAUSE_SECONDS", 0.01)
    async with proxied(1) as (channel, (member,), upstreams, _):
        assert await _who(channel) == b"m0"
        await member.server.close(0)
        await until(lambda: upstreams.ready is None)
        with pytest.raises(CallError, match=f"no endpoint is available: {member.url}: ") as raised:
            await channel.unary(RANGE, b"")
        assert raised.value.code is Code.UNAVAILABLE
        with pytest.raises(CallError, match="no endpoint is available"):
            await channel.unary(PUT, b"")
        assert upstreams.ready is None
        again = Member(b"again")
        async with serving(again.mux(), member.url) as (again.server, _):
            for _ in range(100):
                try:
                    assert await _who(channel) == b"again"
                    break
                except CallError as error:
                    assert error.code is Code.UNAVAILABLE  # noqa: PT017 - it may take a round
                    await trio.sleep(0.02)
            else:
                raise AssertionError("the member that came back was not found")


async def test_a_call_that_is_given_up_while_it_waits_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        silent = await stack.enter_async_context(trio.open_nursery())
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        upstreams = Upstreams([parse_address(address)], None, lambda: ClientConnection(OPTIONS), Outbox(), 0.3)
        silent.start_soon(upstreams.run)
        mux = MuxBuilder().grpc_fallback(GrpcForwardRoute(upstreams)).build()
        proxy, address = await stack.enter_async_context(serving(mux))
        channel = await stack.enter_async_context(open_channel(f"http://{address}"))
        with pytest.raises(CallError) as raised:
            await channel.unary(PUT, b"", timeout=0.05)
        assert raised.value.code is Code.DEADLINE_EXCEEDED
        with pytest.raises(CallError, match=r"no answer within 0\.3 s"):
            await channel.unary(PUT, b"")
        assert len(proxy.connections) == 1
        for listener in listeners:
            await listener.aclose()
        silent.cancel_scope.cancel()


async def test_more_calls_than_a_member_takes_at_once_wait() -> None:
    member = Member(b"small")
    member.behaviour = member.park
    async with AsyncExitStack() as stack:
        small = ServerOptions(http2=lambda classify: ServerConnection(classify, Http2Options(concurrent_streams=2)))
        _, address = await stack.enter_async_context(serving(member.mux(), options=small))
        nursery = await stack.enter_async_context(trio.open_nursery())
        upstreams = Upstreams([parse_address(address)], None, lambda: ClientConnection(OPTIONS), Outbox(), 1.0)
        nursery.start_soon(upstreams.run)
        mux = MuxBuilder().grpc_fallback(GrpcForwardRoute(upstreams)).build()
        _, address = await stack.enter_async_context(serving(mux))
        channel = await stack.enter_async_context(open_channel(f"http://{address}"))
        async with trio.open_nursery() as calls:
            for _ in range(6):
                calls.start_soon(channel.unary, PUT, b"x")
            for _ in range(6):
                await until(lambda: bool(member.parked))
                assert len(member.parked) <= 2
                parked = member.parked.pop()
                parked.link.respond(parked.stream_id, HEAD, frame(b""), DONE)
        nursery.cancel_scope.cancel()
