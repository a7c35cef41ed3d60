"""Does: the route of Range in a proxy that keeps answers: serves what is kept, forwards the rest, and keeps that.

A range that must be linearizable is forwarded as it came, at the price of one look at its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio
from google.protobuf.message import DecodeError

from dualmode import limits
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.http.interface import Fields, RequestHead
from dualmode.http.routing import Link, LinkAround, Route, Sink
from dualmode.proxy.cache.ranges import Kept, RangeCache, is_cacheable, watch_of
from dualmode.proxy.gathered import pass_on
from dualmode.proxy.sharing.watch_service import Identity, SharedStream, SharedWatchService, identity_of
from dualmode.proxy.sharing.watches import ClientStream
from dualmode.rpc.framing import refusal_of_size, unframed
from dualmode.rpc.status import HEAD, OK_TRAILERS, error_only

RANGE: Final = b"/etcdserverpb.KV/Range"
_PREFIX_BYTES: Final = 5
#: `serializable`, field 7: without these two bytes somewhere it is not set.
_SERIALIZABLE: Final = b"\x38\x01"


class CachedRangeRoute:
    """A Route. Watches go over the shared streams of the watch service."""

    body_limit = limits.MAX_REQUEST_BYTES + limits.GRPC_OVERHEAD_BYTES

    def __init__(self, forward: Route, watches: SharedWatchService, size_limit_bytes: int) -> None:
        self._forward = forward
        self._watches = watches
        self._listeners: dict[Identity, _Listener] = {}
        self.cache = RangeCache(size_limit_bytes, self._on_drop)

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        request = _cacheable(body)
        if request is None:
            return pass_on(self._forward, link, stream_id, head, body)
        identity = identity_of(head)
        answer = self.cache.get(identity, body, trio.current_time())
        if answer is not None:
            link.respond(stream_id, HEAD, answer, OK_TRAILERS)
            return None
        observed = _ObservedLink(link, lambda answer: self._keep(identity, request, body, answer))
        return pass_on(self._forward, observed, stream_id, head, body)

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        link.respond(stream_id, error_only(refusal_of_size(start, limits.MAX_REQUEST_BYTES)), b"")

    def _keep(self, identity: Identity, request: Any, body: bytes, framed: bytes) -> None:
        """An answer has come, in one piece."""
        answer = _message(etcdserverpb.RangeResponse, framed)
        if answer is None:
            return
        listener = self._listeners.get(identity)
        if listener is None:
            listener = self._listen_for(identity)
            if listener is None:
                return
        is_somebody = any(part is not None for part in identity)
        keep_seconds = limits.PROXY_CACHE_USER_SECONDS if is_somebody else limits.PROXY_CACHE_SECONDS
        kept = self.cache.put(identity, body, framed, trio.current_time(), keep_seconds)
        if kept is not None:
            listener.listen(watch_of(request, answer, kept.watch_id))

    def _listen_for(self, identity: Identity) -> _Listener | None:
        """None while there are too many callers, or no endpoint."""
        if len(self._listeners) >= limits.PROXY_CACHE_LISTENERS:
            for idle in [one for one in self._listeners.values() if not one.watches]:
                del self._listeners[idle.identity]
                idle.close()
            if len(self._listeners) >= limits.PROXY_CACHE_LISTENERS:
                return None
        shared = self._watches.shared_now(identity)
        if shared is None:
            return None
        listener = self._listeners[identity] = _Listener(self, identity, shared)
        return listener

    def _on_drop(self, kept: Kept) -> None:
        identity: Any = kept.key[0]
        listener = self._listeners.get(identity)
        if listener is not None:
            listener.leave(kept.watch_id)

    def lose(self, identity: Identity) -> None:
        """The stream of the watches is over."""
        if self._listeners.pop(identity, None) is not None:
            self.cache.end_all(identity)


class _Listener:
    """What hears of changes for one identity: a client of the shared watches that only looks at ids."""

    def __init__(self, route: CachedRangeRoute, identity: Identity, shared: SharedStream) -> None:
        self._route = route
        self.identity = identity
        self._shared = shared
        self._stream: ClientStream = shared.watches.open(self)

    @property
    def unsent_bytes(self) -> int:
        """It always listens."""
        return 0

    def listen(self, create: Any) -> None:
        """One more watch."""
        self._shared.watches.create(self._stream, create)

    def leave(self, watch_id: int) -> None:
        """One less, if it is still there."""
        self._shared.watches.forget(self._stream, watch_id)

    @property
    def watches(self) -> int:
        """How many there are."""
        return len(self._stream.watches)

    def close(self) -> None:
        """It listens no more."""
        self._shared.leave(self._stream)

    def send_frames(self, data: bytes, count: int) -> None:
        """See `send_now`."""
        for message in unframed(data):
            self.send_now(message)

    def send_now(self, message: bytes) -> None:
        """Anything but the confirmation of a watch ends its answer."""
        response = etcdserverpb.WatchResponse.FromString(message)
        if response.events or response.canceled:
            self._route.cache.end(self.identity, response.watch_id)

    def end(self, error: RpcError | None = None) -> None:
        """The stream is over."""
        self._route.lose(self.identity)


class _ObservedLink(LinkAround):
    """Another link, which shows an answer that is well and comes as a whole."""

    __slots__ = ("_show",)

    def __init__(self, link: Link, show: Callable[[bytes], None]) -> None:
        super().__init__(link)
        self._show = show

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link."""
        self._link.respond(stream_id, head, body, trailers)
        if trailers is not None and trailers.get(b"grpc-status") == b"0":
            self._show(body)


def _cacheable(body: bytes) -> Any | None:
    if _SERIALIZABLE not in body:
        return None
    request = _message(etcdserverpb.RangeRequest, body)
    return request if request is not None and is_cacheable(request) else None


def _message(kind: Any, framed: bytes) -> Any | None:
    """The one message of a body, unless it is compressed or none."""
    if len(framed) < _PREFIX_BYTES or framed[0] or int.from_bytes(framed[1:5], "big") != len(framed) - _PREFIX_BYTES:
        return None
    try:
        return kind.FromString(framed[_PREFIX_BYTES:])
    except DecodeError:
        return None
