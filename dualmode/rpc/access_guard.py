"""Decides: the access rules in front of routes: refusals, preflight requests, CORS headers on every answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dualmode import limits
from dualmode.edge.mux import FixedRoute, is_grpc, text_route
from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import Link, LinkAround, PeerIdentity, Route, Sink
from dualmode.rpc.access import AccessRules
from dualmode.rpc.websocket_handshake import wants_websocket


@lru_cache(maxsize=limits.REMEMBERED_STATUSES)
def _with_pairs(head: Fields, pairs: Pairs) -> Fields:
    """Heads are constant objects mostly, so what they become is kept as well."""
    return head.plus(*pairs)


#: Gives a route for upgrades to a WebSocket, if there can be one.
Upgrade = Callable[[Route], Route | None]


def no_upgrade(route: Route) -> Route | None:
    """There are no WebSockets."""
    return None


class AccessGuard:
    """An `edge.mux.Guard`."""

    def __init__(self, rules: AccessRules, upgrade: Upgrade = no_upgrade) -> None:
        self._rules = rules
        self._upgrade = upgrade

    def __call__(self, head: RequestHead, peer: PeerIdentity, route: Route) -> Route:
        """The route itself for gRPC; else one that refuses, or one that adds CORS headers."""
        if is_grpc(head):
            return route
        refusal = self._rules.refusal(head, peer)
        if refusal is not None:
            return text_route(refusal.status, refusal.text)
        pairs = self._rules.cors_fields(head.get(b"origin"))
        if head.method == b"OPTIONS":
            return FixedRoute(200, b"", *pairs)
        if wants_websocket(head) and (upgraded := self._upgrade(route)) is not None:
            # A browser lets every page open a WebSocket and read what comes: the origin is for us to look at.
            if head.get(b"origin") is not None and not pairs:
                return text_route(403, "The origin of this page is not on the list of --cors.\n")
            return upgraded
        return CorsRoute(route, pairs) if pairs else route


class CorsRoute:
    """Another route whose answers carry more headers."""

    def __init__(self, route: Route, pairs: Pairs) -> None:
        self._route = route
        self._pairs = pairs
        self.body_limit = route.body_limit

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        return self._route.serve(CorsLink(link, self._pairs), stream_id, head, body)

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        self._route.refuse_body(CorsLink(link, self._pairs), stream_id, head, start)


class CorsLink(LinkAround):
    """Another link, with more headers in the heads of answers."""

    __slots__ = ("_pairs",)

    def __init__(self, link: Link, pairs: Pairs) -> None:
        super().__init__(link)
        self._pairs = pairs

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._link.respond(stream_id, _with_pairs(head, self._pairs), body, trailers)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See routing.Link."""
        self._link.start_response(stream_id, _with_pairs(head, self._pairs))
