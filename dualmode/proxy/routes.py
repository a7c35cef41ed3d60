"""Decides: which route a client's request takes in a proxy, from the parts that its settings call for.

Everything is forwarded, gRPC by its content type and the rest as plain HTTP, but what a part answers: shared watches,
kept answers, MemberList of proxies that announce themselves, the proxy's own pages. In front of all stand the guards:
read-only, who the client is, CORS and hosts, in this order from the inside out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from dualmode import limits
from dualmode.config.settings import ProxySettings
from dualmode.edge.mux import MuxBuilder
from dualmode.http.routing import Mux, Route
from dualmode.proxy.cache.route import RANGE, CachedRangeRoute
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from dualmode.proxy.http_forward import HttpForwardRoute, HttpTransports
from dualmode.proxy.identity.guard import IdentityGuard
from dualmode.proxy.identity.logins import Logins
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.routes import NamespaceRoutes
from dualmode.proxy.own_pages import own_pages
from dualmode.proxy.read_only import ReadOnlyGuard
from dualmode.proxy.registration.service import RegistrationService
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.access import AccessRules
from dualmode.rpc.access_guard import AccessGuard
from dualmode.rpc.calls import Method
from dualmode.rpc.gateway import json_routes, upgraded
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.table import MethodTable
from dualmode.status.rpc_metrics import Bindings


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs in one proxy; None for what it was not asked for."""

    upstreams: Upstreams
    transports: HttpTransports
    watches: SharedWatchService | None = None
    logins: Logins | None = None
    registration: RegistrationService | None = None
    #: Numbers of the listeners, for the metrics.
    of_listeners: Bindings | None = None

    def own_methods(self) -> list[Method]:
        """What the proxy itself answers."""
        watch = [] if self.watches is None else self.watches.methods()
        return watch if self.registration is None else [*watch, *self.registration.methods()]


def client_mux(settings: ProxySettings, parts: Parts) -> Mux:
    """Of client listeners, and of those for metrics."""
    forward, forward_http = GrpcForwardRoute(parts.upstreams), HttpForwardRoute(parts.upstreams, parts.transports)
    builder = MuxBuilder()
    cached, txn = None, cast(Route, forward)
    if settings.namespace:
        inside = _namespace(settings, parts)
        inside.add_to(builder, forward, forward_http, settings.serving.has_json_gateway)
        txn = inside.txn
    else:
        builder.grpc_fallback(forward).fallback(forward_http)
        cached = _add_reads(builder, settings, parts, forward)
        _add_methods(builder, parts)
    kept = None if cached is None else cached.cache
    for path, page in own_pages(parts.upstreams, parts.watches, kept, parts.registration, parts.of_listeners).items():
        builder.path(path, page)
    _add_guards(builder, settings, parts, txn)
    return builder.build()


def _add_reads(
    builder: MuxBuilder, settings: ProxySettings, parts: Parts, forward: GrpcForwardRoute
) -> CachedRangeRoute | None:
    if parts.watches is None or not settings.cache_bytes:
        return None
    cached = CachedRangeRoute(forward, parts.watches, settings.cache_bytes)
    builder.grpc(RANGE, cached)
    return cached


def _namespace(settings: ProxySettings, parts: Parts) -> NamespaceRoutes:
    """Only what is known to keep within it is served at all."""
    limit_bytes = settings.serving.max_request_bytes + limits.GRPC_OVERHEAD_BYTES
    return NamespaceRoutes(KeySpace(settings.namespace), parts.upstreams, parts.own_methods(), limit_bytes)


def _add_methods(builder: MuxBuilder, parts: Parts) -> None:
    """Those that the proxy itself answers."""
    for path, route in grpc_routes(MethodTable(parts.own_methods())).items():
        builder.grpc(path, route)
    if parts.registration is not None:
        for path, route in json_routes(MethodTable(parts.registration.methods())).items():
            builder.path(path, route)


def _add_guards(builder: MuxBuilder, settings: ProxySettings, parts: Parts, txn: Route) -> None:
    if settings.is_readonly:
        builder.guard(ReadOnlyGuard(txn))
    if parts.logins is not None:
        builder.guard(IdentityGuard(parts.logins, lets_unknown_pass=settings.lets_unknown_users_pass))
    # WebSockets are forwarded like the rest; the guard looks at the pages that they come from.
    rules = AccessRules(settings.serving.host_whitelist, settings.serving.cors)
    builder.guard(AccessGuard(rules, lambda route: upgraded(route) or route))
