"""Decides: which route a request goes to. Both modes build their mux here.

One port answers gRPC, JSON, metrics and health, over HTTP/1.1 and HTTP/2 alike. What a request is follows from its
content type and its path, never from the protocol that carried it:

1. `content-type: application/grpc...` is a gRPC call, found by its whole path;
2. anything else is found by its path: an exact one first, then the longest prefix;
3. what is not found gets the fallback of its kind: UNIMPLEMENTED for gRPC, 404 for the rest.

A guard (CORS, host whitelist, `rpc/access.py`) may put something in front of what was found.
"""

from __future__ import annotations

from collections.abc import Callable

from dualmode.http.interface import Fields, RequestHead
from dualmode.http.routing import Link, Mux, PeerIdentity, Route

#: Sees what was found for a request and gives what shall serve it: the same route, one around it, or a refusal.
Guard = Callable[[RequestHead, PeerIdentity, Route], Route]

_GRPC = b"application/grpc"


class FixedRoute:
    """Answers every request with the same bytes."""

    body_limit = 0

    def __init__(self, status: int, body: bytes, *fields: tuple[bytes, bytes]) -> None:
        self._body = body
        self._fields = Fields((b":status", str(status).encode()), *fields, (b"content-length", str(len(body)).encode()))

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        """Answers; HEAD gets no body."""
        link.respond(stream_id, self._fields, b"" if head.method == b"HEAD" else self._body)

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Whatever came with it, the answer stays."""
        self.serve(link, stream_id, head, b"")


def text_route(status: int, text: str) -> FixedRoute:
    """A plain text answer, as Go's http.Error gives it."""
    return FixedRoute(
        status,
        text.encode(),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
    )


#: What Go's mux says, and so etcd.
NOT_FOUND = text_route(404, "404 page not found\n")


class MuxBuilder:
    """Collects routes; `build` gives the mux. Registering the same path twice is a mistake of ours."""

    def __init__(self) -> None:
        self._grpc: dict[bytes, Route] = {}
        self._exact: dict[bytes, Route] = {}
        self._prefixes: dict[bytes, Route] = {}
        self._grpc_fallback: Route = NOT_FOUND
        self._fallback: Route = NOT_FOUND
        self._guard: Guard | None = None

    def grpc(self, path: bytes, route: Route) -> MuxBuilder:
        """A gRPC method by its full path, `/package.Service/Method`."""
        _add(self._grpc, path, route)
        return self

    def grpc_fallback(self, route: Route) -> MuxBuilder:
        """gRPC calls of unknown methods (a proxy forwards them all)."""
        self._grpc_fallback = route
        return self

    def path(self, path: bytes, route: Route) -> MuxBuilder:
        """Everything but gRPC at exactly this path (without query)."""
        _add(self._exact, path, route)
        return self

    def prefix(self, prefix: bytes, route: Route) -> MuxBuilder:
        """Everything but gRPC whose path starts so; longer prefixes win."""
        _add(self._prefixes, prefix, route)
        return self

    def fallback(self, route: Route) -> MuxBuilder:
        """Everything else."""
        self._fallback = route
        return self

    def guard(self, guard: Guard) -> MuxBuilder:
        """Stands in front of all routes, and of the guards that were there before."""
        inner = self._guard
        if inner is None:
            self._guard = guard
        else:
            self._guard = lambda head, peer, route: guard(head, peer, inner(head, peer, route))
        return self

    def build(self) -> Mux:
        """The mux; later changes of the builder do not reach it."""
        prefixes = sorted(self._prefixes.items(), key=lambda item: -len(item[0]))
        return _BuiltMux(
            dict(self._grpc), dict(self._exact), prefixes, self._grpc_fallback, self._fallback, self._guard
        )


class _BuiltMux:
    """The mux of MuxBuilder."""

    def __init__(
        self,
        grpc: dict[bytes, Route],
        exact: dict[bytes, Route],
        prefixes: list[tuple[bytes, Route]],
        grpc_fallback: Route,
        fallback: Route,
        guard: Guard | None,
    ) -> None:
        self._grpc = grpc
        self._exact = exact
        self._prefixes = prefixes
        self._grpc_fallback = grpc_fallback
        self._fallback = fallback
        self._guard = guard

    def resolve(self, head: RequestHead, peer: PeerIdentity) -> Route:
        """Asked once per head; the connection keeps the answer on `head.route`."""
        route = self._find(head)
        return route if self._guard is None else self._guard(head, peer, route)

    def _find(self, head: RequestHead) -> Route:
        if is_grpc(head):
            return self._grpc.get(head.path, self._grpc_fallback)
        path = head.path.partition(b"?")[0]
        found = self._exact.get(path)
        if found is not None:
            return found
        for prefix, route in self._prefixes:
            if path.startswith(prefix):
                return route
        return self._fallback


def is_grpc(head: RequestHead) -> bool:
    """application/grpc, application/grpc+proto, application/grpc;... but not application/grpc-web."""
    content_type = head.get(b"content-type")
    if content_type is None or not content_type.lower().startswith(_GRPC):
        return False
    return content_type[len(_GRPC) : len(_GRPC) + 1] in (b"", b"+", b";")


def _add(table: dict[bytes, Route], path: bytes, route: Route) -> None:
    assert path.startswith(b"/"), path
    assert path not in table, f"{path!r} has a route already"
    table[path] = route
