"""Does: one forwarded gRPC call in pieces: two streams tied together, one of a client, one to a member.

Heads, bytes and trailers pass as they come, a reset of one ends the other. Credit (flow control) passes too: bytes are
acknowledged to their sender when the other side has taken them, so a slow reader holds its own sender back and nobody
else, and a call holds a bounded amount.

While no answer has begun, the request is kept: if the member is lost, it goes to another one, but only a request that
provably never arrived or one that only reads (`proxy/reads.py`).
"""

from __future__ import annotations

from dualmode import limits
from dualmode.client.connection import UpstreamConnection
from dualmode.errors import Code, RpcError
from dualmode.http.interface import ErrorCode, Fields, Pairs, RequestHead
from dualmode.http.routing import Link
from dualmode.proxy import headers
from dualmode.proxy.reads import may_send_again
from dualmode.proxy.upstreams import Upstreams
from dualmode.rpc.status import error_only, error_trailers
from dualmode.urls import Url


class Call:
    """One forwarded call: what both halves share, and how it ends."""

    __slots__ = (
        "_attempts",
        "_body",
        "_chosen",
        "_head",
        "_held_from_client",
        "_held_from_server",
        "_is_answered",
        "_is_client_done",
        "_is_over",
        "_request",
        "_request_bytes",
        "_upstreams",
        "connection",
        "from_client",
        "from_server",
        "head",
        "link",
        "server_stream",
        "stream_id",
    )

    def __init__(self, upstreams: Upstreams, link: Link, stream_id: int, head: RequestHead) -> None:
        self._upstreams = upstreams
        self.link = link
        self.stream_id = stream_id
        self.head = head
        self.from_client = _FromClient(self)
        self.from_server = _FromServer(self)
        #: Where it is to go.
        self._chosen: UpstreamConnection | None = None
        #: The member's side; None while the call waits for a connection.
        self.connection: UpstreamConnection | None = None
        self.server_stream = 0
        #: The request so far, kept as long as it may have to be sent (again); None when it may not.
        self._request: list[bytes] | None = []
        self._request_bytes = 0
        self._is_client_done = False
        self._is_answered = False
        self._is_over = False
        self._attempts = 0
        #: Of the answer: what the read under way has brought. Mostly that is all of it, and leaves in one piece.
        self._head: Fields | None = None
        self._body: list[bytes] = []
        #: Not acknowledged yet, because the other side has not taken it.
        self._held_from_client = 0
        self._held_from_server = 0

    def adopt(self, connection: UpstreamConnection, server_stream: int) -> None:
        """Takes over a call whose request has gone there as a whole, before anything of its answer."""
        self.connection = connection
        self.server_stream = server_stream
        self._request = None
        self._is_client_done = True

    # --- To the member ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Opens the stream to a member when this read is handled (then a unary request is here as a whole), or when
        there is a member."""
        chosen = self._chosen = self._upstreams.for_call(self.head.path)
        if chosen is None:
            self._upstreams.when_ready(self._on_ready)
        else:
            chosen.at_flush(self._try_to_open)

    def _try_to_open(self) -> None:
        chosen = self._chosen
        assert chosen is not None, "it was chosen"
        if self._is_over:
            return
        if chosen.can_open_stream:
            self._open(chosen)
        elif chosen.is_open:
            chosen.when_room(self.begin)
        else:
            self.begin()

    def _on_ready(self, connection: UpstreamConnection | None) -> None:
        if connection is not None:
            self.begin()
        elif not self._is_over:
            self._fail(RpcError(Code.UNAVAILABLE, f"no endpoint is available: {self._upstreams.fault}"))

    def _open(self, connection: UpstreamConnection) -> None:
        assert self._request is not None, "only what is kept is sent"
        self.connection = connection
        self._attempts += 1
        self._upstreams.count(self._attempts)
        body = b"".join(self._request)
        self.server_stream = connection.open_stream(self.head.notes, self.from_server, body, self._is_client_done)
        if self._held_from_client:
            self.credit_client(0)

    def on_client_data(self, data: bytes, flow_bytes: int) -> None:
        """Body bytes of the request."""
        if self._request is not None:
            self._keep(data)
        if self.connection is None:
            self._held_from_client += flow_bytes  # the client's window bounds what is kept here
            return
        self.connection.send_data(self.server_stream, data)
        self.credit_client(flow_bytes)

    def on_client_end(self) -> None:
        """The client has half-closed."""
        self._is_client_done = True
        if self.connection is not None:
            self.connection.end_stream(self.server_stream)

    def on_client_reset(self) -> None:
        """The client has given up, or is gone."""
        self._is_over = True
        if self.connection is not None:
            self.connection.reset_stream(self.server_stream, ErrorCode.CANCEL)

    def credit_client(self, flow_bytes: int) -> None:
        """The client may send on, unless the member does not take what is here."""
        self._held_from_client += flow_bytes
        connection = self.connection
        if connection is None or connection.unsent_bytes(self.server_stream) > limits.PROXY_UNSENT_BYTES:
            return
        self.link.acknowledge(self.stream_id, self._held_from_client)
        self._held_from_client = 0

    def _keep(self, data: bytes) -> None:
        assert self._request is not None
        self._request.append(data)
        self._request_bytes += len(data)
        if self._request_bytes > limits.PROXY_RETAINED_BYTES and self.connection is not None:
            self._request = None

    # --- To the client ---------------------------------------------------------------------------------------

    def on_server_head(self, status: int, fields: Pairs) -> None:
        """The answer begins."""
        assert self.connection is not None, "an answer comes from somewhere"
        self._request = None
        self._is_answered = True
        self._head = headers.grpc_response(status, fields)
        self.connection.after_read(self._pass_on)

    def on_server_response(self, status: int, fields: Pairs, data: bytes, trailers: Pairs) -> None:
        """All of it at once."""
        self._is_over = True
        self.link.respond(self.stream_id, headers.grpc_response(status, fields), data, headers.grpc_trailers(trailers))

    def on_server_data(self, data: bytes, flow_bytes: int) -> None:
        """Body bytes of the answer."""
        if self._head is not None:
            self._body.append(data)
            self._held_from_server += flow_bytes
        else:
            self.link.send_data(self.stream_id, data)
            self.credit_server(flow_bytes)

    def _pass_on(self) -> None:
        """The read is over and the answer is not: what is here goes on its way."""
        head, self._head = self._head, None
        if head is None or self._is_over:
            return
        self.link.start_response(self.stream_id, head)
        if self._body:
            self.link.send_data(self.stream_id, b"".join(self._body))
            self._body.clear()
            self.credit_server(0)

    def on_server_end(self, trailers: Pairs) -> None:
        """The member has said all."""
        self._is_over = True
        end = headers.grpc_trailers(trailers)
        if self._head is not None:
            self.link.respond(self.stream_id, self._head, b"".join(self._body), end)
        else:
            self.link.end_stream(self.stream_id, end)

    def on_server_reset(self, error_code: int, may_have_left: bool, reason: str) -> None:
        """The member's stream is gone, or the member (`reason`)."""
        self._pass_on()
        self.connection = None
        if self._may_go_elsewhere(may_have_left):
            self.begin()
        elif reason:
            self._fail(RpcError(Code.UNAVAILABLE, f"the endpoint was lost: {reason}"))
        else:
            self._is_over = True
            self.link.reset_stream(self.stream_id, error_code)

    def credit_server(self, flow_bytes: int) -> None:
        """The member may send on, unless the client does not take what is here."""
        self._held_from_server += flow_bytes
        connection = self.connection
        if connection is None or self.link.unsent_bytes(self.stream_id) > limits.PROXY_UNSENT_BYTES:
            return
        connection.acknowledge(self.server_stream, self._held_from_server)
        self._held_from_server = 0

    def _may_go_elsewhere(self, may_have_left: bool) -> bool:
        return (
            self._request is not None
            and self._attempts < limits.PROXY_ATTEMPTS
            and may_send_again(self.head.path, may_have_left)
        )

    def _fail(self, error: RpcError) -> None:
        """Ends the call with a status of ours."""
        self._is_over = True
        if self._is_answered:
            self.link.end_stream(self.stream_id, error_trailers(error))
        else:
            self.link.respond(self.stream_id, error_only(error), b"")


class _FromClient:
    """The call as the client's connection sees it: a routing.Sink."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def endpoint(self) -> Url | None:
        """Where the call is, or was answered, for the access log."""
        connection = self._call.connection
        return connection.target if connection is not None else None

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        self._call.on_client_data(data, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink. gRPC knows no trailers of requests."""
        self._call.on_client_end()

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        self._call.on_client_reset()

    def on_drained(self) -> None:
        """See routing.Sink."""
        self._call.credit_server(0)


class _FromServer:
    """The call as the member's connection sees it: a ResponseSink."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def on_head(self, status: int, fields: Pairs) -> None:
        """See ResponseSink."""
        self._call.on_server_head(status, fields)

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See ResponseSink."""
        self._call.on_server_data(data, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See ResponseSink."""
        self._call.on_server_end(trailers)

    def on_response(self, status: int, fields: Pairs, data: bytes, trailers: Pairs) -> None:
        """See ResponseSink."""
        self._call.on_server_response(status, fields, data, trailers)

    def on_reset(self, error_code: int, may_have_left: bool, reason: str) -> None:
        """See ResponseSink."""
        self._call.on_server_reset(error_code, may_have_left, reason)

    def on_drained(self) -> None:
        """See ResponseSink."""
        self._call.credit_client(0)
