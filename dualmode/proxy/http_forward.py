"""Does: forwards plain HTTP (JSON, health, version, metrics) to the members, as HTTP/1.1 over httpx.

HTTP/1.1 because etcd's members take nothing else for plain HTTP on a plain port. Bodies are streamed both ways with
bounded memory. One task per request: these are the calls of people and scripts, the hot path is gRPC.
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType

import httpx
import trio

from dualmode import limits, log
from dualmode.edge.tls import ClientTls
from dualmode.errors import Code
from dualmode.http.interface import STREAMED, ErrorCode, Fields, Pairs, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.proxy import headers
from dualmode.proxy.reads import http_may_send_again
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.signal import Signal
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
        self.timeouts = {"connect": dial_timeout_seconds}
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
        exchange = _Exchange(link, stream_id, head)
        link.spawn(self._forward, exchange)
        return exchange

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Never called: bodies are streamed."""

    async def _forward(self, exchange: _Exchange) -> None:
        with exchange.scope:
            faults = []
            for target in self._upstreams.order():
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
                    await exchange.answer(response)
                    return
            _log.warning("no endpoint for a plain HTTP request", fault="; ".join(faults))
            exchange.refuse(503, "no endpoint is available: " + "; ".join(faults))

    async def _send(self, exchange: _Exchange, target: Url) -> httpx.Response:
        exchange.endpoint = target
        head = exchange.head
        fields = headers.http_request(head, exchange.link.peer)
        host = "localhost" if target.is_unix else target.address
        url = f"{'https' if target.is_tls else 'http'}://{host}".encode() + head.path
        request = httpx.Request(
            head.method.decode("ascii"),
            httpx.URL(url.decode("latin-1")),
            headers=[*fields, (b"host", host.encode())],
            content=exchange.body() if exchange.has_body else None,
            extensions={"timeout": self._transports.timeouts},
        )
        return await self._transports.to(target).handle_async_request(request)


class _Exchange:
    """One request on its way: the Sink of its body, and the answer."""

    def __init__(self, link: Link, stream_id: int, head: RequestHead) -> None:
        self.link = link
        self.stream_id = stream_id
        self.head = head
        #: Where it was sent last, for the access log.
        self.endpoint: Url | None = None
        self.scope = trio.CancelScope()
        self.has_body = bool(int(head.get(b"content-length") or 0)) or head.get(b"transfer-encoding") is not None
        if head.version == b"2" and head.get(b"content-length") is None:
            self.has_body = head.method not in (b"GET", b"HEAD", b"OPTIONS", b"DELETE")
        self.is_body_touched = False
        self._is_started = False
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._is_ended = False
        self._changed = Signal()

    # --- The request's body ----------------------------------------------------------------------------------

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        if self.has_body:
            self._pieces.append((data, flow_bytes))
            self._changed.set()
        else:
            self.link.acknowledge(self.stream_id, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink."""
        self._is_ended = True
        self._changed.set()

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink. The client is gone: so is the request."""
        self.scope.cancel()

    def on_drained(self) -> None:
        """See routing.Sink."""
        self._changed.set()

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes; the client may send on as the member takes it."""
        while True:
            while self._pieces:
                self.is_body_touched = True
                data, flow_bytes = self._pieces.popleft()
                yield data
                self.link.acknowledge(self.stream_id, flow_bytes)
            if self._is_ended:
                return
            await self._changed.wait()

    # --- The answer ------------------------------------------------------------------------------------------

    async def answer(self, response: httpx.Response) -> None:
        """Passes the member's answer on, as fast as the client takes it."""
        try:
            fields = tuple((name.lower(), value) for name, value in response.headers.raw)
            self._start(headers.http_response(response.status_code, fields))
            async for data in response.aiter_raw():
                self.link.send_data(self.stream_id, data)
                while self.link.unsent_bytes(self.stream_id) > limits.PROXY_UNSENT_BYTES:
                    await self._changed.wait()
            self.link.end_stream(self.stream_id)
        except (httpx.TransportError, httpx.StreamError) as error:
            _log.warning("an endpoint broke off its answer", error=str(error) or type(error).__name__)
            self.link.reset_stream(self.stream_id, ErrorCode.INTERNAL_ERROR)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(limits.LINGER_SECONDS):
                await response.aclose()

    def refuse(self, status: int, message: str) -> None:
        """An answer of our own, in the shape of the gateway's errors."""
        if self._is_started:
            self.link.reset_stream(self.stream_id, ErrorCode.INTERNAL_ERROR)
            return
        error = {"error": message, "message": message, "code": int(Code.UNAVAILABLE), "details": []}
        body = json.dumps(error, separators=(",", ":")).encode()
        head = Fields(
            (b":status", b"%d" % status),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        )
        self.link.respond(self.stream_id, head, b"" if self.head.method == b"HEAD" else body)

    def _start(self, head: Fields) -> None:
        self._is_started = True
        self.link.start_response(self.stream_id, head)
