"""WebSockets on gateway paths: the tested server and etcd are told the same, side by side."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from wsproto.events import CloseConnection, Pong

from dualmode.api import authpb
from tests.differential.afresh import ask
from tests.interop.conftest import Farm
from tests.interop.grpc_client import Client, connect, start_afresh
from tests.interop.servers import Server
from tests.interop.tested import IS_OURS, start_tested
from tests.interop.websocket import WebSocketClient

pytestmark = pytest.mark.interop


@pytest.fixture(params=["tested", "proxy"])
def servers(request: pytest.FixtureRequest, farm: Farm) -> tuple[Server, Server]:
    """etcd, and the tested server or our proxy in front of another etcd."""
    pair = farm.etcd(), farm.tested() if request.param == "tested" else farm.proxy()
    with ExitStack() as stack:
        start_afresh(*(stack.enter_context(connect(server)) for server in pair))
    return pair


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def plain(answer: Any) -> Any:
    """An answer without what is every server's own."""
    header = answer.get("result", answer).get("header", {})
    for name in ("cluster_id", "member_id", "raft_term"):
        header.pop(name, None)
    return answer


def watch_with_puts(server: Server) -> list[Any]:
    """What a page sees that watches two keys on one socket, cancels one, and asks how far it is."""
    told = []
    with connect(server) as client, WebSocketClient(server.target, "/v3/watch") as socket:
        assert socket.is_open
        for number, key in enumerate((b"a", b"b"), 1):
            socket.ask({"create_request": {"key": encoded(key), "watch_id": number, "prev_kv": True}})
            told.append(plain(socket.next_json()))
        for key in (b"a", b"b"):
            client.Put(key=key, value=b"1")
            told.append(plain(socket.next_json()))
        client.DeleteRange(key=b"a")
        told.append(plain(socket.next_json()))
        socket.ask({"cancel_request": {"watch_id": 1}})
        told.append(plain(socket.next_json()))
        socket.ping()
        assert socket.next_event() == Pong(payload=b"are you there")
        client.Put(key=b"a", value=b"not heard")
        client.Put(key=b"b", value=b"2")
        told.append(plain(socket.next_json()))
        socket.send(CloseConnection(code=1000))
        assert socket.next_text() is None
    return told


def test_a_watch(servers: tuple[Server, Server]) -> None:
    theirs, ours = (watch_with_puts(server) for server in servers)
    assert ours == theirs
    assert len(ours) == 7


def test_leases_are_kept_alive_one_message_each(servers: tuple[Server, Server]) -> None:
    answers = []
    for server in servers:
        with connect(server) as client, WebSocketClient(server.target, "/v3/lease/keepalive") as socket:
            client.LeaseGrant(ID=5, TTL=100)
            for lease in ("5", 5, 6):
                socket.ask({"ID": lease})
                answers.append(plain(socket.next_json()))
    assert answers[3:] == answers[:3]
    assert answers[0]["result"]["TTL"] == "100"


@pytest.mark.parametrize("path", ["/v3/watch?method=GET", "/v3/watch", "/v3/nothing"])
def test_who_may_open_one(servers: tuple[Server, Server], path: str) -> None:
    headers = ("Origin", "http://a-page")
    for server in servers:
        with WebSocketClient(server.target, path, headers, subprotocols=("Bearer", "token")) as socket:
            assert getattr(socket.answer, "subprotocol", None) == "Bearer"
            if path == "/v3/nothing":
                assert "Not Found" in (socket.next_text() or "")
                assert socket.next_text() is None


def test_other_pages_are_no_sockets(servers: tuple[Server, Server]) -> None:
    for server in servers:
        with WebSocketClient(server.target, "/health") as socket:
            assert socket.status == 200


@pytest.mark.skipif(not IS_OURS, reason="etcd 3.5.1 takes the word Bearer for a part of the token")
def test_a_user_says_who_they_are_by_a_subprotocol(tmp_path: Path) -> None:
    with start_tested(tmp_path, flags=("--bcrypt-cost=4",)) as server, Client(server.target) as client:
        for name, role in (("root", "root"), ("reader", "r")):
            ask(client, "UserAdd", name=name, password="p")
            if role != "root":
                ask(client, "RoleAdd", name=role)
                ask(client, "RoleGrantPermission", name=role, perm=authpb.Permission(key=b"a"))
            ask(client, "UserGrantRole", user=name, role=role)
        ask(client, "AuthEnable")
        token = ask(client, "Authenticate", name="reader", password="p").token
        root = ask(client, "Authenticate", name="root", password="p").token
        with WebSocketClient(server.target, "/v3/watch", subprotocols=("Bearer", token)) as socket:
            socket.ask({"create_request": {"key": encoded(b"a")}})
            assert socket.next_json()["result"]["created"] is True
            socket.ask({"create_request": {"key": encoded(b"b")}})
            assert "permission denied" in socket.next_json()["result"]["cancel_reason"]
            ask(client, "Put", root, key=b"a", value=b"1")
            assert socket.next_json()["result"]["events"][0]["kv"]["value"] == encoded(b"1")
        with WebSocketClient(server.target, "/v3/watch") as socket:
            socket.ask({"create_request": {"key": encoded(b"a")}})
            assert "user name is empty" in socket.next_json()["result"]["cancel_reason"]


def test_a_server_that_stops_ends_its_sockets(tmp_path: Path) -> None:
    with start_tested(tmp_path) as server:
        socket = WebSocketClient(server.target, "/v3/watch")
        socket.ask({"create_request": {"key": encoded(b"a")}})
        assert socket.next_json()["result"]["created"] is True
        server.stop()
        while socket.next_text() is not None:
            pass
        socket.close()
