"""Does: gives the calls of clients that show a certificate the token of the user whom it names.

A client's certificate ends at the proxy, and the proxy's own says nothing about clients. So the common name is taken
for the name of a user, the proxy logs in as that user with a password of its own file, and the token goes with the call
as if the client had brought it. A client that brings a token is left alone. A name that the file does not have is
refused, unless the proxy is told to let such clients pass as nobody.

A token that the member refuses (it was restarted, users have changed) is replaced, and the call made once more: it was
refused, so it did nothing.
"""

from __future__ import annotations

from typing import Final

from dualmode import limits
from dualmode.edge.mux import is_grpc
from dualmode.errors import Code, RpcError
from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import Link, LinkAround, PeerIdentity, Route, Sink
from dualmode.proxy.answers import refuse
from dualmode.proxy.identity.logins import Login, Logins
from dualmode.rpc.json_paths import ALIASES, PREFIX

_GATEWAY: Final = tuple(f"{prefix}/".encode() for prefix in (PREFIX, *ALIASES))
_OWN: Final = (b"token", b"authorization")
_INVALID_TOKEN: Final = b"16"
_OLD_REVISION: Final = b"etcdserver: revision of auth store is old"


class IdentityGuard:
    """An `edge.mux.Guard`."""

    def __init__(self, logins: Logins, *, lets_unknown_pass: bool) -> None:
        self._logins = logins
        self._lets_unknown_pass = lets_unknown_pass

    def __call__(self, head: RequestHead, peer: PeerIdentity, route: Route) -> Route:
        """The route itself for who names nobody, or says who they are; else one that goes with a token."""
        user = peer.common_name
        if not user or not _is_for_somebody(head) or any(head.get(name) is not None for name in _OWN):
            return route
        if self._logins.knows(user):
            return LoggedInRoute(route, user, self._logins)
        return route if self._lets_unknown_pass else StrangerRoute(route, user, self._logins)


class StrangerRoute:
    """Refuses, until the file knows the name: a connection keeps its routes, and outlives the file as it was."""

    def __init__(self, route: Route, user: str, logins: Logins) -> None:
        self._welcome = LoggedInRoute(route, user, logins)
        self._user = user
        self._logins = logins
        self.body_limit = route.body_limit
        self._error = RpcError(
            Code.PERMISSION_DENIED, f"dualmode: the certificate names {user!r}, for whom this proxy has no credentials"
        )

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if self._logins.knows(self._user):
            return self._welcome.serve(link, stream_id, head, body)
        refuse(link, stream_id, head, self._error)
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Whatever comes with it."""
        refuse(link, stream_id, head, self._error)


class LoggedInRoute:
    """Another route, whose calls carry the token of a user."""

    def __init__(self, route: Route, user: str, logins: Logins) -> None:
        self._route = route
        self._user = user
        self._logins = logins
        self.body_limit = route.body_limit

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink:
        """See routing.Route."""
        call = LoggedInCall(self._route, self._user, self._logins, link, stream_id, head, body)
        call.begin()
        return call

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        self._route.refuse_body(link, stream_id, head, start)


class LoggedInCall(LinkAround):
    """One call: the Sink that the client's connection feeds, and the Link that the route behind answers on."""

    __slots__ = (
        "_body",
        "_head",
        "_is_answered",
        "_is_ended",
        "_is_over",
        "_logins",
        "_may_repeat",
        "_pieces",
        "_retained_bytes",
        "_route",
        "_sink",
        "_stream_id",
        "_token",
        "_untaken_bytes",
        "_user",
    )

    def __init__(
        self, route: Route, user: str, logins: Logins, link: Link, stream_id: int, head: RequestHead, body: bytes
    ) -> None:
        self._route = route
        self._user = user
        self._logins = logins
        super().__init__(link)
        self._stream_id = stream_id
        self._head = head
        self._body = body
        self._token = ""
        self._sink: Sink | None = None
        #: Of a streamed body: what has come, for as long as the call may have to be made (again).
        self._pieces: list[bytes] | None = []
        self._retained_bytes = 0
        #: Flow-control bytes of what no route has taken yet: the client's window bounds them.
        self._untaken_bytes = 0
        self._may_repeat = True
        self._is_ended = self._is_answered = self._is_over = False

    def begin(self) -> None:
        """Goes on when there is a token."""
        self._logins.ask(self._user, self._go)

    def _go(self, login: Login) -> None:
        if self._is_over:
            return
        if login.error is not None:
            self._is_over = True
            refuse(self._link, self._stream_id, self._head, login.error)
            return
        self._token = login.token
        sink = self._sink = self._route.serve(self, self._stream_id, self._with_token(), self._body)
        if sink is None or self._pieces is None:
            return
        flow_bytes, self._untaken_bytes = self._untaken_bytes, 0
        if self._pieces:
            sink.on_data(b"".join(self._pieces), flow_bytes)
        if self._is_ended:
            sink.on_end(())

    def _with_token(self) -> RequestHead:
        head = self._head
        if not self._token:
            return head
        name = b"token" if is_grpc(head) else b"authorization"
        fields = (*head.fields, (name, self._token.encode()))
        return RequestHead(head.method, head.scheme, head.authority, head.path, fields, head.version)

    # --- As a Sink -------------------------------------------------------------------------------------------

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        if self._pieces is not None:
            self._pieces.append(data)
            self._retained_bytes += len(data)
        if self._sink is None:
            self._untaken_bytes += flow_bytes
            return
        if self._retained_bytes > limits.PROXY_RETAINED_BYTES:
            self._pieces, self._may_repeat = None, False
        self._sink.on_data(data, flow_bytes)

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink."""
        self._is_ended = True
        if self._sink is not None:
            self._sink.on_end(trailers)

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        self._is_over = True
        if self._sink is not None:
            self._sink.on_reset(error_code)

    def on_drained(self) -> None:
        """See routing.Sink."""
        if self._sink is not None:
            self._sink.on_drained()

    # --- As a Link -------------------------------------------------------------------------------------------

    def respond(self, stream_id: int, head: Fields, body: bytes, trailers: Fields | None = None) -> None:
        """See routing.Link. A refused token is looked for here: such an answer comes whole, and alone."""
        if self._token and _is_refusal(head):
            self._logins.forget(self._user, self._token)
            if self._may_repeat and not self._is_answered:
                self._may_repeat = False
                self._sink = None
                self.begin()
                return
        self._answered()
        self._link.respond(stream_id, head, body, trailers)

    def start_response(self, stream_id: int, head: Fields) -> None:
        """See routing.Link."""
        if self._token and _is_refusal(head):
            self._logins.forget(self._user, self._token)
        self._answered()
        self._link.start_response(stream_id, head)

    def _answered(self) -> None:
        self._is_answered = True
        self._pieces = None


def _is_for_somebody(head: RequestHead) -> bool:
    """Calls and the gateway's paths; pages of health and metrics ask nobody who they are."""
    return is_grpc(head) or head.path.startswith(_GATEWAY)


def _is_refusal(head: Fields) -> bool:
    status = head.get(b"grpc-status")
    if status is None:
        return head.get(b":status") == b"401"
    return status == _INVALID_TOKEN or head.get(b"grpc-message") == _OLD_REVISION
