"""Does: forwards a gRPC call whose request one read brought whole, as it does most. The hot path of a proxy.

The request leaves in one piece with the read that brought it, and an answer that comes in one piece leaves so too:
nothing is credited, queued or waited for. An answer that comes in pieces is handed to `grpc_forward.Call`.
"""

from __future__ import annotations

from dualmode import limits
from dualmode.client.connection import UpstreamConnection
from dualmode.errors import Code, RpcError
from dualmode.http.interface import ErrorCode, Pairs, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.proxy import headers
from dualmode.proxy.grpc_call import Call
from dualmode.proxy.reads import may_send_again
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.status import error_only
from dualmode.urls import Url


class WholeCall:
    """One such call, as the member's connection sees it: a ResponseSink."""

    __slots__ = (
        "_attempts",
        "_body",
        "_head",
        "_link",
        "_rest",
        "_stream_id",
        "_upstreams",
        "connection",
        "is_over",
        "server_stream",
    )

    def __init__(self, upstreams: Upstreams, link: Link, stream_id: int, head: RequestHead, body: bytes) -> None:
        self._upstreams = upstreams
        self._link = link
        self._stream_id = stream_id
        self._head = head
        self._body = body
        self._attempts = 0
        #: Takes over when the answer comes in pieces.
        self._rest: Call | None = None
        self.connection: UpstreamConnection | None = None
        self.server_stream = 0
        self.is_over = False

    def begin(self) -> None:
        """Opens the stream to a member, now or when there is one."""
        chosen = self._upstreams.for_call(self._head.path)
        if chosen is None:
            self._upstreams.when_ready(self._on_ready)
        elif chosen.can_open_stream:
            self.connection = chosen
            self._attempts += 1
            self._upstreams.count(self._attempts)
            self.server_stream = chosen.open_stream(self._head.notes, self, self._body, True)
        else:
            chosen.when_room(self._go_on)

    def _go_on(self) -> None:
        if not self.is_over:
            self.begin()

    def _on_ready(self, connection: UpstreamConnection | None) -> None:
        if self.is_over:
            return
        if connection is not None:
            self.begin()
        else:
            self._fail(RpcError(Code.UNAVAILABLE, f"no endpoint is available: {self._upstreams.fault}"))

    def give_up(self) -> None:
        """The client is gone."""
        if self._rest is not None:
            self._rest.on_client_reset()
            return
        self.is_over = True
        if self.connection is not None:
            self.connection.reset_stream(self.server_stream, ErrorCode.CANCEL)

    def drained(self) -> None:
        """The client reads on."""
        if self._rest is not None:
            self._rest.credit_server(0)

    # --- The answer ------------------------------------------------------------------------------------------

    def on_response(self, status: int, fields: Pairs, data: bytes, trailers: Pairs) -> None:
        """See ResponseSink: the hot path."""
        self.is_over = True
        self._link.respond(
            self._stream_id, headers.grpc_response(status, fields), data, headers.grpc_trailers(trailers)
        )

    def on_head(self, status: int, fields: Pairs) -> None:
        """See ResponseSink. From here on it is a call like others."""
        self._in_pieces().on_server_head(status, fields)

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See ResponseSink."""
        self._in_pieces().on_server_data(data, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See ResponseSink."""
        self._in_pieces().on_server_end(trailers)

    def on_reset(self, error_code: int, may_have_left: bool, reason: str) -> None:
        """See ResponseSink."""
        if self._rest is not None:
            self._rest.on_server_reset(error_code, may_have_left, reason)
            return
        self.connection = None
        if self._attempts < limits.PROXY_ATTEMPTS and may_send_again(self._head.path, may_have_left):
            self.begin()
        elif reason:
            self._fail(RpcError(Code.UNAVAILABLE, f"the endpoint was lost: {reason}"))
        else:
            self.is_over = True
            self._link.reset_stream(self._stream_id, error_code)

    def on_drained(self) -> None:
        """See ResponseSink. Nothing is credited to the client: its request was gathered."""

    def _in_pieces(self) -> Call:
        rest = self._rest
        if rest is None:
            assert self.connection is not None, "an answer comes from somewhere"
            rest = self._rest = Call(self._upstreams, self._link, self._stream_id, self._head)
            rest.adopt(self.connection, self.server_stream)
        return rest

    def _fail(self, error: RpcError) -> None:
        self.is_over = True
        self._link.respond(self._stream_id, error_only(error), b"")


class WholeCallClient:
    """The call as the client's connection sees it: a routing.Sink, which hears of the end and of room only."""

    __slots__ = ("_call",)

    def __init__(self, call: WholeCall) -> None:
        self._call = call

    @property
    def endpoint(self) -> Url | None:
        """Where the call was sent, for the access log."""
        connection = self._call.connection
        return None if connection is None else connection.target

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink. Never called: all of it was here."""

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink. Never called."""

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        self._call.give_up()

    def on_drained(self) -> None:
        """See routing.Sink."""
        self._call.drained()


def forward_whole(upstreams: Upstreams, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
    """Sends it on; None when it is answered already."""
    call = WholeCall(upstreams, link, stream_id, head, body)
    call.begin()
    return None if call.is_over else WholeCallClient(call)
