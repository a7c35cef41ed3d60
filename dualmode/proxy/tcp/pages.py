"""Decides: what the TCP gateway answers on --listen-metrics-urls. Its client port has no pages."""

from __future__ import annotations

from dualmode.edge.mux import MuxBuilder
from dualmode.http.routing import Mux
from dualmode.proxy.tcp.gateway import Gateway
from dualmode.status.answers import TEXT, Answer
from dualmode.status.metrics import MetricsPage
from dualmode.status.process_metrics import ProcessPage, process_bindings
from dualmode.status.routes import PageRoute


def pages(gateway: Gateway) -> Mux:
    """/metrics and /health, in the form of etcd's."""
    metrics = MetricsPage(ProcessPage().render)
    metrics.bind(process_bindings())
    metrics.bind(
        {
            "dualmode_gateway_endpoints": lambda: len(gateway.remotes),
            "dualmode_gateway_endpoints_active": lambda: len(gateway.remotes.active),
            "dualmode_gateway_connections": lambda: gateway.open,
            "dualmode_gateway_connections_total": lambda: gateway.accepted.value,
            "dualmode_gateway_connections_refused_total": lambda: gateway.refused.value,
            "dualmode_gateway_sent_bytes_total": lambda: gateway.bytes_to_remotes.value,
            "dualmode_gateway_received_bytes_total": lambda: gateway.bytes_to_clients.value,
        }
    )
    builder = MuxBuilder().path(b"/metrics", PageRoute(metrics.answer, (b"GET", b"HEAD")))
    return builder.path(b"/health", PageRoute(lambda: health(gateway))).build()


def health(gateway: Gateway) -> Answer:
    """Whether a client that comes now can be sent anywhere."""
    if gateway.remotes.active:
        return Answer(200, b'{"health":"true","reason":""}', TEXT)
    return Answer(503, b'{"health":"false","reason":"no endpoint can be connected"}', TEXT)
