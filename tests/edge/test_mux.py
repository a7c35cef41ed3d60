"""Which route a request goes to."""

import pytest

from dualmode.edge.mux import NOT_FOUND, FixedRoute, MuxBuilder, is_grpc, text_route
from dualmode.http.interface import Fields, RequestHead
from dualmode.http.routing import PeerIdentity, Route
from tests.edge.toy import RecordingLink

PEER = PeerIdentity("127.0.0.1:1", is_tls=False)


def head(path: bytes, content_type: bytes | None = None, method: bytes = b"POST") -> RequestHead:
    fields = () if content_type is None else ((b"content-type", content_type),)
    return RequestHead(method, b"http", b"localhost", path, fields)


ROUTES = {name: text_route(200, name) for name in ("range", "other", "put", "v3", "v3lease", "version", "fallback")}


def builder() -> MuxBuilder:
    return (
        MuxBuilder()
        .grpc(b"/etcdserverpb.KV/Range", ROUTES["range"])
        .grpc_fallback(ROUTES["other"])
        .path(b"/v3/kv/put", ROUTES["put"])
        .path(b"/version", ROUTES["version"])
        .prefix(b"/v3/", ROUTES["v3"])
        .prefix(b"/v3/lease/", ROUTES["v3lease"])
        .fallback(ROUTES["fallback"])
    )


@pytest.mark.parametrize(
    ("request_head", "name"),
    [
        (head(b"/etcdserverpb.KV/Range", b"application/grpc"), "range"),
        (head(b"/etcdserverpb.KV/Range", b"application/grpc+proto"), "range"),
        (head(b"/etcdserverpb.KV/Range", b"APPLICATION/GRPC; charset=x"), "range"),
        (head(b"/etcdserverpb.KV/Range", b"application/grpc-web"), "fallback"),
        (head(b"/etcdserverpb.KV/Range", b"application/json"), "fallback"),
        (head(b"/etcdserverpb.KV/Range"), "fallback"),
        (head(b"/etcdserverpb.KV/Unknown", b"application/grpc"), "other"),
        (head(b"/v3/kv/put", b"application/grpc"), "other"),
        (head(b"/v3/kv/put", b"application/json"), "put"),
        (head(b"/v3/kv/put?pretty=1"), "put"),
        (head(b"/v3/kv/range"), "v3"),
        (head(b"/v3/lease/grant"), "v3lease"),
        (head(b"/v3"), "fallback"),
        (head(b"/version", method=b"GET"), "version"),
        (head(b"/version/"), "fallback"),
        (head(b"*"), "fallback"),
    ],
)
def test_routes_are_found_by_content_type_and_path(request_head: RequestHead, name: str) -> None:
    assert builder().build().resolve(request_head, PEER) is ROUTES[name]


def test_without_fallbacks_it_is_a_404() -> None:
    mux = MuxBuilder().build()
    assert mux.resolve(head(b"/"), PEER) is NOT_FOUND
    assert mux.resolve(head(b"/a/b", b"application/grpc"), PEER) is NOT_FOUND


def test_the_guard_sees_every_request_and_may_answer_itself() -> None:
    seen: list[tuple[RequestHead, PeerIdentity, Route]] = []
    refusal = text_route(421, "no")

    def guard(request_head: RequestHead, peer: PeerIdentity, route: Route) -> Route:
        seen.append((request_head, peer, route))
        return refusal if request_head.path == b"/version" else route

    mux = builder().guard(guard).build()
    refused, passed = head(b"/version"), head(b"/v3/x")
    assert mux.resolve(refused, PEER) is refusal
    assert mux.resolve(passed, PEER) is ROUTES["v3"]
    assert seen == [(refused, PEER, ROUTES["version"]), (passed, PEER, ROUTES["v3"])]


def test_a_built_mux_does_not_change() -> None:
    made = builder()
    mux = made.build()
    made.path(b"/late", ROUTES["put"])
    assert mux.resolve(head(b"/late"), PEER) is ROUTES["fallback"]


def test_a_path_has_one_route() -> None:
    with pytest.raises(AssertionError, match="has a route already"):
        builder().path(b"/version", ROUTES["put"])
    with pytest.raises(AssertionError):
        builder().prefix(b"v3", ROUTES["put"])


def test_fixed_answers() -> None:
    link = RecordingLink()
    NOT_FOUND.serve(link, 1, head(b"/", method=b"GET"), b"")
    NOT_FOUND.serve(link, 3, head(b"/", method=b"HEAD"), b"")
    FixedRoute(204, b"").refuse_body(link, 5, head(b"/"), b"")
    (_, fields, body), (_, head_fields, nothing), (_, empty, _) = link.responses
    assert isinstance(fields, Fields)
    assert body == b"404 page not found\n"
    assert dict(fields.pairs) == {
        b":status": b"404",
        b"content-type": b"text/plain; charset=utf-8",
        b"x-content-type-options": b"nosniff",
        b"content-length": b"19",
    }
    assert (head_fields, nothing) == (fields, b"")
    assert empty.pairs == ((b":status", b"204"), (b"content-length", b"0"))


def test_grpc_content_types() -> None:
    assert is_grpc(head(b"/", b"application/grpc"))
    assert not is_grpc(head(b"/", b"application/grpcx"))
    assert not is_grpc(head(b"/"))
