"""Does: the life of `dualmode proxy`: find the endpoints, serve clients, close in order.

Ready means that clients are served. An endpoint need not answer by then: calls are told clearly while none does
(UNAVAILABLE, 503), and the first one that comes up is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from dualmode import limits, log
from dualmode.config.option import Mode
from dualmode.config.settings import ProxySettings, UpstreamTls
from dualmode.datadir import claim
from dualmode.edge.mux import Guard, MuxBuilder
from dualmode.edge.outbox import Outbox
from dualmode.edge.tls import ClientTls, ClientTlsSettings
from dualmode.errors import StartError
from dualmode.http.engines import ENGINES
from dualmode.http.interface import HttpClientConnection
from dualmode.http.options import Http2Options
from dualmode.http.routing import Mux
from dualmode.peer.client import PeerClient
from dualmode.proxy.cluster_file import ClusterFile
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from dualmode.proxy.health_watch import HealthWatch
from dualmode.proxy.http_forward import HttpForwardRoute, HttpTransports
from dualmode.proxy.loops import refuse_loops
from dualmode.proxy.member_finder import MemberFinder
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.routes import NamespaceRoutes
from dualmode.proxy.namespace.service import NamespacedWatches
from dualmode.proxy.own_pages import own_pages
from dualmode.proxy.read_only import ReadOnlyGuard
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.proxy.unsupported import unsupported
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.access import AccessRules
from dualmode.rpc.access_guard import AccessGuard
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.table import MethodTable
from dualmode.serving import Serving, until_cancelled
from dualmode.urls import Url

_log = log.get("proxy")


async def run(settings: ProxySettings, *, ready: Callable[[], None]) -> None:
    """Runs a proxy until cancelled. `ready` is called once, when clients are served.

    Raises StartError with nothing half-started; later, what a listener raises.
    """
    faults = list(unsupported(settings))
    if faults:
        raise StartError("; ".join(faults))
    own = settings.serving
    tls_for_calls = upstream_tls(settings.upstream_tls, (*settings.endpoints, *settings.member_peer_urls))
    finder = MemberFinder(settings, ClusterFile(settings.proxy_dir), PeerClient(tls_for_calls))
    targets = await finder.start()
    await refuse_loops(targets, own.client_urls + own.client_http_urls + own.metrics_urls)
    if settings.advertise_client_urls:
        _log.warning("--advertise-client-urls does nothing in a proxy: MemberList is forwarded")
    tls = upstream_tls(settings.upstream_tls, targets)
    outbox = Outbox()
    serving = Serving(settings.serving, settings.data_dir, outbox)
    try:
        claim(settings.data_dir, Mode.PROXY)
    except BaseException:
        serving.abandon()
        raise
    upstreams = Upstreams(targets, tls, client_engine(settings), outbox, settings.dial_timeout_seconds)
    upstreams.on_change = finder.look_now
    # TLS contexts of its own: httpx sets the protocols offered (ALPN) on those that it is given.
    transports = HttpTransports(upstream_tls(settings.upstream_tls, targets), settings.dial_timeout_seconds)
    await until_cancelled(lambda stopping: _live(settings, serving, upstreams, finder, transports, ready, stopping))


async def _live(
    settings: ProxySettings,
    serving: Serving,
    upstreams: Upstreams,
    finder: MemberFinder,
    transports: HttpTransports,
    ready: Callable[[], None],
    stopping: trio.Event,
) -> None:
    async with transports, trio.open_nursery() as nursery:
        nursery.start_soon(upstreams.run)
        if settings.refresh_seconds:
            nursery.start_soon(finder.run, upstreams)
        nursery.start_soon(HealthWatch(upstreams).run)
        watches = None
        if settings.shares_watches:
            inside = NamespacedWatches(KeySpace(settings.namespace)) if settings.namespace else None
            watches = SharedWatchService(upstreams, inside)
            await nursery.start(watches.run)
        mux = client_mux(settings, upstreams, transports, watches)
        await nursery.start(serving.run, mux, mux, ())
        _log.info("ready to serve client requests", endpoints=[str(target) for target in upstreams.order()])
        ready()
        await stopping.wait()
        _log.info("closing proxy")
        await serving.close()
        nursery.cancel_scope.cancel()


def upstream_tls(settings: UpstreamTls, targets: Sequence[Url]) -> ClientTls | None:
    """TLS toward the members; None when no endpoint asks for it. Raises StartError."""
    if not any(target.is_tls for target in targets):
        return None
    client_settings = ClientTlsSettings(
        trusted_ca_file=settings.trusted_ca_file,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        insecure_skip_verify=settings.skip_verify,
    )
    return ClientTls(client_settings, lambda text: _log.warning(text))


def client_engine(settings: ProxySettings) -> Callable[[], HttpClientConnection]:
    """Makes the HTTP/2 connections to the members."""
    make = ENGINES[settings.serving.http2_engine].client
    options = Http2Options(
        stream_window_bytes=limits.PROXY_STREAM_WINDOW_BYTES,
        connection_window_bytes=limits.PROXY_CONNECTION_WINDOW_BYTES,
        keepalive_interval_seconds=settings.keepalive_time_seconds,
        keepalive_timeout_seconds=settings.keepalive_timeout_seconds,
    )
    return lambda: make(options)


def client_mux(
    settings: ProxySettings, upstreams: Upstreams, transports: HttpTransports, watches: SharedWatchService | None = None
) -> Mux:
    """Everything is forwarded: gRPC by its content type, the rest as plain HTTP; watches are shared. With a namespace
    only what is known to keep within it."""
    access = AccessGuard(AccessRules(settings.serving.host_whitelist, settings.serving.cors))
    forward, forward_http = GrpcForwardRoute(upstreams), HttpForwardRoute(upstreams, transports)
    inside = _namespace(settings, upstreams, watches)
    guard: Guard = access
    if settings.is_readonly:
        read_only = ReadOnlyGuard(forward if inside is None else inside.txn)
        guard = lambda head, peer, route: access(head, peer, read_only(head, peer, route))  # noqa: E731
    builder = MuxBuilder().guard(guard)
    for path, route in own_pages(upstreams, watches).items():
        builder.path(path, route)
    if inside is not None:
        inside.add_to(builder, forward, forward_http, settings.serving.has_json_gateway)
        return builder.build()
    builder.grpc_fallback(forward).fallback(forward_http)
    if watches is not None:
        for path, route in grpc_routes(MethodTable(watches.methods())).items():
            builder.grpc(path, route)
    return builder.build()


def _namespace(
    settings: ProxySettings, upstreams: Upstreams, watches: SharedWatchService | None
) -> NamespaceRoutes | None:
    if not settings.namespace:
        return None
    limit_bytes = settings.serving.max_request_bytes + limits.GRPC_OVERHEAD_BYTES
    return NamespaceRoutes(KeySpace(settings.namespace), upstreams, watches, limit_bytes)
