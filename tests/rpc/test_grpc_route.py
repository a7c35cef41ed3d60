"""Requests that are no call of a known method."""

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.http.interface import RequestHead
from dualmode.rpc.calls import Kind, Method
from dualmode.rpc.grpc_route import UnknownMethodRoute, grpc_routes
from dualmode.rpc.grpc_stream import GrpcStreamRoute
from dualmode.rpc.grpc_unary import GrpcUnaryRoute
from dualmode.rpc.table import MethodTable
from tests.rpc.fake_link import FakeLink, grpc_head


def nothing(*_: object) -> None:
    pass


TABLE = MethodTable(
    [
        Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, nothing),
        Method("etcdserverpb.Watch", "Watch", Kind.BIDI, pb.WatchRequest, pb.WatchResponse, nothing),  # type: ignore[arg-type]
    ]
)


def test_each_method_has_a_route_of_its_kind() -> None:
    routes = grpc_routes(TABLE)
    assert {path: type(route) for path, route in routes.items()} == {
        b"/etcdserverpb.KV/Put": GrpcUnaryRoute,
        b"/etcdserverpb.Watch/Watch": GrpcStreamRoute,
    }


def test_a_method_is_in_a_table_once() -> None:
    method = Method("a.B", "C", Kind.UNARY, None, None, nothing)
    with pytest.raises(AssertionError, match="twice"):
        MethodTable([method, method])


@pytest.mark.parametrize(
    ("head", "http_status", "status"),
    [
        (grpc_head(b"/etcdserverpb.KV/Get"), b"200", (12, "unknown method Get for service etcdserverpb.KV")),
        (grpc_head(b"/v4.KV/Put"), b"200", (12, "unknown service v4.KV")),
        (grpc_head(b"/a/b/c"), b"200", (12, "unknown service a/b")),
        (grpc_head(b"/nothing"), b"200", (12, 'malformed method name: "/nothing"')),
        (grpc_head(b"/\xff/x"), b"200", (12, "unknown service %EF%BF%BD")),
        (
            grpc_head(b"/v4.KV/Put", method=b"GET"),
            b"405",
            (13, 'Received a HEADERS frame with :method "GET" which should be POST'),
        ),
        (
            RequestHead(b"POST", b"http", b"", b"/a/b", ((b"content-type", b"application/grpc-web"),)),
            b"415",
            (3, 'invalid gRPC request content-type "application/grpc-web"'),
        ),
        (
            RequestHead(b"POST", b"http", b"", b"/a/b", ()),
            b"415",
            (3, 'invalid gRPC request content-type ""'),
        ),
    ],
)
def test_what_no_method_takes(head: RequestHead, http_status: bytes, status: tuple[int, str]) -> None:
    link = FakeLink()
    assert UnknownMethodRoute(TABLE).serve(link, 1, head, b"") is None
    assert link.answer().field(b":status") == http_status
    assert link.answer().grpc_status == status
