"""The channel against a server of ours that can be told to misbehave."""

import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from dualmode import limits
from dualmode.client.calls import UnaryCall
from dualmode.client.channel import Channel, open_channel, timeout_text
from dualmode.client.status import CallError
from dualmode.edge.mux import MuxBuilder
from dualmode.edge.server import Server, ServerOptions
from dualmode.edge.tls import ClientTlsSettings, ServerTls, TlsSettings
from dualmode.errors import Code, StartError
from dualmode.http.interface import ErrorCode, Fields, RequestHead
from dualmode.http.native import Http2Options, ServerConnection
from dualmode.http.routing import Link, Sink
from dualmode.rpc.framing import frame
from tests.edge import certificates
from tests.edge.peers import serving, until
from tests.edge.toy import Echo, Notes, Streamed, Whole

HEAD = Fields((b":status", b"200"), (b"content-type", b"application/grpc"))
DONE = Fields((b"grpc-status", b"0"))


def echo(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
    link.respond(stream_id, HEAD, body, DONE)


def echo_stream(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
    class GrpcEcho(Echo):
        def on_end(self, trailers: Any) -> None:
            link.end_stream(stream_id, DONE)

    link.start_response(stream_id, HEAD)
    return GrpcEcho(link, stream_id)


Routes = Callable[[Link, int, RequestHead, bytes], Any]


@asynccontextmanager
async def channel_to(options: ServerOptions | None = None, **routes: Routes) -> AsyncIterator[tuple[Channel, Server]]:
    builder = MuxBuilder().grpc(b"/s/echo", Whole(echo, 1 << 30)).grpc(b"/s/stream", Streamed(echo_stream))
    for name, function in routes.items():
        builder.grpc(b"/s/" + name.encode(), Whole(function))
    async with (
        serving(builder.build(), options=options) as (server, address),
        open_channel(f"http://{address}") as channel,
    ):
        yield channel, server


async def test_unary_calls_from_many_tasks_share_one_connection() -> None:
    async with channel_to() as (channel, server):
        answers: dict[int, bytes] = {}

        async def call(number: int) -> None:
            answers[number] = await channel.unary("/s/echo", b"%d" % number)

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(call, number)
        assert answers == {number: b"%d" % number for number in range(200)}
        assert server.accepted == 1


async def test_large_messages_pass_the_windows() -> None:
    async with channel_to() as (channel, _):
        message = bytes(range(256)) * 100_000
        assert await channel.unary("/s/echo", message) == message


async def test_metadata_and_timeout_reach_the_server() -> None:
    heads: list[RequestHead] = []

    def look(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        heads.append(head)
        echo(link, stream_id, head, body)

    async with channel_to(look=look) as (channel, _):
        for _ in range(2):
            await channel.unary("/s/look", b"", [("Token", "t")], timeout=5)
        await channel.unary("/s/look", b"")
    assert dict(heads[0].fields) == {
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        b"user-agent": b"dualmode",
        b"grpc-timeout": b"5000000u",
        b"token": b"t",
    }
    assert heads[0].authority.startswith(b"127.0.0.1:")
    assert heads[2].get(b"grpc-timeout") is None


async def test_a_status_is_raised() -> None:
    def fail(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        fields = (b"grpc-status", b"9"), (b"grpc-message", b"etcdserver: not%20now")
        link.respond(stream_id, HEAD.plus(*fields), b"")

    def silent(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, HEAD, b"", DONE)

    def cut_short(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, HEAD, frame(b"abc")[:-1], DONE)

    def text(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, Fields((b":status", b"503")), b"try later")

    def compressed(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, HEAD, b"\1\0\0\0\0", DONE)

    def reset(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.reset_stream(stream_id, ErrorCode.REFUSED_STREAM)

    routes: dict[str, Routes] = {
        "fail": fail, "silent": silent, "short": cut_short, "text": text, "compressed": compressed, "reset": reset
    }  # fmt: skip
    expected = [
        ("fail", Code.FAILED_PRECONDITION, "etcdserver: not now", True),
        ("silent", Code.INTERNAL, "a unary call was answered with 0 messages", True),
        ("short", Code.INTERNAL, "the server ended the stream within a message", True),
        ("text", Code.UNAVAILABLE, "unexpected HTTP status code received from server: 503", True),
        ("compressed", Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding", True),
        ("reset", Code.UNAVAILABLE, "stream terminated by RST_STREAM with error code: REFUSED_STREAM", False),
        ("none", Code.UNIMPLEMENTED, "unexpected HTTP status code received from server: 404", True),
    ]
    async with channel_to(**routes) as (channel, _):
        for name, code, message, may_have_left in expected:
            with pytest.raises(CallError) as raised:
                await channel.unary(f"/s/{name}", b"")
            assert (raised.value.code, raised.value.message) == (code, message)
            assert raised.value.may_have_left is may_have_left
        assert await channel.unary("/s/echo", b"still here") == b"still here"


async def test_a_timeout_ends_the_call_and_tells_the_server() -> None:
    sinks: list[Notes] = []

    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        sinks.append(Notes(link, stream_id))
        return sinks[-1]

    async with channel_to(park=park) as (channel, _):
        may_have_left = False
        while not sinks:  # a slow machine may miss the deadline before the call has left
            with pytest.raises(CallError) as raised:
                await channel.unary("/s/park", b"", timeout=0.05)
            assert raised.value.code is Code.DEADLINE_EXCEEDED
            may_have_left |= raised.value.may_have_left
            await trio.testing.wait_all_tasks_blocked()
        assert may_have_left
        timed_out = len(sinks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.unary, "/s/park", b"")
            await until(lambda: len(sinks) > timed_out)
            nursery.cancel_scope.cancel()
        await until(lambda: all(sink.heard == [("reset", ErrorCode.CANCEL)] for sink in sinks))


async def test_streams_carry_messages_both_ways() -> None:
    async with channel_to() as (channel, _):
        with await channel.stream("/s/stream") as stream:
            for number in range(100):
                await stream.send(b"%d" % number)
                assert await stream.receive() == b"%d" % number
            big = b"x" * 6_000_000  # more than a stream's window
            await stream.send(big)
            assert await stream.receive() == big
            await stream.close_send()
            await stream.close_send()
            assert await stream.receive() is None
            assert await stream.receive() is None
            assert stream.trailers == ((b"grpc-status", b"0"),)
            with pytest.raises(CallError, match="ended"):
                await stream.send(b"")
        with await channel.stream("/s/stream") as stream:
            await stream.send(b"a")
            await stream.send(b"b")
            await stream.close_send()
            assert [message async for message in stream] == [b"a", b"b"]


async def test_a_stream_waits_while_the_server_does_not_take_its_messages() -> None:
    notes: list[Notes] = []

    class Lazy(Notes):
        def on_data(self, data: bytes, flow_bytes: int) -> None:
            self.heard.append(flow_bytes)

    def lazy(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        notes.append(Lazy(link, stream_id))
        return notes[-1]

    mux = MuxBuilder().grpc(b"/s/lazy", Streamed(lazy)).build()
    async with serving(mux) as (_, address), open_channel(f"http://{address}") as channel:
        with await channel.stream("/s/lazy") as stream:
            sent = 0

            async def send_on() -> None:
                nonlocal sent
                while True:
                    await stream.send(b"x" * 100_000)
                    sent += 100_000

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_on)
                await until(lambda: bool(notes) and sum(notes[0].heard) >= limits.HTTP2_STREAM_WINDOW_BYTES)
                await trio.testing.wait_all_tasks_blocked(0.1)
                nursery.cancel_scope.cancel()
            taken = sum(notes[0].heard)
            assert taken == limits.HTTP2_STREAM_WINDOW_BYTES
            assert sent <= taken + limits.CLIENT_UNSENT_BYTES + 100_005
            notes[0].link.acknowledge(notes[0].stream_id, taken)
            await stream.send(b"more")


async def test_an_unread_stream_holds_the_server_back() -> None:
    links: list[tuple[Link, int]] = []

    def flood(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        link.start_response(stream_id, HEAD)
        for _ in range(100):
            link.send_data(stream_id, frame(b"y" * 100_000))
        links.append((link, stream_id))
        return Notes(link, stream_id)

    mux = MuxBuilder().grpc(b"/s/flood", Streamed(flood)).build()
    async with serving(mux) as (_, address), open_channel(f"http://{address}") as channel:
        with await channel.stream("/s/flood") as stream:
            await until(lambda: bool(links))
            await trio.sleep(0.1)
            held = links[0][0].unsent_bytes(links[0][1])
            assert held >= 10_000_500 - limits.HTTP2_STREAM_WINDOW_BYTES
            for _ in range(100):
                assert await stream.receive() == b"y" * 100_000


async def test_cancelling_a_stream_tells_both_ends() -> None:
    async with channel_to() as (channel, _):
        stream = await channel.stream("/s/stream")
        await stream.send(b"a")
        assert await stream.receive() == b"a"
        stream.cancel()
        stream.cancel()
        with pytest.raises(CallError) as raised:
            await stream.receive()
        assert raised.value.code is Code.CANCELLED
        with pytest.raises(CallError):
            await stream.send(b"b")


async def test_a_lost_connection_is_made_again() -> None:
    def crash(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        for connection in list(servers[0].connections):
            connection.cut()

    servers: list[Server] = []
    async with channel_to(crash=crash) as (channel, server):
        servers.append(server)
        for _ in range(2):
            assert await channel.unary("/s/echo", b"a") == b"a"
            with pytest.raises(CallError) as raised:
                await channel.unary("/s/crash", b"")
            assert (raised.value.code, raised.value.may_have_left) == (Code.UNAVAILABLE, True)
        assert await channel.unary("/s/echo", b"b") == b"b"
        assert server.accepted == 3


async def test_a_faulty_sink_keeps_no_other_call_from_its_end() -> None:
    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        pass

    class Faulty(UnaryCall):
        def on_reset(self, error_code: int, may_have_left: bool, reason: str) -> None:
            raise ZeroDivisionError

    async with channel_to(park=park) as (channel, _), trio.open_nursery() as nursery:
        errors: list[CallError] = []

        async def call() -> None:
            with pytest.raises(CallError) as raised:
                await channel.unary("/s/park", b"")
            errors.append(raised.value)

        connection = await channel.connection()
        head = channel._head("/s/park", (), None)
        connection.open_stream(head, Faulty(connection), end=True)
        nursery.start_soon(call)
        await until(lambda: connection.open_streams == 2)
        connection.cut()
        await until(lambda: bool(errors))
        assert errors[0].code is Code.UNAVAILABLE
        assert await channel.unary("/s/echo", b"next") == b"next"


async def test_what_had_not_left_says_so() -> None:
    async with channel_to() as (channel, server):
        await channel.unary("/s/echo", b"a")
        connection = await channel.connection()
        errors: list[CallError] = []

        async def call() -> None:
            with pytest.raises(CallError) as raised:
                await channel.unary("/s/echo", b"b")
            errors.append(raised.value)

        async with trio.open_nursery() as nursery:
            connection._outbox.is_gathering = True  # so that the request stays here
            nursery.start_soon(call)
            await until(lambda: connection.open_streams == 1)
            connection.cut()
            connection._outbox.flush()
        assert (errors[0].code, errors[0].may_have_left) == (Code.UNAVAILABLE, False)
        assert server.accepted == 1


async def test_a_server_that_goes_away_lets_calls_finish_and_new_ones_connect_anew() -> None:
    parked: list[tuple[Link, int]] = []

    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        parked.append((link, stream_id))

    async with channel_to(park=park) as (channel, server), trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def call() -> None:
            answers.append(await channel.unary("/s/park", b""))

        nursery.start_soon(call)
        await until(lambda: bool(parked))
        first = await channel.connection()
        for connection in list(server.connections):
            connection.close()
            server.outbox.flush()
        await until(lambda: not first.is_open)
        assert await channel.unary("/s/echo", b"new") == b"new"
        assert server.accepted == 2
        parked[0][0].respond(parked[0][1], HEAD, frame(b"old"), DONE)
        await first.ended.wait()
        await until(lambda: answers == [b"old"])


async def test_calls_wait_for_the_servers_limit_on_streams() -> None:
    def make(classify: Any) -> ServerConnection:
        return ServerConnection(classify, Http2Options(concurrent_streams=2))

    parked: list[tuple[Link, int]] = []

    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        parked.append((link, stream_id))

    async with channel_to(ServerOptions(http2=make), park=park) as (channel, _), trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(channel.unary, "/s/park", b"")
        for _ in range(5):
            await until(lambda: bool(parked))
            assert len(parked) <= 2
            link, stream_id = parked.pop()
            link.respond(stream_id, HEAD, frame(b""), DONE)


async def test_nobody_there_is_unavailable_and_nothing_has_left(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{deaf.getsockname()[1]}", f"unix://{tmp_path}/none"):
            async with open_channel(url) as channel:
                with pytest.raises(CallError, match="connection error") as raised:
                    await channel.unary("/s/echo", b"")
                assert (raised.value.code, raised.value.may_have_left) == (Code.UNAVAILABLE, False)


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualmode.client.connection.connect.__defaults__", (0.1,))
    with socket.create_server(("127.0.0.1", 0)) as dumb:
        async with open_channel(f"http://127.0.0.1:{dumb.getsockname()[1]}") as channel:
            with pytest.raises(CallError, match=r"no answer within 0\.1 s"):
                await channel.unary("/s/echo", b"")
            with pytest.raises(CallError) as raised:
                await channel.unary("/s/echo", b"", timeout=0.02)
            assert (raised.value.code, raised.value.may_have_left) == (Code.DEADLINE_EXCEEDED, False)


async def test_tls_and_unix(tmp_path: Path) -> None:
    certs = certificates.make(tmp_path / "certs")
    options = ServerOptions(
        tls=ServerTls(TlsSettings(certs.cert, certs.key, trusted_ca_file=certs.ca, client_cert_auth=True), print)
    )
    mux = MuxBuilder().grpc(b"/s/echo", Whole(echo)).build()
    mine = ClientTlsSettings(certs.ca, certs.client_cert, certs.client_key)
    async with serving(mux, "https://127.0.0.1:0", f"unixs://{tmp_path}/s", options=options) as (_, address):
        for url in (f"https://{address}", f"unixs://{tmp_path}/s"):
            async with open_channel(url, mine) as channel:
                assert await channel.unary("/s/echo", b"x") == b"x"
            async with open_channel(url, ClientTlsSettings(certs.ca)) as channel:  # no certificate of its own
                with pytest.raises(CallError) as raised:
                    await channel.unary("/s/echo", b"x")
                assert raised.value.code is Code.UNAVAILABLE
        async with open_channel(f"https://{address}", ClientTlsSettings()) as channel:
            with pytest.raises(CallError, match="certificate verify failed") as raised:
                await channel.unary("/s/echo", b"x")
            assert not raised.value.may_have_left
        async with open_channel(f"http://{address}") as channel:
            with pytest.raises(CallError) as raised:
                await channel.unary("/s/echo", b"x")
            assert raised.value.code is Code.UNAVAILABLE
    with pytest.raises(StartError):
        async with open_channel("https://127.0.0.1:1", ClientTlsSettings(str(tmp_path / "none"))):
            pass


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0u"),
        (-1, b"0u"),
        (0.0000001, b"1u"),
        (5, b"5000000u"),
        (99.9, b"99900000u"),
        (100, b"100000m"),
        (99_999, b"99999000m"),
        (100_000, b"100000S"),
        (1e12, b"99999999S"),
    ],
)
def test_timeouts_as_grpc_writes_them(seconds: float, text: bytes) -> None:
    assert timeout_text(seconds) == text
    assert math.isfinite(seconds)
