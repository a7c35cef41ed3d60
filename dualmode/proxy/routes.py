"""Decides: which route a client's request takes in a proxy, from the parts that its settings call for.

Everything is forwarded, gRPC by its content type and the rest as plain HTTP, but what a part answers: shared watches,
kept answers, MemberList of proxies that announce themselves, the proxy's own pages. In front of all stand the guards:
read-only, who the client is, CORS and hosts, in this order from the inside out.
"""

from __future__ import annotations

from dataclasses import dataclass

from dualmode.config.settings import ProxySettings
from dualmode.edge.mux import MuxBuilder
from dualmode.http.routing import Mux
from dualmode.proxy.cache.route import RANGE, CachedRangeRoute
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from dualmode.proxy.http_forward import HttpForwardRoute, HttpTransports
from dualmode.proxy.identity.guard import IdentityGuard
from dualmode.proxy.identity.logins import Logins
from dualmode.proxy.own_pages import own_pages
from dualmode.proxy.read_only import ReadOnlyGuard
from dualmode.proxy.registration.service import RegistrationService
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.access import AccessRules
from dualmode.rpc.access_guard import AccessGuard
from dualmode.rpc.gateway import json_routes
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


def client_mux(settings: ProxySettings, parts: Parts) -> Mux:
    """Of client listeners, and of those for metrics."""
    forward = GrpcForwardRoute(parts.upstreams)
    builder = MuxBuilder().grpc_fallback(forward).fallback(HttpForwardRoute(parts.upstreams, parts.transports))
    cached = _add_reads(builder, settings, parts, forward)
    kept = None if cached is None else cached.cache
    for path, page in own_pages(parts.upstreams, parts.watches, kept, parts.registration, parts.of_listeners).items():
        builder.path(path, page)
    _add_methods(builder, parts)
    _add_guards(builder, settings, parts, forward)
    return builder.build()


def _add_reads(
    builder: MuxBuilder, settings: ProxySettings, parts: Parts, forward: GrpcForwardRoute
) -> CachedRangeRoute | None:
    if parts.watches is None or not settings.cache_bytes:
        return None
    cached = CachedRangeRoute(forward, parts.watches, settings.cache_bytes)
    builder.grpc(RANGE, cached)
    return cached


def _add_methods(builder: MuxBuilder, parts: Parts) -> None:
    """Those that the proxy itself answers."""
    if parts.watches is not None:
        for path, route in grpc_routes(MethodTable(parts.watches.methods())).items():
            builder.grpc(path, route)
    if parts.registration is not None:
        table = MethodTable(parts.registration.methods())
        for path, route in grpc_routes(table).items():
            builder.grpc(path, route)
        for path, route in json_routes(table).items():
            builder.path(path, route)


def _add_guards(builder: MuxBuilder, settings: ProxySettings, parts: Parts, forward: GrpcForwardRoute) -> None:
    if settings.is_readonly:
        builder.guard(ReadOnlyGuard(forward))
    if parts.logins is not None:
        builder.guard(IdentityGuard(parts.logins, lets_unknown_pass=settings.lets_unknown_users_pass))
    # WebSockets are forwarded like the rest; the guard looks at the pages that they come from.
    builder.guard(AccessGuard(AccessRules(settings.serving.host_whitelist, settings.serving.cors), lambda route: route))
