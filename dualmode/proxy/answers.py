"""Decides: how the proxy itself refuses a call or a request, in the form that its caller reads."""

from __future__ import annotations

from dualmode.edge.mux import is_grpc
from dualmode.errors import RpcError
from dualmode.http.interface import RequestHead
from dualmode.http.routing import Link
from dualmode.rpc import gateway_answers
from dualmode.rpc.status import error_only


def refuse(link: Link, stream_id: int, head: RequestHead, error: RpcError) -> None:
    """As a status of gRPC, or as the gateway writes its errors."""
    if is_grpc(head):
        link.respond(stream_id, error_only(error), b"")
    else:
        gateway_answers.refuse(link, stream_id, error)
