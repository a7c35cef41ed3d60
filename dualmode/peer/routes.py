"""Does: what the peer listener answers: streams, posted messages, snapshots, and the plain pages of 4.5 of etcd's
peer protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError

from dualmode import errors, limits
from dualmode.api import etcdserverpb, leasepb
from dualmode.edge.mux import MuxBuilder
from dualmode.errors import PeerError, RpcError
from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import Link, Mux, Sink
from dualmode.peer.answers import JSON, REMOVED_BODY, TEXT, answer, check_sender, error
from dualmode.peer.codec import decode_message
from dualmode.peer.identity_headers import addressee_of, answer_fields, parse_id, refusal_of, sender_of
from dualmode.peer.interface import PeerService
from dualmode.peer.member import Member
from dualmode.peer.remote_peer import APPEND, MESSAGE, Attached
from dualmode.peer.snapshot_route import SnapshotRoute
from dualmode.peer.transport import PeerTransport
from dualmode.raft import MessageType


def peer_mux(transport: PeerTransport, service: PeerService) -> Mux:
    """Everything of the peer listener; 404 for the rest."""
    builder = MuxBuilder()
    builder.path(b"/raft", PipelineRoute(transport))
    builder.path(b"/raft/snapshot", SnapshotRoute(transport))
    for kind in (MESSAGE, APPEND):
        builder.prefix(f"/raft/stream/{kind}/".encode(), StreamRoute(transport, kind))
    pages = PlainPages(transport, service)
    builder.path(b"/raft/probing", _Page(pages.probing))
    builder.path(b"/members", _Page(pages.members))
    builder.path(b"/version", _Page(pages.version))
    builder.path(b"/downgrade/enabled", _Page(pages.downgrade_enabled))
    builder.path(b"/members/hashkv", _Page(pages.hash_kv))
    builder.prefix(b"/members/promote/", _Page(pages.promote, b"POST"))
    builder.path(b"/leases", _Page(pages.keep_alive, b"POST"))
    builder.path(b"/leases/internal", _Page(pages.time_to_live, b"POST"))
    return builder.build()


class StreamRoute:
    """A peer asks for a stream of what we have to say."""

    body_limit = 0

    def __init__(self, transport: PeerTransport, kind: str) -> None:
        self._transport = transport
        self._kind = kind

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        transport, identity = self._transport, self._transport.identity
        more = answer_fields(identity, says_version=True)
        if head.method != b"GET":
            error(link, stream_id, 405, "Method Not Allowed", ((b"allow", b"GET"), *more))
            return None
        refusal = refusal_of(head, identity)
        if refusal is not None:
            error(link, stream_id, 412, refusal, more)
            return None
        sender = parse_id(head.path.partition(b"?")[0].rpartition(b"/")[2])
        if sender is None:
            error(link, stream_id, 404, "invalid from", more)
        elif transport.receiver.is_removed(sender):
            error(link, stream_id, 410, "removed member", more)
        elif (peer := transport.peers.get(sender)) is None or peer.is_remote:
            urls = sender_of(head)[1]
            if urls:
                transport.add_remote(sender, urls)
            error(link, stream_id, 404, "error sender not found", more)
        elif addressee_of(head) != b"%x" % identity.member_id:
            error(link, stream_id, 412, "to field mismatch", more)
        else:
            return self._attach(link, stream_id, sender, more)
        return None

    def _attach(self, link: Link, stream_id: int, sender: int, more: Pairs) -> Sink:
        link.start_response(stream_id, Fields((b":status", b"200"), *more))
        peer = self._transport.peers[sender]
        attached = Attached(link, stream_id, self._kind, self._transport.entry_blocks)
        peer.attach(self._kind, attached)
        return _Detach(lambda: peer.detach(self._kind, attached))

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """A body says nothing here."""
        self.serve(link, stream_id, head, b"")


class _Detach:
    """The Sink of a stream: hears only of its end."""

    def __init__(self, detach: Callable[[], None]) -> None:
        self._detach = detach

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink."""

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        self._detach()

    def on_drained(self) -> None:
        """See routing.Sink."""


class PipelineRoute:
    """A peer posts one message."""

    body_limit = limits.PEER_PIPELINE_BYTES

    def __init__(self, transport: PeerTransport) -> None:
        self._transport = transport

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        transport = self._transport
        more = answer_fields(transport.identity)
        if not check_sender(transport, link, stream_id, head):
            return None
        try:
            message = decode_message(body)
            if message.type is MessageType.SNAPSHOT:
                raise PeerError("a snapshot without its database")
        except PeerError:
            error(link, stream_id, 400, "error unmarshalling raft message", more)
            return None
        if transport.receiver.is_removed(message.sender):
            answer(link, stream_id, 403, REMOVED_BODY, JSON, more)
            return None
        if message.to == transport.identity.member_id:
            transport.receiver.receive(message)
        link.respond(stream_id, Fields((b":status", b"204"), *more), b"")
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        error(link, stream_id, 400, "error reading raft message", answer_fields(self._transport.identity))


Page = Callable[[RequestHead, bytes], Awaitable[tuple[int, bytes, str]]]


class _Page:
    """The Route of a plain page; its answer is awaited."""

    body_limit = limits.PEER_BODY_BYTES

    def __init__(self, page: Page, method: bytes = b"GET") -> None:
        self._page = page
        self._method = method

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if head.method != self._method:
            error(link, stream_id, 405, "Method Not Allowed", ((b"allow", self._method),))
            return None

        async def respond() -> None:
            try:
                status, content, content_type = await self._page(head, body)
            except _PageError as refused:
                error(link, stream_id, refused.status, refused.text)
                return
            more = ((b"x-etcd-cluster-id", head.notes),) if isinstance(head.notes, bytes) else ()
            answer(link, stream_id, status, content, content_type, more)

        link.spawn(respond)
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        error(link, stream_id, 400, "error reading body")


class _PageError(Exception):
    """A page that is answered with an error: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class PlainPages:
    """The pages, made from the member's answers."""

    def __init__(self, transport: PeerTransport, service: PeerService) -> None:
        self._transport = transport
        self._service = service

    async def probing(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """Whether somebody is here, and what the time is."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return 200, _json({"OK": True, "Now": now}), TEXT

    async def members(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """Who the members are; the cluster's id is in a header."""
        head.notes = b"%x" % self._transport.identity.cluster_id
        return 200, _members(self._service.members()), JSON

    async def version(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """As on the client listener."""
        return 200, _json(self._service.versions()).rstrip(), JSON

    async def downgrade_enabled(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """Whether a downgrade is under way."""
        return 200, b"true" if self._service.is_downgrade_enabled() else b"false", TEXT

    async def promote(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """A promotion that another member was asked for; the id is in decimal."""
        text = head.path.partition(b"?")[0].rpartition(b"/")[2].decode("latin-1")
        if not (text.isascii() and text.isdigit()) or len(text) > 20:
            raise _PageError(404, f"member {text} not found in cluster")
        try:
            members = await self._service.promote(int(text))
        except RpcError as refused:
            if refused == errors.MEMBER_NOT_FOUND:
                raise _PageError(404, "membership: ID not found") from None
            if refused == errors.MEMBER_NOT_LEARNER:
                raise _PageError(412, "membership: can only promote a learner member") from None
            if refused == errors.LEARNER_NOT_READY:
                raise _PageError(412, refused.message) from None
            raise _PageError(500, '{"message":"Internal Server Error"}') from None
        return 200, _members(members), JSON

    async def keep_alive(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """A lease that another member was asked to renew."""
        request = _decoded(etcdserverpb.LeaseKeepAliveRequest, body)
        ttl = await _leased(self._service.keep_alive(request.ID))
        answer = etcdserverpb.LeaseKeepAliveResponse(ID=request.ID, TTL=ttl)
        return 200, bytes(answer.SerializeToString()), "application/protobuf"

    async def time_to_live(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """A lease that another member was asked about."""
        request = _decoded(leasepb.LeaseInternalRequest, body).LeaseTimeToLiveRequest
        found = await _leased(self._service.time_to_live(request.ID, request.keys))
        inner = etcdserverpb.LeaseTimeToLiveResponse.FromString(found)
        inner.header.SetInParent()
        answer = leasepb.LeaseInternalResponse(LeaseTimeToLiveResponse=inner)
        return 200, bytes(answer.SerializeToString()), "application/protobuf"

    async def hash_kv(self, head: RequestHead, body: bytes) -> tuple[int, bytes, str]:
        """The hash of what is stored here up to a revision."""
        theirs = head.get(b"x-etcd-cluster-id")
        if theirs is not None and theirs != b"%x" % self._transport.identity.cluster_id:
            raise _PageError(412, "cluster ID mismatch")
        try:
            revision = json.loads(body or b"{}").get("revision", 0)
            if type(revision) is not int:
                raise TypeError
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise _PageError(400, "error unmarshalling request") from None
        try:
            found = await self._service.hash_kv(revision)
        except RpcError as refused:
            raise _PageError(400, refused.message.removeprefix("etcdserver: ")) from None
        fields = {
            "header": {"revision": found.revision},
            "hash": found.hash,
            "compact_revision": found.compact_revision,
            "hash_revision": found.hash_revision,
        }
        return 200, _json(fields), JSON


async def _leased(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except RpcError as refused:
        if refused == errors.LEASE_NOT_FOUND:
            raise _PageError(404, "lease not found") from None
        if refused == errors.TIMEOUT_WAIT_APPLIED:
            raise _PageError(408, "waiting for node to catch up its applied index has timed out") from None
        raise _PageError(400, "not a primary lessor") from None


def _decoded(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise _PageError(400, "error unmarshalling request") from None


def _members(members: list[Member]) -> bytes:
    return _json([member.to_json() for member in members])


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
