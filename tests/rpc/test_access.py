"""The host whitelist, CORS, and the guard that applies them."""

from __future__ import annotations

import pytest

from dualmode.edge.mux import FixedRoute
from dualmode.http.interface import Fields, RequestHead
from dualmode.http.routing import Link, PeerIdentity, Sink
from dualmode.rpc.access import AccessRules, host_of
from dualmode.rpc.access_guard import AccessGuard, CorsRoute
from tests.rpc.fake_link import FakeLink, grpc_head

PLAIN = PeerIdentity("192.0.2.1:1", is_tls=False)
TLS = PeerIdentity("192.0.2.1:1", is_tls=True)
NAMED = PeerIdentity("192.0.2.1:1", is_tls=True, common_name="alice")


def head(
    authority: bytes = b"good:2379", path: bytes = b"/v3/kv/put", method: bytes = b"POST", origin: bytes | None = None
) -> RequestHead:
    fields = () if origin is None else ((b"origin", origin),)
    return RequestHead(method, b"http", authority, path, fields)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"good", "good"),
        (b"good:2379", "good"),
        (b"127.0.0.1:2379", "127.0.0.1"),
        (b"[::1]:2379", "::1"),
        (b"[::1]", "[::1]"),
        (b"::1", "::1"),
        (b"good:x", "good:x"),
        (b"", ""),
    ],
)
def test_the_host_of_an_authority(authority: bytes, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    ("hosts", "authority", "peer", "status"),
    [
        ([], b"bad", PLAIN, None),
        (["*"], b"bad", PLAIN, None),
        (["good", "also"], b"also:1", PLAIN, None),
        (["good"], b"bad", PLAIN, 421),
        (["good"], b"good.bad", PLAIN, 421),
        (["good"], b"", PLAIN, 421),
        (["good"], b"bad", TLS, None),
    ],
)
def test_the_whitelist(hosts: list[str], authority: bytes, peer: PeerIdentity, status: int | None) -> None:
    refusal = AccessRules(hosts, []).refusal(head(authority), peer)
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize(
    ("peer", "path", "is_on", "status"),
    [
        (NAMED, b"/v3/kv/put", True, 400),
        (NAMED, b"/v3/kv/put", False, None),
        (NAMED, b"/version", True, None),
        (TLS, b"/v3/kv/put", True, None),
    ],
)
def test_a_common_name_at_the_gateway(peer: PeerIdentity, path: bytes, is_on: bool, status: int | None) -> None:
    refusal = AccessRules([], [], lambda: is_on).refusal(head(path=path), peer)
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ([], None, b"*"),
        (["*"], b"http://a", b"*"),
        (["http://a"], b"http://a", b"http://a"),
        (["http://a"], b"http://b", None),
        (["http://a"], None, None),
    ],
)
def test_cors(origins: list[str], origin: bytes | None, allowed: bytes | None) -> None:
    assert dict(AccessRules([], origins).cors_fields(origin)).get(b"access-control-allow-origin") == allowed


class Everything:
    """A route that uses all of its link."""

    body_limit = 7

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        assert link.peer is PLAIN
        link.acknowledge(stream_id, 3)
        assert link.unsent_bytes(stream_id) == 9
        link.start_response(stream_id, Fields((b":status", b"200")))
        link.send_data(stream_id, b"body")
        link.end_stream(stream_id)
        link.reset_stream(stream_id, 8)
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        assert start == b"some"
        link.respond(stream_id, Fields((b":status", b"413")), b"")


def test_cors_headers_come_with_every_answer() -> None:
    link = FakeLink(peer=PLAIN)
    link.unsent = 9
    route = AccessGuard(AccessRules([], []))(head(), PLAIN, Everything())
    assert route.body_limit == 7
    route.serve(link, 1, head(), b"")
    route.refuse_body(link, 3, head(), b"some")
    assert (link.answer(1).body, link.answer(1).reset_code, link.acknowledged_bytes) == (b"body", 8, 3)
    for stream_id, status in ((1, b"200"), (3, b"413")):
        answer = link.answer(stream_id)
        assert answer.field(b":status") == status
        assert answer.field(b"access-control-allow-methods") == b"POST, GET, OPTIONS, PUT, DELETE"
        assert answer.field(b"access-control-allow-headers") == b"accept, content-type, authorization"


async def test_tasks_pass_through() -> None:
    import trio

    ran: list[int] = []

    async def task(number: int) -> None:
        ran.append(number)

    class Spawning(Everything):
        def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
            link.spawn(task, 5)

    async with trio.open_nursery() as nursery:
        CorsRoute(Spawning(), ()).serve(FakeLink(nursery), 1, head(), b"")
    assert ran == [5]


def test_what_the_guard_lets_through_as_it_is() -> None:
    guard = AccessGuard(AccessRules(["good"], ["http://a"]))
    route = Everything()
    assert guard(grpc_head(b"/a/b"), PLAIN, route) is route
    assert guard(head(), PLAIN, route) is route, "no CORS headers for this origin"


def served(route: object, request: RequestHead) -> FakeLink:
    assert isinstance(route, FixedRoute)
    link = FakeLink()
    route.serve(link, 1, request, b"")
    return link


def test_a_refusal_and_a_preflight() -> None:
    guard = AccessGuard(AccessRules(["good"], []))
    refused = head(authority=b"evil")
    answer = served(guard(refused, PLAIN, Everything()), refused).answer()
    assert answer.field(b":status") == b"421"
    assert b"--host-whitelist" in answer.body
    preflight = head(method=b"OPTIONS", origin=b"http://a")
    answer = served(guard(preflight, PLAIN, Everything()), preflight).answer()
    assert (answer.field(b":status"), answer.body) == (b"200", b"")
    assert answer.field(b"access-control-allow-origin") == b"*"
