"""Does: the calls of `etcdserverpb.Lease`. Granting and revoking go through the log, the rest is the leader's word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

import trio
from google.protobuf.message import DecodeError

from dualmode import errors, limits
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY
from dualmode.member.leader_streams import LeaderStreams
from dualmode.member.lease.access import Guard, Leader, NoGuard, ProposeFor
from dualmode.member.lease.lessor import Lease, Lessor
from dualmode.member.lease.waiting import Answer, Outcome
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.decode import decode
from dualmode.rpc.framing import frame
from dualmode.storage.varints import varint

_SERVICE = "etcdserverpb.Lease"

#: What a request to keep a lease alive asks for: the lease, the answer behind its header, and the TTL in there.
_Asked = tuple[int, bytes, int]
_NOTHING: _Asked = (0, b"", 0)


class AttachedKeys(Protocol):
    """Which keys hang on a lease (`storage.leases.Leases`)."""

    def keys_of(self, lease_id: int) -> Iterable[bytes]:
        """In ascending order."""


class LeaseService:
    """`etcdserverpb.Lease` of one member.

    `header_field` gives the header of an answer now (field 1, tag and length included), `next_lease_id` a positive id
    for a lease whose client leaves the choice to us, `now` the lessor's clock.
    """

    def __init__(
        self,
        lessor: Lessor,
        attached: AttachedKeys,
        leader: Leader,
        leader_streams: LeaderStreams,
        *,
        propose: ProposeFor,
        header_field: Callable[[], bytes],
        next_lease_id: Callable[[], int],
        request_timeout_seconds: float,
        now: Callable[[], float] = trio.current_time,
        guard: Guard | None = None,
    ) -> None:
        self._lessor = lessor
        self._attached = attached
        self._leader = leader
        self._leader_streams = leader_streams
        self._propose = propose
        self._header_field = header_field
        self._next_lease_id = next_lease_id
        self._request_timeout_seconds = request_timeout_seconds
        self._now = now
        self._guard = guard or NoGuard()
        #: By the requests of keep-alive streams.
        self._asked_for: dict[bytes, _Asked] = {}

    def methods(self) -> list[Method]:
        """What the method table takes."""
        return [
            Method(_SERVICE, "LeaseGrant", Kind.UNARY, *_messages("LeaseGrant"), self.grant),
            Method(_SERVICE, "LeaseRevoke", Kind.UNARY, *_messages("LeaseRevoke"), self.revoke),
            Method(_SERVICE, "LeaseKeepAlive", Kind.BIDI, *_messages("LeaseKeepAlive"), self.keep_alive),
            Method(_SERVICE, "LeaseTimeToLive", Kind.UNARY, *_messages("LeaseTimeToLive"), self.time_to_live),
            Method(_SERVICE, "LeaseLeases", Kind.UNARY, *_messages("LeaseLeases"), self.leases),
        ]

    # --- Through the log ---------------------------------------------------------------------------------------

    def grant(self, call: UnaryCall, message: bytes) -> None:
        """A lease without an id gets one of ours, which is then part of the proposal: every member must use it."""
        request = decode(etcdserverpb.LeaseGrantRequest, message)
        caller = self._guard.check_user(call)
        if request.ID == 0:
            while request.ID == 0 or self._lessor.has(request.ID):
                request.ID = self._next_lease_id()
            message = request.SerializeToString()
        self._propose(requests.LEASE_GRANT, message, request, call, caller)

    def revoke(self, call: UnaryCall, message: bytes) -> None:
        """Answered when the lease and its keys are gone."""
        request = decode(etcdserverpb.LeaseRevokeRequest, message)
        caller = self._guard.check_user(call)
        self._propose(requests.LEASE_REVOKE, message, request, call, caller)

    # --- Keep-alive --------------------------------------------------------------------------------------------

    async def keep_alive(self, stream: ServerStream) -> None:
        """One answer for each request, with TTL 0 for a lease that does not exist (any more)."""
        stream.answer_at_once(partial(self._answer_at_once, stream))
        with self._leader_streams.holding(stream):
            while (message := await stream.receive()) is not None:
                if self._answer_at_once(stream, [message]):
                    continue
                lease_id = decode(etcdserverpb.LeaseKeepAliveRequest, message).ID
                self._guard.check_renewal(stream, lease_id)
                # etcd fills the header in before it renews: it must not tell a revision the lease did not live to see.
                header_field = self._header_field()
                ttl = await self._renew(lease_id)
                await stream.send(header_field + _id_field(lease_id) + _ttl_field(ttl))

    def _answer_at_once(self, stream: ServerStream, messages: list[bytes]) -> int:
        """The usual case, which waits for nothing: this member surely leads, the leases are alive, and the client
        reads. Returns how many requests were answered; the task looks at the next one."""
        lessor, asked_for, check_renewal = self._lessor, self._asked_for, self._guard.check_renewal
        if not (lessor.is_primary and self._leader.is_confirmed) or stream.unsent_bytes > limits.STREAM_UNSENT_BYTES:
            return 0
        header_field, now = self._header_field(), self._now()
        frames: list[bytes] = []
        try:
            for message in messages:
                lease_id, answer, answer_ttl = asked_for.get(message) or self._read(message)
                check_renewal(stream, lease_id)
                ttl = lessor.renew_at_once(lease_id, now)
                if not ttl:
                    break
                if ttl != answer_ttl:
                    answer = b"\x10%b\x18%b" % (message[1:], varint(ttl))
                    self._remember(message, lease_id, answer, ttl)
                frames.append(frame(header_field + answer))
        except RpcError as error:
            error.forget_raising()  # the task is told the same
        if frames:
            stream.send_frames(b"".join(frames), len(frames))
        return len(frames)

    def _read(self, message: bytes) -> _Asked:
        """A request that is nothing but the id of a lease. Anything else is taken for lease 0, which does not exist."""
        try:
            lease_id = int(etcdserverpb.LeaseKeepAliveRequest.FromString(message).ID)
        except DecodeError:
            return _NOTHING
        return (lease_id, b"", 0) if message == b"\x08" + varint(lease_id) else _NOTHING

    def _remember(self, message: bytes, lease_id: int, answer: bytes, ttl: int) -> None:
        """Clients ask the same, byte for byte, for as long as they hold a lease."""
        if len(self._asked_for) >= limits.REMEMBERED_KEEP_ALIVES:
            self._asked_for.clear()
        self._asked_for[message] = lease_id, answer, ttl

    async def _renew(self, lease_id: int) -> int:
        try:
            with trio.fail_after(self._request_timeout_seconds):
                while True:
                    ttl = await self.renew_here(lease_id) if self._lessor.is_primary else None
                    if ttl is None and not self._lessor.is_primary:
                        ttl = await self._leader.keep_alive(lease_id)
                    if ttl is not None:
                        return ttl
        except trio.TooSlowError:
            raise errors.TIMEOUT from None
        except RpcError as error:
            if error == errors.LEASE_NOT_FOUND:
                error.forget_raising()
                return 0
            raise

    async def renew_here(self, lease_id: int) -> int | None:
        """Renews on this member, for clients and for other members: the TTL, or None if it ceased to lead meanwhile.

        Raises LEASE_NOT_FOUND, LEADER_CHANGED, NOT_LEADER. An expired lease is not answered for until it has been
        revoked: a leader that is lost before may leave it alive.
        """
        lessor = self._lessor
        if not self._leader.is_confirmed:
            await self._leader.confirm()
        lease = lessor.get(lease_id)
        if lease is not None and lease.remaining_seconds:
            await self._clear_checkpoint(lease_id)
        ttl = lessor.renew(lease_id, self._now())
        if ttl:
            return ttl
        ended = Outcome()
        lessor.when_ended(lease_id, ended.tell)
        if await ended.wait():
            raise errors.LEASE_NOT_FOUND
        return None

    async def _clear_checkpoint(self, lease_id: int) -> None:
        """A lease that is renewed has its whole time again, also for the next leader, before the client hears so."""
        request = etcdserverpb.LeaseCheckpointRequest(checkpoints=[etcdserverpb.LeaseCheckpoint(ID=lease_id)])
        done = Answer()
        self._propose(requests.LEASE_CHECKPOINT, request.SerializeToString(), request, done, NOBODY)
        await done.wait()

    # --- Questions ---------------------------------------------------------------------------------------------

    def time_to_live(self, call: UnaryCall, message: bytes) -> None:
        """The leader counts the time, so it is asked if this member is not it. TTL -1 says that there is no lease."""
        request = decode(etcdserverpb.LeaseTimeToLiveRequest, message)
        self._guard.check_user(call)
        if self._lessor.is_primary:
            self._answer_time_to_live(call, self.time_to_live_here(request))
        else:
            call.spawn(self._ask_time_to_live, call, request)

    def time_to_live_here(self, request: Any) -> Any:
        """A LeaseTimeToLiveResponse without header, for clients and for other members; TTL -1: no such lease."""
        answer = etcdserverpb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
        lease = self._lessor.get(request.ID)
        if lease is not None:
            answer.TTL = self._lessor.remaining_seconds(lease, self._now())
            answer.grantedTTL = lease.ttl_seconds
            if request.keys:
                answer.keys.extend(self._attached.keys_of(request.ID))
        return answer

    async def _ask_time_to_live(self, call: UnaryCall, request: Any) -> None:
        try:
            with trio.fail_after(self._request_timeout_seconds):
                answer = await self._leader.time_to_live(request)
        except trio.TooSlowError:
            raise errors.TIMEOUT from None
        except RpcError as error:
            if error != errors.LEASE_NOT_FOUND:
                raise
            error.forget_raising()
            answer = etcdserverpb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
        self._answer_time_to_live(call, answer)

    def _answer_time_to_live(self, call: UnaryCall, answer: Any) -> None:
        self._guard.check_readable(call, answer.keys)
        call.reply(self._header_field() + answer.SerializeToString())

    def leases(self, call: UnaryCall, message: bytes) -> None:
        """The leases this member knows, the next to expire first; it reads no log."""
        decode(etcdserverpb.LeaseLeasesRequest, message)
        self._guard.check_user(call)
        leases = self._lessor.by_expiry()
        if not self._guard.sees_every_lease(call):
            leases = [lease for lease in leases if self._may_see(call, lease)]
        statuses = [etcdserverpb.LeaseStatus(ID=lease.lease_id) for lease in leases]
        call.reply(self._header_field() + etcdserverpb.LeaseLeasesResponse(leases=statuses).SerializeToString())

    def _may_see(self, call: UnaryCall, lease: Lease) -> bool:
        try:
            self._guard.check_readable(call, self._attached.keys_of(lease.lease_id))
        except RpcError as error:
            error.forget_raising()
            return False
        return True


def _messages(method: str) -> tuple[Any, Any]:
    return getattr(etcdserverpb, method + "Request"), getattr(etcdserverpb, method + "Response")


def _id_field(lease_id: int) -> bytes:
    return b"\x10" + varint(lease_id) if lease_id else b""


def _ttl_field(ttl_seconds: int) -> bytes:
    return b"\x18" + varint(ttl_seconds) if ttl_seconds else b""
