"""Does: puts together what a member's listeners answer: gRPC, JSON, and the plain pages of status."""

from __future__ import annotations

import sys

from dualmode import limits
from dualmode.config.settings import MemberSettings
from dualmode.edge.mux import MuxBuilder
from dualmode.http.routing import Mux
from dualmode.member.client_calls import ClientCalls
from dualmode.member.cluster.peer_numbers import peer_bindings
from dualmode.member.facts import MemberFacts
from dualmode.member.numbers import bindings
from dualmode.member.server import MemberServer
from dualmode.peer.transport import PeerTransport
from dualmode.rpc.access import AccessRules
from dualmode.rpc.access_guard import AccessGuard
from dualmode.rpc.gateway import JsonNotFoundRoute, json_routes, upgraded
from dualmode.rpc.grpc_route import UnknownMethodRoute, grpc_routes
from dualmode.rpc.health import HealthService
from dualmode.rpc.json_paths import ALIASES, PREFIX
from dualmode.rpc.reflection import ReflectionService
from dualmode.rpc.table import MethodTable, Shared
from dualmode.status.metrics import MetricsPage
from dualmode.status.process_metrics import ProcessPage, process_bindings
from dualmode.status.routes import StatusRoutes
from dualmode.status.rpc_metrics import Bindings, rpc_bindings


class MemberRoutes:
    """The routes of one member. `deadlines` wants the edge's tick."""

    def __init__(
        self, settings: MemberSettings, member: MemberServer, transport: PeerTransport, of_listeners: Bindings
    ) -> None:
        """`of_listeners` are further numbers for the metrics."""
        serving = settings.serving
        calls = ClientCalls(member.replica)
        shared = Shared(calls.before, serving.max_request_bytes + limits.GRPC_OVERHEAD_BYTES)
        self.deadlines = shared.deadlines
        health = HealthService()
        if settings.checks.stop_serving_on_defragmentation:
            member.maintenance.on_defragmentation = lambda is_running: health.set_serving(not is_running)
        methods = [*member.methods(), *health.methods()]
        services = sorted({method.service for method in methods})
        self._table = MethodTable([*methods, *ReflectionService(services).methods()], shared)
        metrics = MetricsPage(ProcessPage().render)
        metrics.bind(bindings(member, settings.storage.quota_bytes or 0))
        metrics.bind(peer_bindings(transport))
        metrics.bind(rpc_bindings(self._table))
        metrics.bind(process_bindings())
        metrics.bind(of_listeners)
        metrics.bind({"etcd_server_client_requests_total": calls.counts})
        self._status = StatusRoutes(MemberFacts(member.replica), metrics, sys.argv)
        self._has_json_gateway = serving.has_json_gateway
        self._guard = AccessGuard(AccessRules(serving.host_whitelist, serving.cors), upgraded)

    def client_mux(self) -> Mux:
        """Of client listeners."""
        builder = MuxBuilder().guard(self._guard)
        for path, route in grpc_routes(self._table).items():
            builder.grpc(path, route)
        builder.grpc_fallback(UnknownMethodRoute(self._table))
        for path, route in self._status.client().items():
            builder.path(path, route)
        if self._has_json_gateway:
            for path, route in json_routes(self._table).items():
                builder.path(path, route)
            for prefix in (PREFIX, *ALIASES):
                builder.prefix(f"{prefix}/".encode(), JsonNotFoundRoute())
        return builder.build()

    def metrics_mux(self) -> Mux:
        """Of listeners for metrics and health only."""
        builder = MuxBuilder()
        for path, route in self._status.monitoring().items():
            builder.path(path, route)
        return builder.build()
