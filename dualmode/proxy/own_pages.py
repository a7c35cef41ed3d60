"""Decides: the proxy's own pages. Everything else under these paths' parents is the members' and is forwarded.

/proxy/health    whether an endpoint is connected, in the form of etcd's /health
/proxy/metrics   what this process counts; /metrics is the member's, as with etcd's gRPC proxy
"""

from __future__ import annotations

from collections.abc import Callable

from dualmode.http.routing import Route
from dualmode.proxy.cache.ranges import RangeCache
from dualmode.proxy.registration.service import RegistrationService
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.proxy.upstreams import Upstreams
from dualmode.status.answers import TEXT, Answer
from dualmode.status.families import Labels
from dualmode.status.metrics import MetricsPage
from dualmode.status.process_metrics import ProcessPage, process_bindings
from dualmode.status.routes import PageRoute
from dualmode.status.rpc_metrics import Bindings


def own_pages(
    upstreams: Upstreams,
    watches: SharedWatchService | None,
    cache: RangeCache | None = None,
    registration: RegistrationService | None = None,
    of_listeners: Bindings | None = None,
) -> dict[bytes, Route]:
    """Path -> route. `of_listeners` are further numbers for the metrics."""
    metrics = MetricsPage(ProcessPage().render)
    metrics.bind(process_bindings())
    metrics.bind(of_listeners or {})
    counts: Callable[[], tuple[int, int]] = watches.counts if watches is not None else lambda: (0, 0)
    metrics.bind(
        {
            "dualmode_proxy_endpoints": lambda: len(upstreams.order()),
            "dualmode_proxy_connected": lambda: int(upstreams.ready is not None),
            "dualmode_proxy_endpoint_up": lambda: _states(upstreams),
            "dualmode_proxy_calls_total": lambda: upstreams.calls,
            "dualmode_proxy_calls_repeated_total": lambda: upstreams.repeated,
            "dualmode_proxy_endpoints_lost_total": lambda: upstreams.lost,
            "dualmode_proxy_rounds_failed_total": lambda: upstreams.rounds_failed,
            "dualmode_proxy_client_watches": lambda: counts()[0],
            "dualmode_proxy_member_watches": lambda: counts()[1],
            "etcd_grpc_proxy_watchers_coalescing_total": lambda: max(0, counts()[0] - counts()[1]),
        }
    )
    if cache is not None:
        metrics.bind(
            {
                "etcd_grpc_proxy_cache_hits_total": lambda: cache.hits,
                "etcd_grpc_proxy_cache_misses_total": lambda: cache.misses,
                "etcd_grpc_proxy_cache_keys_total": lambda: len(cache),
                "dualmode_proxy_cache_bytes": lambda: cache.size_bytes,
            }
        )
    if registration is not None:
        metrics.bind(
            {
                "dualmode_proxy_registered": lambda: int(registration.is_registered),
                "dualmode_proxy_announced": lambda: registration.announced_proxies,
            }
        )
    return {
        b"/proxy/health": PageRoute(lambda: health(upstreams)),
        b"/proxy/metrics": PageRoute(metrics.answer, (b"GET", b"HEAD")),
    }


def _states(upstreams: Upstreams) -> dict[Labels, int]:
    return {(str(target),): int(is_up) for target, is_up in upstreams.states().items()}


def health(upstreams: Upstreams) -> Answer:
    """As etcd answers on /health."""
    if upstreams.ready is not None:
        return Answer(200, b'{"health":"true","reason":""}', TEXT)
    return Answer(503, b'{"health":"false","reason":"no endpoint is connected"}', TEXT)
