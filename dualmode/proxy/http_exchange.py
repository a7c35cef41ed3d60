"""Does: one forwarded plain HTTP request: its body there, the answer back; a WebSocket both ways."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import httpcore
import httpx
import trio

from dualmode import limits, log
from dualmode.errors import Code
from dualmode.http.interface import ErrorCode, Fields, Pairs, RequestHead
from dualmode.http.routing import Link
from dualmode.proxy import headers
from dualmode.rpc.signal import Signal
from dualmode.rpc.websocket_handshake import wants_websocket
from dualmode.urls import Url

_log = log.get("proxy")
SWITCHED: Final = 101
_BROKEN: Final = (httpx.TransportError, httpx.StreamError, httpcore.NetworkError, httpcore.TimeoutException)


class Exchange:
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
        #: What comes after the head are frames, if the member agrees.
        self.is_websocket = wants_websocket(head)
        if self.is_websocket:
            self.has_body = True
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
        """See routing.Sink. The end of an upgrade's own body is not that of its frames."""
        self._is_ended = not self.is_websocket
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

    async def tunnel(self, response: httpx.Response) -> None:
        """The member has agreed to a WebSocket: bytes pass both ways until either end is over."""
        stream: Any = response.extensions["network_stream"]
        fields = tuple((name.lower(), value) for name, value in response.headers.raw)
        self._start(headers.upgrade_response(fields))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_frames, stream)
                while data := await stream.read(limits.RECEIVE_BYTES):
                    self.link.send_data(self.stream_id, data)
                    while self.link.unsent_bytes(self.stream_id) > limits.PROXY_UNSENT_BYTES:
                        await self._changed.wait()
                nursery.cancel_scope.cancel()
        except* _BROKEN as group:
            _log.debug("a WebSocket broke off", error=str(group.exceptions[0]))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(limits.LINGER_SECONDS):
                await response.aclose()
            self.link.end_stream(self.stream_id)

    async def _pass_frames(self, stream: Any) -> None:
        async for data in self.body():
            await stream.write(data)

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
