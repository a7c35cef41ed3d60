"""What a read-only proxy lets through."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.http.interface import RequestHead
from dualmode.http.routing import PeerIdentity
from dualmode.proxy.read_only import ReadOnlyGuard, RefusingRoute, is_harmless_post, is_read_only_txn
from dualmode.rpc.framing import frame
from tests.rpc.fake_link import FakeLink

PEER = PeerIdentity("client", is_tls=False)


class Forward:
    """The route behind the guard; keeps what it is given."""

    body_limit = -1

    def __init__(self) -> None:
        self.data = b""
        self.is_ended = False

    def serve(self, link: Any, stream_id: int, head: RequestHead, body: bytes) -> Forward:
        return self

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        self.data += data

    def on_end(self, trailers: Any) -> None:
        self.is_ended = True

    def on_reset(self, error_code: int) -> None: ...
    def on_drained(self) -> None: ...
    def refuse_body(self, link: Any, stream_id: int, head: RequestHead, start: bytes) -> None: ...


def grpc(path: str) -> RequestHead:
    return RequestHead(b"POST", b"http", b"here", path.encode(), ((b"content-type", b"application/grpc+proto"),))


def http(method: str, path: str) -> RequestHead:
    return RequestHead(method.encode(), b"http", b"here", path.encode(), ())


def passes(head: RequestHead) -> bool:
    forward = Forward()
    return ReadOnlyGuard(forward)(head, PEER, forward) is forward


@pytest.mark.parametrize(
    "path",
    [
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.KV/RangeStream",
        "/etcdserverpb.Watch/Watch",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        "/etcdserverpb.Maintenance/Snapshot",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_calls_that_only_read_pass(path: str) -> None:
    assert passes(grpc(path))


@pytest.mark.parametrize("service", ["KV", "Lease", "Auth", "Cluster", "Maintenance"])
def test_every_call_that_changes_something_is_refused(service: str) -> None:
    """Everything that etcd has, but what is known to be harmless."""
    changing = {
        "KV": ["Put", "DeleteRange", "Compact"],
        "Lease": ["LeaseGrant", "LeaseRevoke", "LeaseKeepAlive"],
        "Auth": ["AuthEnable", "AuthDisable", "Authenticate", "UserAdd", "UserDelete", "RoleGrantPermission"],
        "Cluster": ["MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"],
        "Maintenance": ["Alarm", "Defragment", "MoveLeader", "Downgrade"],
    }
    for method in changing[service]:
        assert not passes(grpc(f"/etcdserverpb.{service}/{method}")), method
    assert not passes(grpc(f"/etcdserverpb.{service}/SomethingNew"))
    assert not passes(grpc("/v3lockpb.Lock/Lock"))
    assert not passes(grpc("/v3electionpb.Election/Campaign"))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/health", True),
        ("HEAD", "/metrics", True),
        ("POST", "/v3/kv/range", True),
        ("POST", "/v3beta/kv/range?x=1", True),
        ("POST", "/v3/watch", True),
        ("POST", "/v3/kv/put", False),
        ("POST", "/v3/kv/txn", False),
        ("POST", "/v3/kv/deleterange", False),
        ("POST", "/v3/lease/grant", False),
        ("POST", "/v3/auth/authenticate", False),
        ("POST", "/v3/cluster/member/add", False),
        ("PUT", "/v2/keys/a", False),
        ("DELETE", "/v2/keys/a", False),
        ("POST", "/anything", False),
    ],
)
def test_plain_requests(method: str, path: str, expected: bool) -> None:
    assert passes(http(method, path)) is expected


def test_a_get_on_a_changing_path_is_the_member_s_to_refuse() -> None:
    assert passes(http("GET", "/v3/kv/put"))
    assert not is_harmless_post(b"/v3x/kv/range")


PUT = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
RANGE = pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))
DELETE = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a"))


def nested(*operations: Any) -> Any:
    return pb.RequestOp(request_txn=pb.TxnRequest(success=operations))


@pytest.mark.parametrize(
    ("txn", "expected"),
    [
        (pb.TxnRequest(), True),
        (pb.TxnRequest(success=[RANGE], failure=[RANGE, nested(RANGE)]), True),
        (pb.TxnRequest(success=[PUT]), False),
        (pb.TxnRequest(failure=[DELETE]), False),
        (pb.TxnRequest(success=[RANGE, nested(nested(PUT))]), False),
        (pb.TxnRequest(success=[pb.RequestOp()]), False),
    ],
)
def test_transactions(txn: Any, expected: bool) -> None:
    body = frame(txn.SerializeToString())
    assert is_read_only_txn(body) is expected
    forward, link = Forward(), FakeLink()
    route = ReadOnlyGuard(forward)(grpc("/etcdserverpb.KV/Txn"), PEER, forward)
    route.serve(link, 1, grpc("/etcdserverpb.KV/Txn"), body)
    assert (forward.data, forward.is_ended) == ((body, True) if expected else (b"", False))


class Whole(Forward):
    """A route that takes requests as a whole, as that of a namespace does."""

    body_limit = 1 << 20

    def serve(self, link: Any, stream_id: int, head: RequestHead, body: bytes) -> Forward:
        self.data, self.is_ended = body, True
        return self

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        raise AssertionError("it has taken all")


@pytest.mark.parametrize(("operation", "is_read"), [(RANGE, True), (PUT, False)])
def test_transactions_to_a_route_that_takes_them_whole(operation: Any, is_read: bool) -> None:
    body = frame(pb.TxnRequest(success=[operation]).SerializeToString())
    forward = Whole()
    head = grpc("/etcdserverpb.KV/Txn")
    ReadOnlyGuard(forward)(head, PEER, forward).serve(FakeLink(), 1, head, body)
    assert (forward.data, forward.is_ended) == ((body, True) if is_read else (b"", False))


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0", frame(b"") + b"x", b"\1" + frame(b"")[1:], frame(b"\xff")])
def test_a_transaction_that_cannot_be_looked_into_is_refused(body: bytes) -> None:
    assert not is_read_only_txn(body)


def test_the_refusals() -> None:
    link = FakeLink()
    RefusingRoute(is_grpc=True).serve(link, 1, grpc("/etcdserverpb.KV/Put"), b"")
    RefusingRoute(is_grpc=False).serve(link, 3, http("POST", "/v3/kv/put"), b"")
    assert link is not None


def upgrade(path: str) -> RequestHead:
    return RequestHead(
        b"GET", b"http", b"here", path.encode(), ((b"connection", b"upgrade"), (b"upgrade", b"websocket"))
    )


def test_a_websocket_is_judged_as_the_post_that_it_becomes() -> None:
    assert passes(upgrade("/v3/watch"))
    assert not passes(upgrade("/v3/kv/put?method=GET"))
    assert not passes(upgrade("/v3/lease/keepalive"))
