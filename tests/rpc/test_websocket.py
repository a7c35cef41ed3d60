"""A WebSocket in front of gateway routes, over a link in memory: a client of wsproto at the other end."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.edge.mux import NOT_FOUND
from dualmode.errors import Code, RpcError
from dualmode.http.interface import ErrorCode, RequestHead
from dualmode.http.routing import PeerIdentity, Sink
from dualmode.rpc.access import AccessRules
from dualmode.rpc.access_guard import AccessGuard
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.gateway import JsonNotFoundRoute, json_routes, upgraded
from dualmode.rpc.metadata import CallMetadata
from dualmode.rpc.table import MethodTable
from dualmode.rpc.websocket import WebSocketRoute
from dualmode.rpc.websocket_handshake import as_post, wants_websocket
from tests.rpc.fake_link import FakeLink

settle = trio.testing.wait_all_tasks_blocked

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # both of RFC 6455 section 1.3
HANDSHAKE = ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"), (b"sec-websocket-key", KEY))


def upgrade_head(*fields: tuple[bytes, bytes], path: bytes = b"/v3/watch", method: bytes = b"GET") -> RequestHead:
    return RequestHead(method, b"http", b"localhost:2379", path, (*HANDSHAKE, *fields), b"1.1")


async def echo(stream: ServerStream) -> None:
    """Says back the key of each watch; a watch id of 9 ends it, 8 fails it."""
    while (message := await stream.receive()) is not None:
        request = pb.WatchRequest.FromString(message).create_request
        if request.watch_id == 9:
            return
        if request.watch_id == 8:
            raise RpcError(Code.UNAVAILABLE, "etcdserver: no leader")
        stream.send_now(pb.WatchResponse(cancel_reason=request.key.decode()).SerializeToString())


def put(call: UnaryCall, message: bytes) -> None:
    request = pb.PutRequest.FromString(message)
    call.reply(pb.PutResponse(prev_kv={"key": request.key}).SerializeToString())


def routes(watch: Any = echo) -> dict[bytes, Any]:
    return json_routes(
        MethodTable(
            [
                Method("etcdserverpb.Watch", "Watch", Kind.BIDI, pb.WatchRequest, pb.WatchResponse, watch),
                Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, put),
            ]
        )
    )


class Client:
    """The other end of one WebSocket."""

    def __init__(self, link: FakeLink, head: RequestHead, route: Any = None) -> None:
        self.link = link
        self._frames = Connection(ConnectionType.CLIENT)
        self._seen = 0
        path = head.path.partition(b"?")[0]
        self.sink: Sink | None = WebSocketRoute(route or routes()[path]).serve(link, 1, head, b"")

    def send(self, *events: Event, cut: int = 0) -> None:
        """All events as one stretch of bytes, cut into pieces of `cut`."""
        data = b"".join(self._frames.send(event) for event in events)
        for start in range(0, len(data), cut or len(data)):
            piece = data[start : start + (cut or len(data))]
            if self.sink is not None:
                self.sink.on_data(piece, len(piece))

    def events(self) -> list[Event]:
        body = self.link.answer().body
        self._frames.receive_data(body[self._seen :])
        self._seen = len(body)
        return list(self._frames.events())

    def texts(self) -> list[Any]:
        return [json.loads(event.data) for event in self.events() if isinstance(event, TextMessage)]

    def closing(self) -> list[int]:
        return [event.code for event in self.events() if isinstance(event, CloseConnection)]


def ask(key: str, watch_id: int = 0) -> str:
    return json.dumps({"create_request": {"key": key, "watch_id": watch_id}})


def told(key: str) -> dict[str, Any]:
    return {"result": {"cancel_reason": key}}


A, B = ask("QQ=="), ask("Qg==")


async def test_the_answer_to_a_handshake(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    head = client.link.answer().head
    assert head is not None
    assert head.get(b":status") == b"101"
    assert head.get(b"upgrade") == b"websocket"
    assert head.get(b"connection") == b"Upgrade"
    assert head.get(b"sec-websocket-accept") == ACCEPT
    assert head.get(b"sec-websocket-protocol") is None


@pytest.mark.parametrize("cut", range(1, 40))
async def test_each_message_is_a_request_and_each_line_an_answer(nursery: trio.Nursery, cut: int) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    half = TextMessage(data=A[:7], message_finished=False)
    rest = TextMessage(data=A[7:])
    client.send(half, rest, BytesMessage(data=B.encode()), TextMessage(data=""), cut=cut)
    await settle()
    assert client.texts() == [told("A"), told("B")]
    assert not client.link.answer().is_ended


async def test_the_call_ends_the_socket(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    client.send(TextMessage(data=ask("QQ==", 9)), TextMessage(data=A))
    await settle()
    assert client.closing() == [1000]
    assert client.link.answer().is_ended


async def test_an_error_is_the_last_message(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    client.send(TextMessage(data=A), TextMessage(data=ask("QQ==", 8)))
    await settle()
    answers = client.texts()
    assert answers[0] == told("A")
    assert answers[1]["error"]["grpc_code"] == Code.UNAVAILABLE
    assert client.link.answer().is_ended


async def test_what_is_no_json_is_refused(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    client.send(TextMessage(data="[1]"))
    await settle()
    assert [answer["error"]["grpc_code"] for answer in client.texts()] == [Code.INVALID_ARGUMENT]


async def test_a_client_that_closes_cancels_the_call(nursery: trio.Nursery) -> None:
    ended = trio.Event()

    async def wait(stream: ServerStream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    client = Client(FakeLink(nursery), upgrade_head(), routes(wait)[b"/v3/watch"])
    await settle()
    assert not ended.is_set()
    client.send(CloseConnection(code=1001, reason="going"))
    await ended.wait()
    assert client.closing() == [1001]
    assert client.link.answer().is_ended


async def test_a_close_without_a_code(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    assert client.sink is not None
    client.sink.on_data(b"\x88\x80\0\0\0\0", 6)
    assert len(client.closing()) == 1
    assert client.link.answer().is_ended


async def test_a_connection_that_is_lost_cancels_the_call(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    assert client.sink is not None
    client.sink.on_reset(ErrorCode.CANCEL)
    await settle()
    assert client.events() == []


async def test_pings_are_answered(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    client.send(Ping(payload=b"x"))
    assert client.events() == [Pong(payload=b"x")]


async def test_a_unary_call_takes_one_message(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head(path=b"/v3/kv/put"))
    client.send(TextMessage(data='{"key":"QQ=="}'), TextMessage(data='{"key":"Qg=="}'))
    assert [answer["prev_kv"] for answer in client.texts()] == [{"key": "QQ=="}]
    assert client.link.answer().is_ended


def test_an_unknown_path_is_told_so() -> None:
    client = Client(FakeLink(), upgrade_head(path=b"/v3/nothing"), JsonNotFoundRoute())
    assert [answer["code"] for answer in client.texts()] == [Code.NOT_FOUND]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", 1002),  # not masked
        (b"\xc1\x81\0\0\0\0a", 1002),  # a reserved bit
        (b"\x83\x81\0\0\0\0a", 1002),  # a reserved opcode
        (b"\x80\x81\0\0\0\0a", 1002),  # goes on with nothing
        (b"\x09\x81\0\0\0\0a", 1002),  # a ping in pieces
        (b"\x81\x81\0\0\0\0\xff", 1007),  # no UTF-8
    ],
)
async def test_frames_that_are_none(nursery: trio.Nursery, data: bytes, code: int) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    assert client.sink is not None
    client.sink.on_data(data, len(data))
    assert client.closing() == [code]
    assert client.link.answer().is_ended


async def test_a_message_that_is_too_long(nursery: trio.Nursery) -> None:
    client = Client(FakeLink(nursery), upgrade_head())
    piece = TextMessage(data="x" * (limits.WEBSOCKET_MESSAGE_BYTES // 4), message_finished=False)
    client.send(*[piece] * 4)
    assert client.closing() == []
    client.send(TextMessage(data="x", message_finished=False))
    assert client.closing() == [1009]


async def test_a_client_that_floods_is_not_read_from(nursery: trio.Nursery) -> None:
    """Credit is given for what the call has read, and not while the client does not read what it is sent."""
    sent = 0

    async def deaf(stream: ServerStream) -> None:
        await trio.sleep_forever()

    client = Client(FakeLink(nursery), upgrade_head(), routes(deaf)[b"/v3/watch"])
    text = json.dumps({"create_request": {"key": "QQ==" * 4000}})
    for _ in range(100):
        client.send(TextMessage(data=text))
        sent += len(text)
    assert client.link.acknowledged_bytes < 2 * limits.WEBSOCKET_HELD_BYTES < sent

    client = Client(FakeLink(nursery), upgrade_head())
    client.link.unsent = limits.STREAM_UNSENT_BYTES + 1
    client.send(*[Ping(payload=b"x" * 100)] * 100)
    assert client.link.acknowledged_bytes == 0
    client.link.unsent = 0
    assert client.sink is not None
    client.sink.on_drained()
    assert client.link.acknowledged_bytes == 100 * 106


@pytest.mark.parametrize(
    "head",
    [
        upgrade_head(method=b"POST"),
        RequestHead(b"GET", b"http", b"h", b"/v3/watch", HANDSHAKE[:2], b"1.1"),
        RequestHead(b"GET", b"http", b"h", b"/v3/watch", (*HANDSHAKE[:1], *HANDSHAKE[2:]), b"1.1"),
        RequestHead(b"GET", b"http", b"h", b"/v3/watch", (*HANDSHAKE[:2], (b"sec-websocket-key", b"xx")), b"1.1"),
        RequestHead(b"GET", b"http", b"h", b"/v3/watch", (*HANDSHAKE[:2], (b"sec-websocket-key", b"\xff")), b"1.1"),
    ],
)
def test_handshakes_that_are_none(head: RequestHead) -> None:
    client = Client(FakeLink(), head)
    answer = client.link.answer()
    assert answer.field(b":status") == b"400"
    assert answer.field(b"sec-websocket-version") == b"13"
    assert client.sink is None


PLAIN = PeerIdentity("192.0.2.1:1000", is_tls=False)


@pytest.mark.parametrize(
    ("cors", "fields", "status"),
    [
        (["*"], (), "101"),
        (["*"], ((b"origin", b"http://page"),), "101"),
        (["http://page"], ((b"origin", b"http://page"),), "101"),
        (["http://page"], (), "101"),
        (["http://page"], ((b"origin", b"http://other"),), "403"),
    ],
)
async def test_the_origin_of_a_page_is_looked_at(
    nursery: trio.Nursery, cors: list[str], fields: tuple[tuple[bytes, bytes], ...], status: str
) -> None:
    guard = AccessGuard(AccessRules([], cors), upgraded)
    head = upgrade_head(*fields)
    link = FakeLink(nursery)
    guard(head, PLAIN, routes()[b"/v3/watch"]).serve(link, 1, head, b"")
    assert link.answer().field(b":status") == status.encode()


async def test_the_host_whitelist_and_other_routes(nursery: trio.Nursery) -> None:
    head = upgrade_head()
    link = FakeLink()
    AccessGuard(AccessRules(["other"], []), upgraded)(head, PLAIN, routes()[b"/v3/watch"]).serve(link, 1, head, b"")
    assert link.answer().field(b":status") == b"421"
    link = FakeLink()
    AccessGuard(AccessRules([], []), upgraded)(head, PLAIN, NOT_FOUND).serve(link, 1, head, b"")
    assert link.answer().field(b":status") == b"404"


def test_what_is_an_upgrade() -> None:
    assert wants_websocket(upgrade_head())
    assert wants_websocket(RequestHead(b"GET", b"", b"", b"/", ((b"upgrade", b"h2c, WebSocket"),), b"1.1"))
    assert not wants_websocket(RequestHead(b"GET", b"", b"", b"/", ((b"upgrade", b"h2c"),), b"1.1"))
    assert not wants_websocket(RequestHead(b"GET", b"", b"", b"/", HANDSHAKE, b"1.0"))
    assert not wants_websocket(RequestHead(b"GET", b"", b"", b"/", HANDSHAKE, b"2"))
    assert not wants_websocket(RequestHead(b"GET", b"", b"", b"/", (), b"1.1"))


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ((), None),
        (((b"sec-websocket-protocol", b"Bearer, t"),), b"Bearer t"),
        (((b"sec-websocket-protocol", b"Bearer,t"),), b"Bearer t"),
        (((b"sec-websocket-protocol", b"chat"),), None),
        (((b"authorization", b"t"),), b"t"),
        (((b"authorization", b"u"), (b"sec-websocket-protocol", b"Bearer, t")), b"Bearer t"),
        (((b"cookie", b"a=b; token=t; c"),), b"Bearer t"),
        (((b"cookie", b"token=t"), (b"origin", b"http://localhost:2379")), b"Bearer t"),
        (((b"cookie", b"token=t"), (b"origin", b"http://evil")), None),
    ],
)
def test_who_asks(fields: tuple[tuple[bytes, bytes], ...], token: bytes | None) -> None:
    head = as_post(upgrade_head(*fields))
    assert head.method == b"POST"
    assert head.get(b"authorization") == token
    assert head.get(b"upgrade") is None
    assert head.get(b"sec-websocket-key") is None


async def test_a_bearer_is_answered_in_kind(nursery: trio.Nursery) -> None:
    seen: list[CallMetadata] = []

    async def look(stream: ServerStream) -> None:
        seen.append(stream.metadata)  # type: ignore[arg-type]

    head = upgrade_head((b"sec-websocket-protocol", b"Bearer, secret"))
    client = Client(FakeLink(nursery), head, routes(look)[b"/v3/watch"])
    assert client.link.answer().field(b"sec-websocket-protocol") == b"Bearer"
