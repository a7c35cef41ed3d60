"""Decides: what a read-only proxy lets through: calls and requests that cannot change anything.

What is not known to be harmless is refused, so that a method of a later release is no way around. A Txn is looked into:
one that only reads passes. Watches pass; a lease, a lock, a login change something.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import DecodeError

from dualmode import errors, limits
from dualmode.api import etcdserverpb
from dualmode.errors import Code, RpcError
from dualmode.http.interface import STREAMED, Fields, RequestHead
from dualmode.http.routing import Link, PeerIdentity, Route, Sink
from dualmode.proxy.reads import READS
from dualmode.rpc.json_paths import ALIASES, PREFIX
from dualmode.rpc.status import error_only

REFUSAL: Final = RpcError(Code.PERMISSION_DENIED, "dualmode: this proxy is read-only")
#: Beside the reads that may be sent again: streams, and what is asked of a member itself.
_HARMLESS: Final = READS | {
    b"/etcdserverpb.Watch/Watch",
    b"/etcdserverpb.KV/RangeStream",
    b"/etcdserverpb.Maintenance/Snapshot",
    b"/grpc.health.v1.Health/Watch",
    b"/v3electionpb.Election/Leader",
    b"/v3electionpb.Election/Observe",
    b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}
_TXN: Final = b"/etcdserverpb.KV/Txn"
#: JSON paths (behind /v3 and its aliases) that are reads though they are posted.
_HARMLESS_PATHS: Final = frozenset(
    {
        b"/kv/range",
        b"/watch",
        b"/lease/timetolive",
        b"/kv/lease/timetolive",
        b"/lease/leases",
        b"/kv/lease/leases",
        b"/cluster/member/list",
        b"/maintenance/status",
        b"/maintenance/hash",
        b"/maintenance/hashkv",
        b"/maintenance/snapshot",
        b"/auth/status",
        b"/auth/user/get",
        b"/auth/user/list",
        b"/auth/role/get",
        b"/auth/role/list",
        b"/election/leader",
        b"/election/observe",
    }
)
_PREFIXES: Final = tuple(f"{prefix}/".encode() for prefix in (PREFIX, *ALIASES))


class ReadOnlyGuard:
    """An `edge.mux.Guard`: stands in front of every route."""

    def __init__(self, forward_txn: Route) -> None:
        self._txn = ReadOnlyTxnRoute(forward_txn)
        self._grpc = RefusingRoute(is_grpc=True)
        self._http = RefusingRoute(is_grpc=False)

    def __call__(self, head: RequestHead, peer: PeerIdentity, route: Route) -> Route:
        """The route that was found, or a refusal."""
        path = head.path.partition(b"?")[0]
        if (head.get(b"content-type") or b"").startswith(b"application/grpc"):
            if path == _TXN:
                return self._txn
            return route if path in _HARMLESS else self._grpc
        if head.method in (b"GET", b"HEAD", b"OPTIONS") or is_harmless_post(path):
            return route
        return self._http


def is_harmless_post(path: bytes) -> bool:
    """Whether a POST to this path only reads."""
    for prefix in _PREFIXES:
        if path.startswith(prefix):
            return path[len(prefix) - 1 :] in _HARMLESS_PATHS
    return False


class RefusingRoute:
    """Answers everything with the refusal; plain HTTP with 501, as etcd's read-only proxy did."""

    body_limit = 0

    def __init__(self, is_grpc: bool) -> None:
        self._is_grpc = is_grpc

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if self._is_grpc:
            link.respond(stream_id, error_only(REFUSAL), b"")
        else:
            link.respond(stream_id, Fields((b":status", b"501"), (b"content-length", b"0")), b"")
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Whatever comes with it."""
        self.serve(link, stream_id, head, b"")


class ReadOnlyTxnRoute:
    """Forwards a transaction when all of it only reads."""

    body_limit = limits.MAX_REQUEST_BYTES + limits.GRPC_OVERHEAD_BYTES

    def __init__(self, forward: Route) -> None:
        self._forward = forward

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if not is_read_only_txn(body):
            link.respond(stream_id, error_only(REFUSAL), b"")
            return None
        if self._forward.body_limit != STREAMED:
            return self._forward.serve(link, stream_id, head, body)
        sink = self._forward.serve(link, stream_id, head, b"")
        assert sink is not None, "a forwarded call takes its body in pieces"
        sink.on_data(body, 0)
        sink.on_end(())
        return sink

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        link.respond(stream_id, error_only(errors.REQUEST_TOO_LARGE), b"")


def is_read_only_txn(body: bytes) -> bool:
    """Whether the one message of a call is a TxnRequest that writes nothing. A compressed one cannot be looked into."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return False
    try:
        request = etcdserverpb.TxnRequest.FromString(body[5:])
    except DecodeError:
        return False
    return _only_reads(request)


def _only_reads(request: Any) -> bool:
    for operation in (*request.success, *request.failure):
        kind = operation.WhichOneof("request")
        if kind == "request_txn":
            if not _only_reads(operation.request_txn):
                return False
        elif kind != "request_range":
            return False
    return True
