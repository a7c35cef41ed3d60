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
from dualmode.proxy.cache.route import RANGE, CachedRangeRoute
from dualmode.proxy.cluster_file import ClusterFile
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from dualmode.proxy.health_watch import HealthWatch
from dualmode.proxy.http_forward import HttpForwardRoute, HttpTransports
from dualmode.proxy.identity.guard import IdentityGuard
from dualmode.proxy.identity.logins import Logins
from dualmode.proxy.loops import refuse_loops
from dualmode.proxy.member_finder import MemberFinder
from dualmode.proxy.own_pages import own_pages
from dualmode.proxy.policies import POLICIES
from dualmode.proxy.read_only import ReadOnlyGuard
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.proxy.spread import Spread
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
    spread = None if settings.endpoint_policy == "stay" else Spread(POLICIES[settings.endpoint_policy])
    upstreams = Upstreams(targets, tls, client_engine(settings), outbox, settings.dial_timeout_seconds, spread)
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
        logins = None
        if settings.credentials_file is not None:
            logins = Logins(upstreams, settings.credentials_file)
            await nursery.start(logins.run)
        watches = None
        if settings.shares_watches:
            watches = SharedWatchService(upstreams)
            await nursery.start(watches.run)
        mux = client_mux(settings, upstreams, transports, watches, logins)
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
        is_nameless=True,
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
    settings: ProxySettings,
    upstreams: Upstreams,
    transports: HttpTransports,
    watches: SharedWatchService | None = None,
    logins: Logins | None = None,
) -> Mux:
    """Everything is forwarded: gRPC by its content type, the rest as plain HTTP; watches are shared."""
    access = AccessGuard(AccessRules(settings.serving.host_whitelist, settings.serving.cors), lambda route: route)
    forward = GrpcForwardRoute(upstreams)
    guards: list[Guard] = []
    if settings.is_readonly:
        guards.append(ReadOnlyGuard(forward))
    if logins is not None:
        guards.append(IdentityGuard(logins, lets_unknown_pass=settings.lets_unknown_users_pass))
    guards.append(access)
    builder = MuxBuilder().grpc_fallback(forward).fallback(HttpForwardRoute(upstreams, transports))
    for guard in guards:
        builder.guard(guard)
    cached = None
    if watches is not None and settings.cache_bytes:
        cached = CachedRangeRoute(forward, watches, settings.cache_bytes)
        builder.grpc(RANGE, cached)
    for path, page in own_pages(upstreams, watches, None if cached is None else cached.cache).items():
        builder.path(path, page)
    if watches is not None:
        for path, route in grpc_routes(MethodTable(watches.methods())).items():
            builder.grpc(path, route)
    return builder.build()
