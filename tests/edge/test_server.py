"""The connection loop and the server, over real sockets, with foreign clients."""

import contextlib
import errno
import os
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import h2.events
import pytest
import trio
import trio.testing

from dualmode import limits
from dualmode.edge import server as server_module
from dualmode.edge.address import places
from dualmode.edge.admission import Admission
from dualmode.edge.listener import bind_all
from dualmode.edge.mux import MuxBuilder
from dualmode.edge.server import Server, ServerOptions, connection_limit, serve
from dualmode.edge.tls import ServerTls, TlsSettings
from dualmode.errors import StartError
from dualmode.http.engines import ENGINES
from dualmode.http.interface import ErrorCode, RequestHead
from dualmode.http.native import ServerConnection
from dualmode.http.routing import Link, Mux, Sink
from tests.edge import peers
from tests.edge.certificates import Certificates
from tests.edge.peers import H2Peer, dial, dial_tls, get, read_all, serving, until
from tests.edge.toy import OK, Notes, Streamed, Whole, echo


def reply(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
    """Answers with what came and who sent it."""
    link.respond(stream_id, OK, head.path + b"|" + body + b"|" + (link.peer.common_name or "").encode())


def mux(**more: Any) -> Mux:
    builder = MuxBuilder().path(b"/reply", Whole(reply)).path(b"/echo", Streamed(echo))
    for name, route in more.items():
        builder.path(b"/" + name.encode(), route)
    return builder.build()


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything holds for every HTTP/2 engine."""
    monkeypatch.setattr(peers, "engine", request.param)
    return str(request.param)


# --- What may arrive on a port -------------------------------------------------------------------------------


async def test_http1_and_http2_are_answered_on_one_plain_port() -> None:
    async with serving(mux()) as (_, address):
        answer = await get(await dial(address), "/reply", b"hello")
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"/reply|hello|")
        peer = H2Peer(await dial(address))
        assert await peer.request(b"/reply", b"hello") == (200, b"/reply|hello|")
        assert await peer.request(b"/none") == (404, b"404 page not found\n")
        assert await peer.request(b"/echo", b"a" * 16_000) == (200, b"a" * 16_000)


async def test_an_opening_may_come_byte_by_byte() -> None:
    async with serving(mux()) as (_, address):
        for opening in (b"POST /reply HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",):
            stream = await dial(address)
            for at in range(len(opening)):
                await stream.send_all(opening[at : at + 1])
                await trio.lowlevel.checkpoint()
            assert (await read_all(stream)).startswith(b"HTTP/1.1 200")
        peer = H2Peer(await dial(address))
        stream_id = peer.open(b"/reply")
        for byte in peer.h2.data_to_send():
            await peer.stream.send_all(bytes([byte]))
        assert await peer.answer(stream_id) == (200, b"/reply||")


@pytest.fixture
def tls_options(certs: Certificates) -> ServerOptions:
    return ServerOptions(tls=ServerTls(TlsSettings(certs.cert, certs.key), print))


def trusting(certs: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certs.ca)


async def test_four_kinds_of_client_share_a_mixed_port(certs: Certificates, tls_options: ServerOptions) -> None:
    free = bind_all(places(["http://127.0.0.1:0"]))[0]
    free.close()
    urls = [f"http://{free.address}", f"https://{free.address}"]
    async with serving(mux(), *urls, options=tls_options) as (_, address):
        assert b"/reply|1|" in await get(await dial(address), "/reply", b"1")
        assert await H2Peer(await dial(address)).request(b"/reply", b"2") == (200, b"/reply|2|")
        for alpn in (["h2"], ["h2", "http/1.1"]):
            stream = await dial_tls(address, trusting(certs), alpn)
            assert stream.selected_alpn_protocol() == "h2"
            assert await H2Peer(stream).request(b"/reply", b"3") == (200, b"/reply|3|")
        for alpn in (["http/1.1"], []):
            assert b"/reply|4|" in await get(await dial_tls(address, trusting(certs), alpn), "/reply", b"4")
        # Old gRPC clients say nothing by ALPN and speak HTTP/2 all the same.
        assert await H2Peer(await dial_tls(address, trusting(certs))).request(b"/reply") == (200, b"/reply||")


async def test_http1_requests_have_the_scheme_they_came_by(certs: Certificates, tls_options: ServerOptions) -> None:
    def tell(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, OK, b"<" + head.scheme + b">")

    async with serving(mux(scheme=Whole(tell)), "https://127.0.0.1:0", options=tls_options) as (_, address):
        assert b"<https>" in await get(await dial_tls(address, trusting(certs), ["http/1.1"]), "/scheme")
    async with serving(mux(scheme=Whole(tell))) as (_, address):
        assert b"<http>" in await get(await dial(address), "/scheme")


async def test_a_tls_port_tells_a_plain_client(tls_options: ServerOptions) -> None:
    async with serving(mux(), "https://127.0.0.1:0", options=tls_options) as (_, address):
        assert b"HTTP request to an HTTPS server" in await get(await dial(address), "/reply")
        assert await H2Peer(await dial(address)).request(b"/reply") == (-2, b"")


async def test_a_plain_port_never_starts_tls(certs: Certificates) -> None:
    async with serving(mux()) as (_, address):
        with pytest.raises(trio.BrokenResourceError) as raised:
            await dial_tls(address, trusting(certs))
        assert "ALERT_HANDSHAKE_FAILURE" in str(raised.value.__cause__).upper().replace(" ", "_")


async def test_noise_is_hung_up_on(tls_options: ServerOptions) -> None:
    for url in ("http://127.0.0.1:0", "https://127.0.0.1:0"):
        async with serving(mux(), url, options=tls_options) as (_, address):
            stream = await dial(address)
            await stream.send_all(b"\x00\x01\x02 what is this")
            assert await read_all(stream) == b""


async def test_routes_see_the_verified_common_name(certs: Certificates) -> None:
    settings = TlsSettings(certs.cert, certs.key, trusted_ca_file=certs.ca, client_cert_auth=True)
    options = ServerOptions(tls=ServerTls(settings, print))
    async with serving(mux(), "https://127.0.0.1:0", options=options) as (_, address):
        context = trusting(certs)
        context.load_cert_chain(certs.client_cert, certs.client_key)
        assert await H2Peer(await dial_tls(address, context, ["h2"])).request(b"/reply") == (200, b"/reply||alice")


async def test_a_revoked_client_gets_no_answer(certs: Certificates) -> None:
    settings = TlsSettings(certs.cert, certs.key, trusted_ca_file=certs.ca, allowed_common_names=("bob",))
    options = ServerOptions(tls=ServerTls(settings, print))
    async with serving(mux(), "https://127.0.0.1:0", options=options) as (_, address):
        context = trusting(certs)
        context.load_cert_chain(certs.client_cert, certs.client_key)
        stream = await dial_tls(address, context, ["http/1.1"])
        await stream.send_all(b"GET /reply HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await read_all(stream) == b""


async def test_unix_sockets_serve_too(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with serving(mux(), f"unix://{path}") as (_, address):
        assert address == path
        assert await H2Peer(await dial(address)).request(b"/reply", b"x") == (200, b"/reply|x|")
    assert not os.path.exists(path)  # noqa: ASYNC240


async def test_https_needs_a_certificate() -> None:
    (listener,) = bind_all(places(["https://127.0.0.1:0"]))
    with pytest.raises(StartError, match=r"https://127.0.0.1:\d+: https needs a certificate and a key"):
        Server([listener], mux(), ServerOptions())
    listener.close()


# --- Calls ---------------------------------------------------------------------------------------------------


async def test_many_calls_of_one_read_leave_in_one_write() -> None:
    writes: list[int] = []

    class Counting(ServerConnection):
        def take_output(self) -> bytes:
            output = super().take_output()
            writes.append(len(output))
            return output

    async with serving(mux(), options=ServerOptions(http2=Counting)) as (_, address):
        peer = H2Peer(await dial(address))
        assert await peer.request(b"/reply") == (200, b"/reply||")
        writes.clear()
        streams = [peer.open(b"/reply") for _ in range(50)]
        await peer.flush()
        for stream_id in streams:
            assert await peer.answer(stream_id) == (200, b"/reply||")
        assert len([size for size in writes if size > 100]) == 1


async def test_a_parked_call_is_answered_from_anywhere() -> None:
    parked: list[tuple[Link, int]] = []

    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        parked.append((link, stream_id))

    async with serving(mux(park=Whole(park))) as (server, address):
        peers = [H2Peer(await dial(address)) for _ in range(3)]
        for peer in peers:
            peer.open(b"/park")
            await peer.flush()
        await until(lambda: len(parked) == 3)
        with server.outbox:  # an apply pass
            for link, stream_id in parked:
                link.respond(stream_id, OK, b"applied")
        for peer in peers:
            assert await peer.answer(1) == (200, b"applied")
        for peer in peers:
            peer.open(b"/park")
            await peer.flush()
        await until(lambda: len(parked) == 6)
        for link, stream_id in parked[3:]:  # a task that knows of no outbox
            link.respond(stream_id, OK, b"later")
        for peer in peers:
            assert await peer.answer(3) == (200, b"later")


async def test_a_fault_in_a_route_kills_that_stream_only() -> None:
    def crash(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        raise ZeroDivisionError

    async def task() -> None:
        raise ZeroDivisionError

    def crash_later(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.spawn(task)

    class Crashing(Notes):
        def on_data(self, data: bytes, flow_bytes: int) -> None:
            raise ZeroDivisionError

    sinks: list[Notes] = []

    def crash_at_data(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        sinks.append(Crashing(link, stream_id))
        return sinks[-1]

    routes = {"crash": Whole(crash), "later": Whole(crash_later), "data": Streamed(crash_at_data)}
    async with serving(mux(**routes)) as (_, address):
        peer = H2Peer(await dial(address))
        for path in (b"/crash", b"/later", b"/data"):
            assert await peer.request(path, b"x") == (-1, str(int(ErrorCode.INTERNAL_ERROR)).encode())
        assert sinks[0].heard == [("reset", ErrorCode.INTERNAL_ERROR)]
        assert await peer.request(b"/reply") == (200, b"/reply||")


async def test_faults_away_from_a_read_do_not_end_the_server_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 0.01)

    class Crashing(Notes):
        def on_drained(self) -> None:
            super().on_drained()
            raise ZeroDivisionError

        def on_reset(self, error_code: int) -> None:
            super().on_reset(error_code)
            raise ZeroDivisionError

    sinks: list[Notes] = []

    def push(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        link.start_response(stream_id, OK)
        sinks.append(Crashing(link, stream_id))
        return sinks[-1]

    crashes = []

    def crash_in_tick(now: float) -> None:
        crashes.append(now)
        raise ZeroDivisionError

    options = ServerOptions(on_tick=(crash_in_tick,))
    async with serving(mux(push=Streamed(push)), options=options) as (server, address):
        peer = H2Peer(await dial(address), window_bytes=2**30)
        peer.h2.increment_flow_control_window(2**30)
        peer.open(b"/push", end=False)
        stream_id = peer.open(b"/push", end=False)
        await peer.flush()
        await until(lambda: len(sinks) == 2)
        while sinks[1].link.unsent_bytes(stream_id) == 0:
            sinks[1].link.send_data(stream_id, b"y" * 100_000)
            server.outbox.flush()
        while not sinks[0].heard or not sinks[1].heard:
            await peer.pump()
        assert [sink.heard[0] for sink in sinks] == ["drained"] * 2
        peer.open(b"/push", end=False)
        peer.open(b"/push", end=False)
        await peer.flush()
        await until(lambda: len(sinks) == 4)
        await peer.stream.aclose()
        await until(lambda: not server.connections)
        assert [len(sink.heard) for sink in sinks[2:]] == [1, 1]
        await until(lambda: len(crashes) > 1)
        assert await H2Peer(await dial(address)).request(b"/reply") == (200, b"/reply||")


async def test_a_fault_in_an_engines_timer_ends_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 0.01)

    class Faulty(ServerConnection):
        def tick(self, now: float) -> list[Any]:
            if broken:
                raise ZeroDivisionError
            return super().tick(now)

    broken = [True]
    async with serving(mux(), options=ServerOptions(http2=Faulty)) as (server, address):
        peer = H2Peer(await dial(address))
        peer.open(b"/reply", end=False)
        await peer.flush()
        while not peer.is_ended:
            await peer.pump()
        broken.clear()
        assert await H2Peer(await dial(address)).request(b"/reply") == (200, b"/reply||")
        assert server.accepted == 2


async def test_a_body_over_the_limit_is_refused() -> None:
    async with serving(mux(small=Whole(reply, limit=10))) as (_, address):
        peer = H2Peer(await dial(address))
        assert await peer.request(b"/small", b"x" * 10) == (200, b"/small|xxxxxxxxxx|")
        assert await peer.request(b"/small", b"x" * 11) == (413, b"too large")


async def test_a_sink_hears_of_the_reset_and_of_the_lost_connection() -> None:
    sinks: list[Notes] = []

    def listen(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        sinks.append(Notes(link, stream_id))
        return sinks[-1]

    async with serving(mux(listen=Streamed(listen), whole=Whole(listen))) as (server, address):
        peer = H2Peer(await dial(address))
        first, second, third = (peer.open(path, end=path == b"/whole") for path in (b"/listen", b"/listen", b"/whole"))
        peer.h2.send_data(first, b"abc")
        peer.h2.reset_stream(first, ErrorCode.CANCEL)
        await peer.flush()
        await until(lambda: len(sinks) == 3)
        assert sinks[0].heard == [b"abc", ("reset", ErrorCode.CANCEL)]
        assert sinks[1].heard == []
        assert sinks[2].heard == []
        # The client's host is gone: a reset, nothing orderly.
        raw = peer.stream.socket  # type: ignore[attr-defined]
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        await until(lambda: not server.connections)
        assert [kind for kind, _ in sinks[1].heard] == ["reset"]
        assert [kind for kind, _ in sinks[2].heard] == ["reset"]
        sinks[1].link.send_data(second, b"too late")
        sinks[2].link.respond(third, OK, b"too late")
        await trio.testing.wait_all_tasks_blocked()


async def test_a_task_ends_with_its_connection() -> None:
    ended: list[str] = []

    async def task(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(name)

    def start(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.spawn(task, body.decode())

    async with serving(mux(start=Whole(start))) as (server, address):
        peers = [H2Peer(await dial(address)) for _ in range(2)]
        for name, peer in zip("ab", peers, strict=True):
            stream_id = peer.open(b"/start", end=False)
            peer.h2.send_data(stream_id, name.encode(), end_stream=True)
            await peer.flush()
            assert await peer.request(b"/reply") == (200, b"/reply||")
        await peers[0].stream.aclose()
        await until(lambda: len(server.connections) == 1)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["a"]
    assert ended == ["a", "b"]


async def test_the_answer_to_a_client_that_has_shut_its_half_still_arrives() -> None:
    big = b"x" * 3_000_000

    def answer(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, OK.plus((b"content-length", b"%d" % len(big))), big)

    async with serving(mux(big=Whole(answer))) as (_, address):
        stream = await dial(address)
        await stream.send_all(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
        await stream.send_eof()
        assert (await read_all(stream)).endswith(big)


# --- Back-pressure -------------------------------------------------------------------------------------------


async def test_a_slow_reader_is_not_read_from_and_loses_nothing() -> None:
    piece = b"x" * 500_000

    def big(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        served.append(stream_id)
        link.respond(stream_id, OK, piece)

    served: list[int] = []
    async with serving(mux(big=Whole(big))) as (server, address):
        peer = H2Peer(await dial(address), window_bytes=2**30)
        peer.h2.increment_flow_control_window(2**30)
        assert await peer.request(b"/reply") == (200, b"/reply||")
        (connection,) = server.connections
        # Each request arrives in a read of its own; the client reads nothing.
        for _ in range(60):
            peer.open(b"/big")
            await peer.flush()
            await trio.testing.wait_all_tasks_blocked()
        assert connection._wire.unsent_bytes <= limits.CONNECTION_UNSENT_BYTES + len(piece) + 1000
        assert len(served) < 40
        for stream_id in range(3, 3 + 2 * 60, 2):
            assert await peer.answer(stream_id) == (200, piece)
        assert len(served) == 60
        assert connection._wire.unsent_bytes == 0


async def test_a_sender_learns_of_the_slow_reader_and_of_the_room() -> None:
    sinks: list[Notes] = []

    def push(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        link.start_response(stream_id, OK)
        sinks.append(Notes(link, stream_id))
        return sinks[-1]

    async with serving(mux(push=Streamed(push))) as (server, address):
        peer = H2Peer(await dial(address), window_bytes=2**30)
        peer.h2.increment_flow_control_window(2**30)
        stream_id = peer.open(b"/push", end=False)
        await peer.flush()
        await until(lambda: bool(sinks))
        link, sent = sinks[0].link, 0
        while link.unsent_bytes(stream_id) == 0:
            link.send_data(stream_id, b"y" * 100_000)
            sent += 100_000
            server.outbox.flush()
        assert sinks[0].heard == []
        while "drained" not in sinks[0].heard:
            await peer.pump()
        link.end_stream(stream_id)
        assert await peer.answer(stream_id) == (200, b"y" * sent)


async def test_flow_control_is_end_to_end() -> None:
    sinks: list[Notes] = []

    def push(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        link.start_response(stream_id, OK)
        link.send_data(stream_id, b"z" * 300_000)
        sinks.append(Notes(link, stream_id))
        return sinks[-1]

    async with serving(mux(push=Streamed(push))) as (_, address):
        peer = H2Peer(await dial(address), auto_credit=False)
        stream_id = peer.open(b"/push", end=False)
        await peer.flush()
        while len(peer.body(stream_id)) < 65535:
            await peer.pump()
        assert sinks[0].link.unsent_bytes(stream_id) == 300_000 - 65535
        peer.h2.increment_flow_control_window(300_000)
        peer.h2.increment_flow_control_window(300_000, stream_id)
        await peer.flush()
        while len(peer.body(stream_id)) < 300_000:
            await peer.pump()
        assert sinks[0].heard == ["drained"]


async def test_pings_for_the_bandwidth_are_welcome_while_data_flows() -> None:
    """grpc-go pings with every credit while it measures a long answer; what leaves by that credit forgives the ping."""
    body = b"z" * 1_000_000

    def big(link: Link, stream_id: int, head: RequestHead, body_: bytes) -> None:
        link.respond(stream_id, OK, body)

    async with serving(mux(big=Whole(big))) as (_, address):
        peer = H2Peer(await dial(address), auto_credit=False)
        stream_id = peer.open(b"/big", end=True)
        await peer.flush()
        while len(peer.body(stream_id)) < 65535:
            await peer.pump()
        for received in range(65535, len(body), 65535):
            peer.h2.ping(b"bandwidt")
            peer.h2.increment_flow_control_window(65535)
            peer.h2.increment_flow_control_window(65535, stream_id)
            await peer.flush()
            while len(peer.body(stream_id)) < min(received + 65535, len(body)) and not peer.is_ended:
                await peer.pump()
        assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in peer.events)
        assert await peer.answer(stream_id) == (200, body)


# --- Time ----------------------------------------------------------------------------------------------------


async def test_streams_that_nobody_reads_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is within its own bound; all together they are too much, and everyone on the connection hears of it."""
    monkeypatch.setattr(limits, "HTTP2_STREAMED_BYTES", 500_000)
    sinks: list[Notes] = []

    def serve(link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        link.start_response(stream_id, OK)
        sinks.append(Notes(link, stream_id))
        return sinks[-1]

    def heard_last(sink: Notes) -> Any:
        return sink.heard[-1] if sink.heard else None

    async with serving(mux(feed=Streamed(serve))) as (server, address):
        peer = H2Peer(await dial(address), auto_credit=False)
        for _ in range(20):
            peer.open(b"/feed", end=False)
        await peer.flush()
        await until(lambda: len(sinks) == 20)
        for sink in sinks:
            sink.link.send_data(sink.stream_id, bytes(100_000))
            await trio.lowlevel.checkpoint()
        await until(lambda: {heard_last(sink) for sink in sinks} == {("reset", ErrorCode.ENHANCE_YOUR_CALM)})
        assert {sink.link.unsent_bytes(sink.stream_id) for sink in sinks} == {0}
        while not peer.is_ended:
            await peer.pump()
        ends = [event for event in peer.events if isinstance(event, h2.events.ConnectionTerminated)]
        assert [event.error_code for event in ends] == [ErrorCode.ENHANCE_YOUR_CALM]
        await peer.stream.aclose()
        await until(lambda: not server.connections)


async def test_a_client_that_says_nothing_is_cut(monkeypatch: pytest.MonkeyPatch, tls_options: ServerOptions) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(limits, "TICK_SECONDS", 0.05)
    async with serving(mux(), "https://127.0.0.1:0", options=tls_options) as (server, address):
        for opening in (b"", b"P", b"\x16\x03\x01\x02\x00\x01"):
            stream = await dial(address)
            with contextlib.suppress(trio.BrokenResourceError):  # a reset, when the opening crosses the end
                await stream.send_all(opening)
                assert await read_all(stream) == b""
            await stream.aclose()
        await until(lambda: not server.connections)


async def test_ticks_reach_the_deadlines_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 0.01)
    parked: list[tuple[Link, int]] = []

    def expire(now: float) -> None:
        while parked:
            link, stream_id = parked.pop()
            link.respond(stream_id, OK, b"too late")

    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        parked.append((link, stream_id))

    async with serving(mux(park=Whole(park)), options=ServerOptions(on_tick=(expire,))) as (_, address):
        assert await H2Peer(await dial(address)).request(b"/park") == (200, b"too late")


async def test_a_peer_that_does_not_read_its_last_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(limits, "TICK_SECONDS", 0.02)

    def big(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        link.respond(stream_id, OK.plus((b"content-length", b"20000000")), b"x" * 20_000_000)

    async with serving(mux(big=Whole(big))) as (server, address):
        stream = await dial(address)
        await stream.send_all(b"GET /big HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await until(lambda: bool(server.connections))
        await until(lambda: not server.connections)
        received = 0
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                received += len(data)
        assert received < 20_000_000


# --- The end -------------------------------------------------------------------------------------------------


async def test_calls_in_flight_are_finished_before_the_end() -> None:
    parked: list[tuple[Link, int]] = []

    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        parked.append((link, stream_id))

    async with serving(mux(park=Whole(park)), close=False) as (server, address):
        peer = H2Peer(await dial(address))
        idle = H2Peer(await dial(address))
        assert await idle.request(b"/reply") == (200, b"/reply||")
        old = await dial(address)
        await old.send_all(b"GET /reply HTTP/1.1\r\nhost: a\r\n\r\n")  # keeps its connection
        stream_id = peer.open(b"/park")
        await peer.flush()
        await until(lambda: bool(parked) and len(server.connections) == 3)
        closed = trio.Event()

        async def close() -> None:
            await server.close(drain_seconds=5)
            closed.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            while not any(isinstance(event, h2.events.ConnectionTerminated) for event in idle.events):
                await idle.pump()
            while not idle.is_ended:
                await idle.pump()
            assert (await read_all(old)).startswith(b"HTTP/1.1 200")
            with pytest.raises(OSError, match="all attempts to connect"):
                await dial(address)
            assert not closed.is_set()
            parked[0][0].respond(parked[0][1], OK, b"done")
            assert await peer.answer(stream_id) == (200, b"done")
            while not peer.is_ended:
                await peer.pump()
        assert closed.is_set()


async def test_what_does_not_finish_is_cut() -> None:
    def park(link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        pass

    async with serving(mux(park=Whole(park)), close=False) as (server, address):
        peer = H2Peer(await dial(address))
        stream_id = peer.open(b"/park")
        await peer.flush()
        await until(lambda: bool(server.connections))
        await server.close(drain_seconds=0.05)
        assert await peer.answer(stream_id) in ((-2, b""), (-1, b"8"))


async def test_serve_gives_the_server_and_ends_with_its_nursery() -> None:
    listeners = bind_all(places(["http://127.0.0.1:0"]))
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, listeners, mux(), ServerOptions())
        assert await H2Peer(await dial(listeners[0].address)).request(b"/reply") == (200, b"/reply||")
        assert server.accepted == 1
        nursery.cancel_scope.cancel()
    assert listeners[0].sock.fileno() == -1


# --- Limits of the machine -----------------------------------------------------------------------------------


async def test_connections_above_the_limit_wait_for_room() -> None:
    async with serving(mux(), options=ServerOptions(connections=2)) as (server, address):
        first, second, third = [H2Peer(await dial(address)) for _ in range(3)]
        assert await first.request(b"/reply") == (200, b"/reply||")
        assert await second.request(b"/reply") == (200, b"/reply||")
        stream_id = third.open(b"/reply")
        await third.flush()
        with trio.move_on_after(0.1) as scope:
            await third.answer(stream_id)
        assert scope.cancelled_caught
        assert len(server.connections) == 2
        await first.stream.aclose()
        assert await third.answer(stream_id) == (200, b"/reply||")


async def refused(address: str) -> bool:
    """Whether a connection is closed without a word."""
    return await read_all(await dial(address)) == b""


async def test_connections_for_which_there_is_no_place_are_closed_at_once() -> None:
    admission = Admission(2)
    async with serving(mux(), options=ServerOptions(admission=admission)) as (server, address):
        first, second = [H2Peer(await dial(address)) for _ in range(2)]
        assert await first.request(b"/reply") == (200, b"/reply||")
        assert await second.request(b"/reply") == (200, b"/reply||")
        for _ in range(3):
            assert await refused(address)
        assert (admission.open, admission.refused, server.accepted) == (2, 3, 2)
        assert await first.request(b"/reply") == (200, b"/reply||")
        await first.stream.aclose()
        await until(lambda: admission.open == 1)
        assert await H2Peer(await dial(address)).request(b"/reply") == (200, b"/reply||")
    assert admission.open == 0


async def test_a_place_is_free_again_however_a_connection_ends() -> None:
    admission = Admission(1)
    async with serving(mux(), options=ServerOptions(admission=admission)) as (_, address):
        stream = await dial(address)
        await stream.send_all(b"nonsense\r\n\r\n")
        assert await read_all(stream) == b""
        await stream.aclose()
        await until(lambda: not admission.open)
        stream = await dial(address)
        await until(lambda: admission.open == 1)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        await until(lambda: not admission.open)
        assert (await get(await dial(address), "/reply")).startswith(b"HTTP/1.1 200")
    assert admission.refused == 0


async def test_one_address_does_not_take_all_places(tmp_path: Path) -> None:
    admission, unix = Admission(4, 1), f"unix://{tmp_path / 's'}"
    urls = ("http://127.0.0.1:0", unix)
    async with serving(mux(), *urls, options=ServerOptions(admission=admission)) as (_, address):
        one = H2Peer(await dial(address))
        assert await one.request(b"/reply") == (200, b"/reply||")
        assert await refused(address)
        host, _, port = address.rpartition(":")
        with socket.socket() as sock:
            sock.bind(("127.0.0.2", 0))
            sock.connect((host, int(port)))
            sock.setblocking(False)
            await until(lambda: admission.open == 2)
            locals_ = [H2Peer(await dial(str(tmp_path / "s"))) for _ in range(2)]
            for peer in locals_:
                assert await peer.request(b"/reply") == (200, b"/reply||")
            assert await refused(str(tmp_path / "s"))  # they count for the total


async def test_no_descriptors_left_is_a_pause_not_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ACCEPT_PAUSE_SECONDS", 0.01)
    listeners = bind_all(places(["http://127.0.0.1:0"]))
    real = listeners[0].sock
    failures = [OSError(errno.EMFILE, "too many open files"), OSError(errno.ECONNABORTED, "aborted")]

    class Failing:
        def accept(self) -> Any:
            if failures:
                raise failures.pop(0)
            return real.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    listeners[0].sock = Failing()  # type: ignore[assignment]
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, listeners, mux(), ServerOptions())
        assert await H2Peer(await dial(listeners[0].address)).request(b"/reply") == (200, b"/reply||")
        assert failures == []
        await server.close(0)


def test_the_limit_leaves_descriptors_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module.resource, "getrlimit", lambda _: (1024, 4096))
    assert connection_limit() == 1024 - limits.RESERVED_DESCRIPTORS
    monkeypatch.setattr(server_module.resource, "getrlimit", lambda _: (limits.RESERVED_DESCRIPTORS, 4096))
    with pytest.raises(StartError, match="open files"):
        connection_limit()
