"""Does: from serving settings to running servers: sockets, TLS, engine, client and metrics listeners, in both modes.

Everything that can fail (a port in use, an unreadable certificate) fails when `Serving` is made, before anything runs.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import trio

from dualmode import limits, log
from dualmode.config.settings import ServingSettings, TlsGroup
from dualmode.edge.address import places
from dualmode.edge.admission import Admission
from dualmode.edge.listener import Listener, bind_all
from dualmode.edge.outbox import Outbox
from dualmode.edge.self_signed import self_signed_pair
from dualmode.edge.server import Server, ServerOptions
from dualmode.edge.tls import ServerTls, TlsSettings
from dualmode.http.engines import ENGINES
from dualmode.http.options import Http2Options
from dualmode.http.routing import Mux
from dualmode.status.rpc_metrics import Bindings
from dualmode.urls import Url

_log = log.get("embed")


class Serving:
    """The listeners of one run, and the servers on them."""

    def __init__(
        self,
        settings: ServingSettings,
        data_dir: Path,
        outbox: Outbox,
        peer_urls: Sequence[Url] = (),
        peer_tls: TlsGroup | None = None,
    ) -> None:
        """Binds the sockets and reads the certificates; those of other members too, where there are any. Raises
        StartError, with nothing left open."""
        self._settings = settings
        self._outbox = outbox
        client_urls = settings.client_urls + settings.client_http_urls
        urls = client_urls + settings.metrics_urls
        tls = server_tls(settings.tls, data_dir / "fixtures" / "client", urls)
        engine, http2_options = ENGINES[settings.http2_engine].server, _http2_options(settings)
        #: Of clients; other members and who reads the metrics always get a connection.
        self._admission = Admission(settings.max_connections, settings.max_connections_per_address)
        self._options = ServerOptions(http2=lambda classify: engine(classify, http2_options), tls=tls)
        if settings.max_connections > self._options.connections:
            _log.warning("the limit of open files allows fewer clients", connections=self._options.connections)
        self._peer_options = self._options
        if peer_tls is not None:
            peer_server_tls = server_tls(peer_tls, data_dir / "fixtures" / "peer", peer_urls)
            self._peer_options = ServerOptions(tls=peer_server_tls)
        self._metrics_listeners: list[Listener] = []
        self._peer_listeners: list[Listener] = []
        self._client_listeners = self._bind(client_urls)
        try:
            self._metrics_listeners = self._bind(settings.metrics_urls)
            self._peer_listeners = self._bind(peer_urls)
        except BaseException:
            self.abandon()
            raise
        self._servers: list[Server] = []

    def _bind(self, urls: Sequence[Url]) -> list[Listener]:
        return bind_all(places(map(str, urls)), reuse_port=self._settings.reuse_port)

    def abandon(self) -> None:
        """Closes the sockets of a run that never began to serve."""
        for listener in self._client_listeners + self._metrics_listeners + self._peer_listeners:
            listener.close()

    @property
    def client_addresses(self) -> list[str]:
        """Where clients are served; real ports where port 0 was asked for."""
        return [listener.address for listener in self._client_listeners]

    def bindings(self) -> Bindings:
        """Numbers for the metrics."""
        return {
            "dualmode_connections": lambda: self._admission.open,
            "dualmode_connections_refused_total": lambda: self._admission.refused,
        }

    async def run(
        self,
        client_mux: Mux,
        metrics_mux: Mux,
        on_tick: tuple[Callable[[float], None], ...],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serves until `close` has done its work. Raises what a listener raises."""
        options = replace(self._options, on_tick=on_tick, admission=self._admission)
        self._servers = [Server(self._client_listeners, client_mux, options, self._outbox)]
        if self._metrics_listeners:
            self._servers.append(Server(self._metrics_listeners, metrics_mux, self._options, self._outbox))
        async with trio.open_nursery() as nursery:
            for server in self._servers:
                await nursery.start(server.run)
            for listener in self._client_listeners:
                _announce(listener)
            task_status.started()

    async def run_peers(self, mux: Mux, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves other members until cancelled. Raises what a listener raises."""
        server = Server(self._peer_listeners, mux, self._peer_options, self._outbox)
        for listener in self._peer_listeners:
            _log.info("serving peer traffic", address=listener.address)
        await server.run(task_status=task_status)

    async def close(self) -> None:
        """Stops accepting clients, lets calls in flight finish for a while, then cuts. Other members are served on."""
        async with trio.open_nursery() as nursery:
            for server in self._servers:
                nursery.start_soon(server.close, limits.DRAIN_TIMEOUT_SECONDS)


async def until_cancelled(live: Callable[[trio.Event], Awaitable[None]]) -> None:
    """Runs `live`, which is not cancelled when we are: it is told by its event, and closes in order."""

    async def shielded(stopping: trio.Event) -> None:
        with trio.CancelScope(shield=True):
            await live(stopping)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        stopping = trio.Event()
        nursery.start_soon(shielded, stopping)
        try:
            await trio.sleep_forever()
        finally:
            stopping.set()


def _http2_options(settings: ServingSettings) -> Http2Options:
    return Http2Options(
        # etcd's default is "no limit"; ours is a bound that nobody meets by accident.
        concurrent_streams=min(settings.concurrent_streams, limits.HTTP2_CONCURRENT_STREAMS),
        keepalive_min_time_seconds=settings.keepalive_min_time_seconds,
        keepalive_interval_seconds=settings.keepalive_interval_seconds,
        keepalive_timeout_seconds=settings.keepalive_timeout_seconds,
        keepalive_without_streams=settings.keepalive_without_streams,
    )


def server_tls(group: TlsGroup, fixtures: Path, urls: Iterable[Url]) -> ServerTls | None:
    """TLS of a kind of listener; None when no URL asks for it. Raises StartError for files that cannot be used."""
    tls_urls = [url for url in urls if url.is_tls]
    if not tls_urls:
        return None
    cert_file, key_file = group.cert_file, group.key_file
    if group.is_automatic and not cert_file:
        hosts = [url.host for url in tls_urls if not url.is_unix]
        now = datetime.datetime.now(datetime.UTC)
        cert_file, key_file = self_signed_pair(fixtures, hosts, now, group.self_signed_validity_years)
    settings = TlsSettings(
        cert_file,
        key_file,
        trusted_ca_file=group.trusted_ca_file,
        client_cert_auth=group.client_cert_auth,
        crl_file=group.crl_file,
        allowed_common_names=group.allowed_common_names,
        allowed_hostnames=group.allowed_hostnames,
        min_version=group.min_version,
        max_version=group.max_version,
        cipher_suites=group.cipher_suites,
    )
    return ServerTls(settings, lambda text: _log.warning(text))


def _announce(listener: Listener) -> None:
    place = listener.place
    if place.allows_tls:
        _log.info("serving client traffic securely", traffic="grpc+http", address=listener.address)
    if place.allows_plain:
        _log.info(
            "serving client traffic insecurely; this is strongly discouraged!",
            traffic="grpc+http",
            address=listener.address,
        )
