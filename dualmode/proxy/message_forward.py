"""Does: forwards calls message by message, for whoever has to look into them. What needs no look is `grpc_forward`'s.

The rules are the same: metadata and deadline go along, a member's error comes back as it is, and a request that may
have arrived is sent a second time only when it reads (`proxy/reads.py`).
"""

from __future__ import annotations

from functools import lru_cache

from dualmode import limits
from dualmode.client.calls import ClientStream, UnaryCall
from dualmode.client.connection import UpstreamConnection
from dualmode.client.status import CallError
from dualmode.http.interface import Fields, Pairs
from dualmode.proxy import headers
from dualmode.proxy.endpoint_calls import ready_connection
from dualmode.proxy.member_finder import request_head
from dualmode.proxy.reads import may_send_again
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.calls import Metadata
from dualmode.urls import Url


class MessageForward:
    """Calls of clients as calls of ours to the members."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def unary(self, path: bytes, metadata: Metadata, message: bytes) -> bytes:
        """The answer. Raises `RpcError`; cancelling gives the call up, and the member hears of it."""
        attempts = 0
        while True:
            connection = await ready_connection(self._upstreams)
            attempts += 1
            call = UnaryCall(connection)
            call.start(self._head(connection, path, metadata), message)
            try:
                return await call.result()
            except CallError as error:
                is_answered = call.http_status != 0
                if is_answered or attempts >= limits.PROXY_ATTEMPTS or not may_send_again(path, error.may_have_left):
                    raise

    async def stream(self, path: bytes, metadata: Metadata) -> ClientStream:
        """A call with streams, begun. Raises UNAVAILABLE when there is no member."""
        connection = await ready_connection(self._upstreams)
        call = ClientStream(connection)
        call.start(self._head(connection, path, metadata))
        return call

    def _head(self, connection: UpstreamConnection, path: bytes, metadata: Metadata) -> Fields:
        return _head_of(connection.target, self._upstreams.scheme, path, metadata.pairs, metadata.is_gateway)


@lru_cache(maxsize=limits.PROXY_REMEMBERED_HEADS)
def _head_of(target: Url, scheme: bytes, path: bytes, pairs: Pairs, is_gateway: bool) -> Fields:
    """A client sends the same metadata with each call: kept, so that each head has its header block once."""
    return request_head(target, scheme, path).plus(*headers.metadata(pairs, is_gateway))
