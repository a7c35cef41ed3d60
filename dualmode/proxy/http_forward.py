"""Does: forwards plain HTTP (JSON, health, version, metrics) to the members, as HTTP/1.1 over httpx.

HTTP/1.1 because etcd's members take nothing else for plain HTTP on a plain port. Bodies are streamed both ways with
bounded memory. One task per request: these are the calls of people and scripts, the hot path is gRPC.
"""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any

import httpx
import trio

from dualmode import limits, log
from dualmode.edge.tls import ClientTls
from dualmode.http.interface import STREAMED, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.proxy import headers
from dualmode.proxy.http_exchange import SWITCHED, Exchange
from dualmode.proxy.reads import http_may_send_again
from dualmode.proxy.upstreams import Upstreams
from dualmode.urls import Url

_log = log.get("proxy")
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)


class HttpTransports:
    """One httpx transport per endpoint; a context manager.

    Transports rather than clients: a client would add headers, cookies and redirects of its own, and the proxy's part
    is to add nothing.
    """

    def __init__(self, tls: ClientTls | None, dial_timeout_seconds: float) -> None:
        self._tls = tls
        #: httpx's words for how to connect.
        self.extensions: dict[str, Any] = {"timeout": {"connect": dial_timeout_seconds}}
        if tls is not None and tls.settings.server_name:
            self.extensions["sni_hostname"] = tls.settings.server_name
        self._transports: dict[Url, tuple[httpx.AsyncHTTPTransport, ssl.SSLContext | None]] = {}
        self._outdated: list[httpx.AsyncHTTPTransport] = []

    def to(self, target: Url) -> httpx.AsyncHTTPTransport:
        """The transport to an endpoint; a new one when certificate files have changed."""
        context = self._tls.context(trio.current_time()) if self._tls is not None and target.is_tls else None
        known = self._transports.get(target)
        if known is not None:
            if known[1] is context:
                return known[0]
            self._outdated.append(known[0])  # answers may still be under way on it
        transport = httpx.AsyncHTTPTransport(
            verify=context if context is not None else False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=limits.PROXY_IDLE_HTTP_CONNECTIONS),
            uds=target.path or None,
        )
        self._transports[target] = transport, context
        return transport

    async def __aenter__(self) -> HttpTransports:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for transport in [*self._outdated, *(transport for transport, _ in self._transports.values())]:
            await transport.aclose()


class HttpForwardRoute:
    """The route of everything that is not gRPC."""

    body_limit = STREAMED

    def __init__(self, upstreams: Upstreams, transports: HttpTransports) -> None:
        self._upstreams = upstreams
        self._transports = transports

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        """See routing.Route."""
        exchange = Exchange(link, stream_id, head)
        link.spawn(self._forward, exchange)
        return exchange

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Never called: bodies are streamed."""

    async def _forward(self, exchange: Exchange) -> None:
        with exchange.scope:
            faults = []
            for target in self._upstreams.order_for(exchange.head.path):
                try:
                    response = await self._send(exchange, target)
                except _NOT_CONNECTED as error:
                    faults.append(f"{target}: {error}")
                except (httpx.TransportError, httpx.StreamError) as error:
                    faults.append(f"{target}: {error or type(error).__name__}")
                    if exchange.is_body_touched or not http_may_send_again(exchange.head.method):
                        exchange.refuse(502, "unable to get response from endpoint: " + faults[-1])
                        return
                else:
                    if response.status_code == SWITCHED:
                        await exchange.tunnel(response)
                    else:
                        await exchange.answer(response)
                    return
            _log.warning("no endpoint for a plain HTTP request", fault="; ".join(faults))
            exchange.refuse(503, "no endpoint is available: " + "; ".join(faults))

    async def _send(self, exchange: Exchange, target: Url) -> httpx.Response:
        exchange.endpoint = target
        head = exchange.head
        fields = headers.http_request(head, exchange.link.peer)
        if exchange.is_websocket:
            fields = headers.upgrade_request(fields)
        host = "localhost" if target.is_unix else target.address
        url = f"{'https' if target.is_tls else 'http'}://{host}".encode() + head.path
        request = httpx.Request(
            head.method.decode("ascii"),
            httpx.URL(url.decode("latin-1")),
            headers=[*fields, (b"host", host.encode())],
            content=exchange.body() if exchange.has_body and not exchange.is_websocket else None,
            extensions=self._transports.extensions,
        )
        return await self._transports.to(target).handle_async_request(request)
