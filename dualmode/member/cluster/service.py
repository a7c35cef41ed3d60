"""Does: the Cluster service: who the members are, and changes of that through the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import trio

from dualmode import errors, limits, log
from dualmode.api import etcdserverpb
from dualmode.errors import PeerError, RpcError
from dualmode.member import identity
from dualmode.member.cluster import conf_changes, reconfiguration
from dualmode.member.cluster.reconfiguration import ConnectedSince
from dualmode.member.replica import Replica
from dualmode.peer.member import Member
from dualmode.raft import ConfChange
from dualmode.rpc.calls import Kind, Method, Reply, UnaryCall
from dualmode.rpc.decode import decode
from dualmode.rpc.local import AwaitableReply
from dualmode.urls import parse_url

_SERVICE = "etcdserverpb.Cluster"
_log = log.get("member")

#: Asks a peer URL of the leader to promote a member.
PromoteThere = Callable[[str, int], Awaitable[list[Member]]]


class ClusterService:
    """`etcdserverpb.Cluster` of one member."""

    def __init__(
        self,
        replica: Replica,
        next_change_id: Callable[[], int],
        unix_seconds: Callable[[], float],
        *,
        is_strict: bool,
        request_timeout_seconds: float,
    ) -> None:
        self._replica = replica
        self._next_change_id = next_change_id
        self._unix_seconds = unix_seconds
        self._is_strict = is_strict
        self._request_timeout_seconds = request_timeout_seconds
        #: Set when there are peers.
        self.connected_since: ConnectedSince = lambda member_id: None
        self.promote_there: PromoteThere = _nobody
        #: For the metrics; refusals by what they say.
        self.promotions = 0
        self.promotions_refused: dict[tuple[str, ...], int] = {}

    def methods(self) -> list[Method]:
        """What the method table takes."""
        handlers = {
            "MemberList": self.member_list,
            "MemberAdd": self.member_add,
            "MemberRemove": self.member_remove,
            "MemberUpdate": self.member_update,
            "MemberPromote": self.member_promote,
        }
        pb = etcdserverpb
        return [
            Method(_SERVICE, name, Kind.UNARY, getattr(pb, name + "Request"), getattr(pb, name + "Response"), handler)
            for name, handler in handlers.items()
        ]

    @property
    def members(self) -> list[Member]:
        """All members, by id, as of what this member has applied."""
        return self._replica.applier.membership.members()

    # --- Asking ----------------------------------------------------------------------------------------------

    def member_list(self, call: UnaryCall, message: bytes) -> None:
        """Linearizable when asked so. The header carries no revision, as etcd has it for all member calls."""
        request = decode(etcdserverpb.MemberListRequest, message)
        if request.linearizable:
            self._replica.intake.when_readable(lambda: self._answer_list(call), call)
        else:
            self._answer_list(call)

    def _answer_list(self, call: Reply) -> None:
        self._answer(call, etcdserverpb.MemberListResponse(members=self._messages()))

    def _answer(self, call: Reply, answer: Any) -> None:
        call.reply(self._replica.applier.headers.field(0) + bytes(answer.SerializeToString()))

    def _messages(self) -> list[Any]:
        return [member.to_message() for member in self.members]

    # --- Changing --------------------------------------------------------------------------------------------

    def member_add(self, call: UnaryCall, message: bytes) -> None:
        """A voter or a learner. Raises BAD_MEMBER_URLS, NOT_ENOUGH_STARTED, UNHEALTHY; what is wrong with it when it is
        applied is told by then."""
        request = decode(etcdserverpb.MemberAddRequest, message)
        urls = _checked(request.peerURLs)
        if self._is_strict and not request.isLearner:
            reconfiguration.check_addition(self.members, self._own_id, self.connected_since, trio.current_time())
        member_id = identity.member_id(urls, "", int(self._unix_seconds()))
        member = Member(member_id, tuple(sorted(urls)), is_learner=request.isLearner)
        call.spawn(self._add, call, member)

    async def _add(self, call: UnaryCall, member: Member) -> None:
        await self._change(conf_changes.add_change(self._next_change_id(), member))
        _log.info("added member", member_id=f"{member.id:x}", peer_urls=list(member.peer_urls))
        answer = etcdserverpb.MemberAddResponse(member=member.to_message(), members=self._messages())
        self._answer(call, answer)

    def member_remove(self, call: UnaryCall, message: bytes) -> None:
        """For ever. Raises MEMBER_NOT_FOUND, NOT_ENOUGH_STARTED, UNHEALTHY."""
        member_id = decode(etcdserverpb.MemberRemoveRequest, message).ID
        if self._is_strict:
            now = trio.current_time()
            reconfiguration.check_removal(self.members, member_id, self._own_id, self.connected_since, now)
        call.spawn(self._remove, call, member_id)

    async def remove_here(self, member_id: int) -> None:
        """Removes a member. Raises what is wrong with it when it is applied."""
        await self._change(conf_changes.remove_change(self._next_change_id(), member_id))
        _log.info("removed member", member_id=f"{member_id:x}")

    async def _remove(self, call: UnaryCall, member_id: int) -> None:
        await self.remove_here(member_id)
        self._answer(call, etcdserverpb.MemberRemoveResponse(members=self._messages()))

    def member_update(self, call: UnaryCall, message: bytes) -> None:
        """Other peer URLs. Raises MEMBER_NOT_FOUND; BAD_MEMBER_URLS where etcd would write them down as they are."""
        request = decode(etcdserverpb.MemberUpdateRequest, message)
        known = self._replica.applier.membership.get(request.ID)
        if known is None:
            raise errors.MEMBER_NOT_FOUND
        urls = _checked(request.peerURLs)
        member = replace(Member(known.id, tuple(sorted(urls))), is_learner=known.is_learner)
        call.spawn(self._update, call, member)

    async def _update(self, call: UnaryCall, member: Member) -> None:
        await self._change(conf_changes.update_change(self._next_change_id(), member))
        self._answer(call, etcdserverpb.MemberUpdateResponse(members=self._messages()))

    def member_promote(self, call: UnaryCall, message: bytes) -> None:
        """A learner to a voter, at the leader, wherever it is. Raises MEMBER_NOT_FOUND, MEMBER_NOT_LEARNER,
        LEARNER_NOT_READY, NOT_ENOUGH_STARTED."""
        member_id = decode(etcdserverpb.MemberPromoteRequest, message).ID
        call.spawn(self._promote, call, member_id)

    async def _promote(self, call: UnaryCall, member_id: int) -> None:
        members = await self._promote_anywhere(member_id)
        messages = [member.to_message() for member in members]
        self._answer(call, etcdserverpb.MemberPromoteResponse(members=messages))

    async def _promote_anywhere(self, member_id: int) -> list[Member]:
        try:
            with trio.fail_after(self._request_timeout_seconds):
                while True:
                    if self._replica.is_leader:
                        return await self.promote_here(member_id)
                    members = await self._promote_at_leader(member_id)
                    if members is not None:
                        return members
                    await trio.sleep(limits.LEADER_RETRY_SECONDS)
        except trio.TooSlowError:
            raise errors.TIMEOUT from None

    async def _promote_at_leader(self, member_id: int) -> list[Member] | None:
        leader = self._replica.applier.membership.get(self._replica.node.leader)
        for url in leader.peer_urls if leader is not None else ():
            try:
                return await self.promote_there(url, member_id)
            except PeerError as error:
                _log.warning("cannot ask the leader to promote a member", url=url, error=str(error))
        return None

    async def promote_here(self, member_id: int) -> list[Member]:
        """At the leader, for clients and for other members. Raises as `member_promote`, and NOT_LEADER."""
        try:
            self._check_is_ready(member_id)
            if self._is_strict:
                reconfiguration.check_promotion(self.members, member_id)
            await self._change(conf_changes.promote_change(self._next_change_id(), member_id))
        except RpcError as error:
            reason = (error.message,)
            self.promotions_refused[reason] = self.promotions_refused.get(reason, 0) + 1
            raise
        self.promotions += 1
        _log.info("promoted member", member_id=f"{member_id:x}")
        return self.members

    def _check_is_ready(self, member_id: int) -> None:
        """A learner that lags far behind would hold commits up as a voter."""
        node = self._replica.node
        progress = node.status().progress
        if not progress:
            raise errors.NOT_LEADER
        member = self._replica.applier.membership.get(member_id)
        if member is None or member_id not in progress:
            raise errors.MEMBER_NOT_FOUND
        if not member.is_learner:
            raise errors.MEMBER_NOT_LEARNER
        if progress[member_id].match < progress[node.id].match * limits.LEARNER_READY_SHARE:
            raise errors.LEARNER_NOT_READY

    @property
    def _own_id(self) -> int:
        return self._replica.node.id

    async def _change(self, change: ConfChange) -> None:
        outcome = AwaitableReply()
        self._replica.intake.propose_change(change, outcome)
        await outcome.result()


async def _nobody(url: str, member_id: int) -> list[Member]:
    raise PeerError("there are no other members")


def _checked(urls: Sequence[str]) -> list[str]:
    """Peer URLs that a client wants a member to have. Raises BAD_MEMBER_URLS."""
    try:
        parsed = [parse_url(url) for url in urls]
    except ValueError:
        raise errors.BAD_MEMBER_URLS from None
    if not parsed or any(not url.is_unix and not url.host for url in parsed):
        raise errors.BAD_MEMBER_URLS
    return [str(url) for url in parsed]
