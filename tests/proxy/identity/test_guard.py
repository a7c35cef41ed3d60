"""Calls of clients with certificates: whose token goes with them, and what becomes of a token that is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dualmode import limits
from dualmode.edge.mux import FixedRoute
from dualmode.errors import Code, RpcError
from dualmode.http.interface import STREAMED, Fields, Pairs, RequestHead
from dualmode.http.routing import Link, PeerIdentity, Route, Sink
from dualmode.proxy.identity.guard import IdentityGuard
from dualmode.proxy.identity.logins import Login
from dualmode.rpc.status import HEAD, OK_TRAILERS, error_only
from tests.rpc.fake_link import FakeLink

GRPC = ((b"content-type", b"application/grpc"),)
INVALID = RpcError(Code.UNAUTHENTICATED, "etcdserver: invalid auth token")
OLD = RpcError(Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")


class FakeLogins:
    """Knows alice. Logins are answered by `settle`, or at once when a token is there."""

    def __init__(self) -> None:
        self.token = ""
        self.known = {"alice"}
        self.waiting: list[Callable[[Login], None]] = []

    def knows(self, user: str) -> bool:
        return user in self.known

    def ask(self, user: str, call: Callable[[Login], None]) -> None:
        assert user in self.known
        if self.token:
            call(Login(self.token))
        else:
            self.waiting.append(call)

    def forget(self, user: str, token: str) -> None:
        if token == self.token:
            self.token = ""

    def settle(self, login: Login) -> None:
        self.token = login.token
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call(login)


class Behind:
    """The route behind: notes what it gets; the test answers."""

    def __init__(self, body_limit: int = STREAMED) -> None:
        self.body_limit = body_limit
        self.heads: list[RequestHead] = []
        self.bodies: list[bytes] = []
        self.calls: list[tuple[Link, int]] = []
        self.ends = self.resets = self.drained = self.flow_bytes = 0

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        self.heads.append(head)
        self.bodies.append(body)
        self.calls.append((link, stream_id))
        return self

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        raise AssertionError

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        self.bodies[-1] += data
        self.flow_bytes += flow_bytes

    def on_end(self, trailers: Pairs) -> None:
        self.ends += 1

    def on_reset(self, error_code: int) -> None:
        self.resets += 1

    def on_drained(self) -> None:
        self.drained += 1

    @property
    def tokens(self) -> list[bytes | None]:
        return [head.get(b"token") for head in self.heads]

    def answer(self, error: RpcError | None = None) -> None:
        link, stream_id = self.calls[-1]
        if error is None:
            link.respond(stream_id, HEAD, b"fine", OK_TRAILERS)
        else:
            link.respond(stream_id, error_only(error), b"")


def head_of(*fields: tuple[bytes, bytes], path: bytes = b"/etcdserverpb.KV/Put") -> RequestHead:
    return RequestHead(b"POST", b"https", b"here", path, (*GRPC, *fields))


class Case:
    """A call of a client whose certificate names a user."""

    def __init__(self, behind: Behind | None = None, head: RequestHead | None = None, body: bytes = b"") -> None:
        self.logins = FakeLogins()
        self.behind = behind or Behind()
        self.link = FakeLink()
        head = head or head_of()
        guard = IdentityGuard(self.logins, lets_unknown_pass=False)  # type: ignore[arg-type]
        self.route = guard(head, peer("alice"), self.behind)
        sink = self.route.serve(self.link, 1, head, body)
        assert sink is not None
        self.client = sink


def peer(name: str | None) -> PeerIdentity:
    return PeerIdentity("192.0.2.1:5", True, name)


def test_a_call_waits_for_its_token_and_takes_it_along() -> None:
    case = Case()
    case.client.on_data(b"que", 3)
    case.client.on_data(b"ry", 2)
    case.client.on_end(())
    assert (case.behind.heads, case.link.acknowledged_bytes) == ([], 0)
    case.logins.settle(Login("t1"))
    assert (case.behind.tokens, case.behind.bodies, case.behind.ends) == ([b"t1"], [b"query"], 1)
    assert case.behind.flow_bytes == 5
    case.behind.answer()
    assert case.link.answer().body == b"fine"


def test_what_comes_later_goes_straight_on() -> None:
    case = Case()
    case.logins.settle(Login("t1"))
    case.client.on_data(b"a", 1)
    case.behind.answer()
    case.client.on_data(b"b", 1)
    case.client.on_end(())
    case.client.on_drained()
    case.client.on_reset(8)
    assert case.behind.bodies == [b"ab"]
    assert (case.behind.ends, case.behind.drained, case.behind.resets) == (1, 1, 1)


def test_a_gathered_request_goes_as_it_is() -> None:
    case = Case(Behind(body_limit=100), body=b"whole")
    assert case.route.body_limit == 100
    case.logins.settle(Login("t1"))
    assert (case.behind.tokens, case.behind.bodies, case.behind.ends) == ([b"t1"], [b"whole"], 0)


def test_json_carries_it_as_authorization() -> None:
    head = RequestHead(b"POST", b"https", b"here", b"/v3/kv/put", ())
    case = Case(head=head)
    case.logins.settle(Login("t1"))
    assert case.behind.heads[0].fields == ((b"authorization", b"t1"),)


@pytest.mark.parametrize("error", [INVALID, OLD])
def test_a_refused_token_is_replaced_once(error: RpcError) -> None:
    case = Case()
    case.client.on_data(b"query", 5)
    case.client.on_end(())
    case.logins.settle(Login("t1"))
    case.behind.answer(error)
    assert case.link.answer().head is None
    case.logins.settle(Login("t2"))
    assert (case.behind.tokens, case.behind.bodies, case.behind.ends) == ([b"t1", b"t2"], [b"query"] * 2, 2)
    case.behind.answer(error)
    assert (case.link.answer().grpc_status, len(case.behind.heads)) == ((error.code, error.message), 2)
    assert case.logins.token == ""


def test_another_error_is_not_repeated() -> None:
    case = Case()
    case.logins.settle(Login("t1"))
    denied = RpcError(Code.PERMISSION_DENIED, "etcdserver: permission denied")
    case.behind.answer(denied)
    assert (case.link.answer().grpc_status, case.logins.token) == ((denied.code, denied.message), "t1")


def test_what_is_too_long_to_keep_is_not_repeated() -> None:
    case = Case()
    case.logins.settle(Login("t1"))
    case.client.on_data(b"x" * (limits.PROXY_RETAINED_BYTES + 1), 1)
    case.behind.answer(INVALID)
    assert (case.link.answer().grpc_status[0], len(case.behind.heads)) == (Code.UNAUTHENTICATED, 1)


def test_a_failed_login_is_the_answer() -> None:
    error = RpcError(Code.PERMISSION_DENIED, "dualmode: cannot log in")
    case = Case()
    case.logins.settle(Login(error=error))
    assert (case.link.answer().grpc_status, case.behind.heads) == ((error.code, error.message), [])


def test_where_members_ask_nobody_it_goes_without() -> None:
    case = Case()
    case.logins.settle(Login())
    assert case.behind.tokens == [None]


def test_a_client_that_gives_up_while_it_waits_is_forgotten() -> None:
    case = Case()
    case.client.on_reset(8)
    case.logins.settle(Login("t1"))
    assert case.behind.heads == []


@pytest.mark.parametrize(
    ("name", "head"),
    [
        (None, head_of()),
        ("", head_of()),
        ("alice", head_of((b"token", b"own"))),
        ("bob", head_of((b"authorization", b"own"))),
        ("bob", RequestHead(b"GET", b"https", b"here", b"/health", ())),
        ("bob", RequestHead(b"GET", b"https", b"here", b"/proxy/metrics", ())),
    ],
)
def test_who_is_left_alone(name: str | None, head: RequestHead) -> None:
    route: Route = FixedRoute(200, b"")
    guard = IdentityGuard(FakeLogins(), lets_unknown_pass=False)  # type: ignore[arg-type]
    assert guard(head, peer(name), route) is route


@pytest.mark.parametrize("path", [b"/etcdserverpb.KV/Range", b"/v3/kv/range", b"/v3beta/kv/range"])
def test_a_name_without_credentials(path: bytes) -> None:
    fields: Pairs = GRPC if b"KV" in path else ()
    head = RequestHead(b"POST", b"https", b"here", path, fields)
    behind = Behind()
    link = FakeLink()
    refusing = IdentityGuard(FakeLogins(), lets_unknown_pass=False)(head, peer("bob"), behind)  # type: ignore[arg-type]
    refusing.serve(link, 1, head, b"")
    told = link.answer()
    assert "the certificate names 'bob'" in (told.grpc_status[1] if fields else told.body.decode())
    assert behind.heads == []
    passing = IdentityGuard(FakeLogins(), lets_unknown_pass=True)  # type: ignore[arg-type]
    assert passing(head, peer("bob"), behind) is behind


def test_a_name_that_the_file_knows_later_is_welcome_on_the_same_connection() -> None:
    logins, behind = FakeLogins(), Behind()
    route = IdentityGuard(logins, lets_unknown_pass=False)(head_of(), peer("bob"), behind)  # type: ignore[arg-type]
    link = FakeLink()
    assert route.serve(link, 1, head_of(), b"") is None
    assert link.answer().grpc_status[0] == Code.PERMISSION_DENIED
    logins.known.add("bob")
    assert route.serve(link, 3, head_of(), b"") is not None
    logins.settle(Login("t1"))
    assert behind.tokens == [b"t1"]


def test_a_refused_token_of_a_page_is_forgotten() -> None:
    case = Case(head=RequestHead(b"POST", b"https", b"here", b"/v3/kv/put", ()))
    case.logins.settle(Login("t1"))
    link, stream_id = case.behind.calls[0]
    link.start_response(stream_id, Fields((b":status", b"401")))
    assert case.logins.token == ""
