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
from dualmode.edge.outbox import Outbox
from dualmode.edge.tls import ClientTls, ClientTlsSettings
from dualmode.http.engines import ENGINES
from dualmode.http.interface import HttpClientConnection
from dualmode.http.options import Http2Options
from dualmode.peer.client import PeerClient
from dualmode.proxy.access_log import write_line
from dualmode.proxy.call_metrics import CallMetrics
from dualmode.proxy.cluster_file import ClusterFile
from dualmode.proxy.endpoint_calls import EndpointCalls
from dualmode.proxy.health_watch import HealthWatch
from dualmode.proxy.http_forward import HttpTransports
from dualmode.proxy.identity.logins import Logins
from dualmode.proxy.loops import refuse_loops
from dualmode.proxy.member_finder import MemberFinder
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.service import NamespacedWatches
from dualmode.proxy.observed import ObservedMux, Observer
from dualmode.proxy.policies import POLICIES
from dualmode.proxy.registration.service import RegistrationService
from dualmode.proxy.routes import Parts, client_mux
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.proxy.spread import Spread
from dualmode.proxy.upstreams import Upstreams
from dualmode.serving import Serving, until_cancelled
from dualmode.status.rpc_metrics import Bindings
from dualmode.urls import Url

_log = log.get("proxy")


async def run(settings: ProxySettings, *, ready: Callable[[], None]) -> None:
    """Runs a proxy until cancelled. `ready` is called once, when clients are served.

    Raises StartError with nothing half-started; later, what a listener raises.
    """
    own = settings.serving
    tls_for_calls = upstream_tls(settings.upstream_tls, (*settings.endpoints, *settings.member_peer_urls))
    finder = MemberFinder(settings, ClusterFile(settings.proxy_dir), PeerClient(tls_for_calls))
    targets = await finder.start()
    await refuse_loops(targets, own.client_urls + own.client_http_urls + own.metrics_urls)
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
        calls = EndpointCalls(upstreams)
        logins = None
        if settings.credentials_file is not None:
            logins = Logins(calls, settings.credentials_file)
            await nursery.start(logins.run)
        watches = None
        if settings.shares_watches:
            inside = NamespacedWatches(KeySpace(settings.namespace)) if settings.namespace else None
            watches = SharedWatchService(upstreams, inside)
            await nursery.start(watches.run)
        registration = None
        if settings.advertise_client_urls:
            registration = RegistrationService(settings, calls)
        observers, numbers = _observers(settings)
        parts = Parts(upstreams, transports, watches, logins, registration, serving.bindings() | numbers)
        mux = client_mux(settings, parts)
        if observers:
            mux = ObservedMux(mux, trio.current_time, observers)
        await nursery.start(serving.run, mux, mux, ())
        if registration is not None:
            nursery.start_soon(registration.run)
        _log.info("ready to serve client requests", endpoints=[str(target) for target in upstreams.order()])
        ready()
        await stopping.wait()
        _log.info("closing proxy")
        if registration is not None:
            await registration.withdraw()
        await serving.close()
        nursery.cancel_scope.cancel()


def _observers(settings: ProxySettings) -> tuple[list[Observer], Bindings]:
    """Who hears of calls that have ended, and the numbers of those who count."""
    found: list[Observer] = [write_line] if settings.has_access_log else []
    if not settings.serving.has_extensive_metrics:
        return found, {}
    counting = CallMetrics()
    return [*found, counting.note], counting.bindings()


def upstream_tls(settings: UpstreamTls, targets: Sequence[Url]) -> ClientTls | None:
    """TLS toward the members; None when no endpoint asks for it. Raises StartError."""
    if not any(target.is_tls for target in targets):
        return None
    client_settings = ClientTlsSettings(
        trusted_ca_file=settings.trusted_ca_file,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        server_name=settings.server_name,
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
        gathers_responses=True,
    )
    return lambda: make(options)
