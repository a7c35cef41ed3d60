"""Decides: how a request whose body was gathered, to be looked into, goes on to a route that takes bodies in pieces."""

from __future__ import annotations

from dualmode.http.interface import STREAMED, WHOLE_OR_STREAMED, RequestHead
from dualmode.http.routing import Link, Route, Sink


def pass_on(route: Route, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
    """Serves it there, or as it is where the route gathers bodies too; the bytes are credited already."""
    if route.body_limit != STREAMED and (body or route.body_limit != WHOLE_OR_STREAMED):
        return route.serve(link, stream_id, head, body)
    sink = route.serve(link, stream_id, head, b"")
    assert sink is not None, "a route of streamed bodies gives a sink"
    sink.on_data(body, 0)
    sink.on_end(())
    return sink
