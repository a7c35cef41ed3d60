"""Does: the route of every gRPC call, known or unknown: forwarded without looking into it and without a task for any.

Most calls are here as a whole with their first read and go by `whole_call.py`; the others by `grpc_call.py`.
"""

from __future__ import annotations

from dualmode.http.interface import WHOLE_OR_STREAMED, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.proxy import headers
from dualmode.proxy.grpc_call import Call
from dualmode.proxy.upstreams import Upstreams
from dualmode.proxy.whole_call import forward_whole


class GrpcForwardRoute:
    """The route of every gRPC call."""

    body_limit = WHOLE_OR_STREAMED

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if head.notes is None:
            head.notes = headers.grpc_request(head, self._upstreams.scheme)
        if body:
            return forward_whole(self._upstreams, link, stream_id, head, body)
        call = Call(self._upstreams, link, stream_id, head)
        call.begin()
        return call.from_client

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Never called: bodies are streamed."""
