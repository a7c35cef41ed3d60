"""Decides: the JSON gateway: POSTs of JSON as calls of the same methods that gRPC has, without a gRPC hop.

Unary: one JSON object in, one out. Streams: the request body is a sequence of objects, the answer one line per message.
"""

from __future__ import annotations

from dualmode.http.interface import RequestHead
from dualmode.http.routing import Link, Route
from dualmode.rpc.calls import Kind
from dualmode.rpc.gateway_answers import NOT_FOUND, refuse
from dualmode.rpc.gateway_stream import JsonStreamRoute
from dualmode.rpc.gateway_unary import JsonUnaryRoute
from dualmode.rpc.json_paths import with_aliases
from dualmode.rpc.table import MethodTable
from dualmode.rpc.websocket import WebSocketRoute


def json_routes(table: MethodTable) -> dict[bytes, Route]:
    """What a mux takes: the exact paths (all three prefixes) and their routes."""
    routes: dict[bytes, Route] = {}
    for entry in table.entries.values():
        route: Route = JsonUnaryRoute(entry) if entry.method.kind is Kind.UNARY else JsonStreamRoute(entry)
        for path in entry.json_paths:
            for alias in with_aliases(path):
                routes[alias.encode()] = route
    return routes


def upgraded(route: Route) -> Route | None:
    """An `access_guard.Upgrade`: the gateway's routes, and only those, can be spoken to through a WebSocket."""
    is_ours = isinstance(route, JsonUnaryRoute | JsonStreamRoute | JsonNotFoundRoute)
    return WebSocketRoute(route) if is_ours else None


class JsonNotFoundRoute:
    """Under the gateway's prefixes, where nothing is: 404 in JSON."""

    body_limit = 0

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        """See routing.Route."""
        refuse(link, stream_id, NOT_FOUND)

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Whatever came with it, there is nothing here."""
        refuse(link, stream_id, NOT_FOUND)
