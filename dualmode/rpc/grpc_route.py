"""Decides: gRPC requests to routes: one per method of a table, and one for everything else."""

from __future__ import annotations

from dualmode.edge.mux import is_grpc
from dualmode.errors import Code, RpcError
from dualmode.http.interface import STREAMED, RequestHead
from dualmode.http.routing import Link, Route
from dualmode.rpc.calls import Kind
from dualmode.rpc.grpc_stream import GrpcStreamRoute
from dualmode.rpc.grpc_unary import GrpcUnaryRoute
from dualmode.rpc.metadata import not_a_post
from dualmode.rpc.status import error_only
from dualmode.rpc.table import MethodTable

_POST = b"POST"


def grpc_routes(table: MethodTable) -> dict[bytes, Route]:
    """What a mux takes: the `:path` of each method and its route."""
    return {
        path: GrpcUnaryRoute(entry) if entry.method.kind is Kind.UNARY else GrpcStreamRoute(entry)
        for path, entry in table.entries.items()
    }


class UnknownMethodRoute:
    """The route of gRPC requests that no method takes. Answers at the head, whatever body follows."""

    body_limit = STREAMED

    def __init__(self, table: MethodTable) -> None:
        self._table = table

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        """See routing.Route."""
        http_status = 200
        if head.method != _POST:
            error = not_a_post(head.method)
            http_status = 405
        elif not is_grpc(head):
            text = (head.get(b"content-type") or b"").decode("latin-1")
            error = RpcError(Code.INVALID_ARGUMENT, f'invalid gRPC request content-type "{text}"')
            http_status = 415
        else:
            error = self._table.unknown(head.path)
        link.respond(stream_id, error_only(error, http_status), b"")

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Never called: the body is streamed, and nobody reads it."""
