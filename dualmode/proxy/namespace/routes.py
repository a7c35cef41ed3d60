"""Does: what a namespaced proxy answers: gRPC and JSON by handlers of its own, some pages of the members, no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dualmode.edge.mux import NOT_FOUND, MuxBuilder
from dualmode.http.interface import RequestHead
from dualmode.http.routing import Link, Route, Sink
from dualmode.proxy.message_forward import MessageForward
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.rewriting import WITHOUT_KEYS
from dualmode.proxy.namespace.service import NamespaceService
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.calls import Method
from dualmode.rpc.gateway import JsonNotFoundRoute, json_routes
from dualmode.rpc.grpc_route import UnknownMethodRoute, grpc_routes
from dualmode.rpc.json_paths import ALIASES, PREFIX
from dualmode.rpc.table import MethodTable, Shared

_TXN: Final = b"/etcdserverpb.KV/Txn"
#: Pages of a member that hold no keys, and where there are more by name.
_PAGES: Final = (b"/health", b"/livez", b"/readyz", b"/version", b"/metrics", b"/debug/vars")
_FOLDERS: Final = (b"/livez/", b"/readyz/", b"/debug/pprof/")


class NamespaceRoutes:
    """The routes of one namespace."""

    def __init__(
        self,
        space: KeySpace,
        upstreams: Upstreams,
        own: Sequence[Method],
        receive_limit_bytes: int,
    ) -> None:
        """`own` are methods that the proxy answers, whatever they are to a member."""
        methods = {method.path: method for method in NamespaceService(space, MessageForward(upstreams)).methods()}
        methods |= {method.path: method for method in own}
        self._own = {method.path for method in own}
        self._table = MethodTable(methods.values(), Shared(receive_limit_bytes=receive_limit_bytes))
        self._grpc = grpc_routes(self._table)

    @property
    def txn(self) -> Route:
        """Where transactions go."""
        return self._grpc[_TXN]

    def add_to(self, builder: MuxBuilder, forward_grpc: Route, forward_http: Route, has_json: bool) -> None:
        """Registers all of them; `forward_grpc` and `forward_http` take what has no keys."""
        for path, route in self._grpc.items():
            is_free = path[1:].decode() in WITHOUT_KEYS and path not in self._own
            builder.grpc(path, forward_grpc if is_free else route)
        builder.grpc_fallback(UnknownMethodRoute(self._table))
        for page in _PAGES:
            builder.path(page, forward_http)
        for folder in _FOLDERS:
            builder.prefix(folder, PlainNamesRoute(folder, forward_http))
        if has_json:
            for path, route in json_routes(self._table).items():
                builder.path(path, route)
            for prefix in (PREFIX, *ALIASES):
                builder.prefix(f"{prefix}/".encode(), JsonNotFoundRoute())


class PlainNamesRoute:
    """Hands on what is asked for in a folder by a plain name. A path like /livez/../v2/keys is 404: somebody on the way
    might tidy it up."""

    def __init__(self, folder: bytes, route: Route) -> None:
        self._path = re.compile(re.escape(folder) + rb"[A-Za-z0-9_-]*")
        self._route = route
        self.body_limit = route.body_limit

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if self._path.fullmatch(head.path.partition(b"?")[0]):
            return self._route.serve(link, stream_id, head, body)
        NOT_FOUND.serve(link, stream_id, head, body)
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Never called where bodies are streamed."""
        self._route.refuse_body(link, stream_id, head, start)
