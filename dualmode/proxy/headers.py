"""Decides: what becomes of headers on their way through the proxy (RFC 9110 section 7.6)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dualmode import limits
from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import PeerIdentity

#: Of one connection only, never forwarded. `te: trailers` is put back for gRPC, which wants it from every client.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_TE: Final = (b"te", b"trailers")


def end_to_end(fields: Pairs) -> Pairs:
    """Without the fields of the connection, those that `connection` names included."""
    named = {
        name.strip().lower() for key, value in fields if key == b"connection" for name in value.split(b",") if name
    }
    return tuple(pair for pair in fields if pair[0] not in HOP_BY_HOP and pair[0] not in named)


def grpc_request(head: RequestHead, scheme: bytes) -> Fields:
    """The head of a forwarded gRPC call: everything as the client sent it."""
    return Fields(
        (b":method", head.method),
        (b":scheme", scheme),
        (b":path", head.path),
        (b":authority", head.authority),
        _TE,
        *end_to_end(head.fields),
    )


@lru_cache(maxsize=limits.PROXY_REMEMBERED_HEADS)
def grpc_response(status: int, fields: Pairs) -> Fields:
    """The head of a forwarded answer. Few shapes, sent often: kept, so that each has its header block once."""
    return Fields((b":status", b"%d" % status), *end_to_end(fields))


@lru_cache(maxsize=limits.PROXY_REMEMBERED_HEADS)
def grpc_trailers(trailers: Pairs) -> Fields | None:
    """The end of a forwarded answer."""
    return Fields(*trailers) if trailers else None


def metadata(pairs: Pairs, is_gateway: bool) -> Pairs:
    """A caller's metadata on a call that is made anew for them: without what describes messages or a connection.

    From JSON any name may come. A call of the JSON gateway says so, or a member would take the proxy's certificate for
    the caller's.
    """
    kept = tuple(
        pair
        for pair in end_to_end(pairs)
        if pair[0] not in _OF_THE_MESSAGES and pair[0] and not pair[0].startswith(b":")
    )
    return (*kept, GATEWAY_MARK) if is_gateway and all(name != GATEWAY_MARK[0] for name, _ in kept) else kept


#: As etcd's gateway marks its calls.
GATEWAY_MARK: Final = (b"grpcgateway-accept", b"*/*")
_OF_THE_MESSAGES: Final = frozenset(
    {b"host", b"content-type", b"content-length", b"grpc-encoding", b"grpc-accept-encoding"}
)


def http_request(head: RequestHead, peer: PeerIdentity) -> list[tuple[bytes, bytes]]:
    """Fields of a forwarded plain HTTP request. The host is the endpoint's; whom the client asked is told beside."""
    kept = [(name, value) for name, value in end_to_end(head.fields) if name not in _REWRITTEN]
    forwarded_for = [value for name, value in head.fields if name == b"x-forwarded-for"]
    client = peer.address.rpartition(":")[0].strip("[]")
    if client:
        forwarded_for.append(client.encode())
    kept.append((b"x-forwarded-for", b", ".join(forwarded_for) or b"unknown"))
    kept.append((b"x-forwarded-host", head.get(b"x-forwarded-host") or head.authority))
    kept.append((b"x-forwarded-proto", head.get(b"x-forwarded-proto") or (b"https" if peer.is_tls else b"http")))
    return kept


def upgrade_request(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The same for a WebSocket: the handshake goes on to the member. Whether the page that asks may do so was ours to
    say, as CORS is."""
    kept = [pair for pair in fields if pair[0] != b"origin"]
    return [*kept, (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


def upgrade_response(fields: Pairs) -> Fields:
    """The member's yes to a WebSocket."""
    return http_response(101, fields).plus((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))


#: Written anew, or of the hop: `expect` is answered by us.
_REWRITTEN: Final = frozenset({b"host", b"expect", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})


def http_response(status: int, fields: Pairs) -> Fields:
    """The head of a forwarded plain answer. CORS is the proxy's own matter: two opinions would void each other."""
    kept = (pair for pair in end_to_end(fields) if not pair[0].startswith(b"access-control-"))
    return Fields((b":status", b"%d" % status), *kept)
