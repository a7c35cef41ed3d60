"""Does: the Election service (`v3electionpb.Election`): the leader is who has the oldest key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from dualmode.api import v3electionpb
from dualmode.errors import Code, RpcError
from dualmode.member.concurrency import recipes
from dualmode.member.concurrency.line import get_in
from dualmode.member.concurrency.local_client import LocalClient
from dualmode.member.leader_streams import LeaderStreams
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.decode import decode

_SERVICE: Final = "v3electionpb.Election"
_DELETE: Final = 1
_NO_LEADER: Final = RpcError(Code.UNKNOWN, "election: no leader")
_NOT_LEADER: Final = RpcError(Code.UNKNOWN, "election: not leader")
_MISSING_LEADER_KEY: Final = RpcError(Code.UNKNOWN, '"leader" field must be provided')


class ElectionService:
    """`v3electionpb.Election` of one member. `client_of` gives what a caller may do here."""

    def __init__(
        self, client_of: Callable[[UnaryCall | ServerStream], LocalClient], leader_streams: LeaderStreams
    ) -> None:
        self._client_of = client_of
        self._leader_streams = leader_streams

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = v3electionpb
        return [
            Method(_SERVICE, "Campaign", Kind.UNARY, pb.CampaignRequest, pb.CampaignResponse, self.campaign),
            Method(_SERVICE, "Proclaim", Kind.UNARY, pb.ProclaimRequest, pb.ProclaimResponse, self.proclaim),
            Method(_SERVICE, "Leader", Kind.UNARY, pb.LeaderRequest, pb.LeaderResponse, self.leader),
            Method(_SERVICE, "Observe", Kind.SERVER_STREAM, pb.LeaderRequest, pb.LeaderResponse, self.observe),
            Method(_SERVICE, "Resign", Kind.UNARY, pb.ResignRequest, pb.ResignResponse, self.resign),
        ]

    # --- Candidates --------------------------------------------------------------------------------------------

    def campaign(self, call: UnaryCall, message: bytes) -> None:
        """Answered when the caller leads; a caller who goes before does not stand any more."""
        call.spawn(self._campaign, call, decode(v3electionpb.CampaignRequest, message))

    async def _campaign(self, call: UnaryCall, request: Any) -> None:
        client = self._client_of(call)
        lease_id = await client.session(request.lease)
        key = recipes.key_of(request.name, lease_id)
        place = await get_in(client, request.name, key, recipes.enter(key, request.value, lease_id))
        try:
            if not place.answer.succeeded:
                await self._take_value_over(client, place.answer, key, lease_id, request.value)
            await place.wait_for_turn()
        except trio.Cancelled:
            place.abandon()
            raise
        leader = v3electionpb.LeaderKey(name=request.name, key=key, rev=place.create_revision, lease=lease_id)
        answer = v3electionpb.CampaignResponse(header=place.answer.header, leader=leader)
        call.reply(answer.SerializeToString())

    async def _take_value_over(self, client: LocalClient, answer: Any, key: bytes, lease_id: int, value: bytes) -> None:
        """The key was there before: it gets the value that its owner stands for now."""
        own = answer.responses[0].response_range.kvs[0]
        if own.value == value:
            return
        try:
            await self._replace(client, key, own.create_revision, value, lease_id)
        except RpcError:
            client.start_txn(recipes.leave(key, own.create_revision))
            raise

    async def _replace(self, client: LocalClient, key: bytes, create_revision: int, value: bytes, lease_id: int) -> Any:
        answer = await client.txn(recipes.replace(key, create_revision, value, lease_id))
        if not answer.succeeded:
            raise _NOT_LEADER
        return answer.header

    def proclaim(self, call: UnaryCall, message: bytes) -> None:
        """A new value of the leader, without a new election."""
        request = decode(v3electionpb.ProclaimRequest, message)
        _check_leader(request)
        call.spawn(self._proclaim, call, request)

    async def _proclaim(self, call: UnaryCall, request: Any) -> None:
        client, leader = self._client_of(call), request.leader
        lease_id = await client.session(leader.lease)
        header = await self._replace(client, leader.key, leader.rev, request.value, lease_id)
        call.reply(v3electionpb.ProclaimResponse(header=header).SerializeToString())

    def resign(self, call: UnaryCall, message: bytes) -> None:
        """Gives the leadership up; who had it no more is told nothing of that."""
        request = decode(v3electionpb.ResignRequest, message)
        _check_leader(request)
        call.spawn(self._resign, call, request)

    async def _resign(self, call: UnaryCall, request: Any) -> None:
        client, leader = self._client_of(call), request.leader
        await client.session(leader.lease)  # as etcd, which grants a lease for everyone who comes without
        answer = await client.txn(recipes.leave(leader.key, leader.rev))
        call.reply(v3electionpb.ResignResponse(header=answer.header).SerializeToString())

    # --- Electors ----------------------------------------------------------------------------------------------

    def leader(self, call: UnaryCall, message: bytes) -> None:
        """Who leads now."""
        call.spawn(self._leader, call, decode(v3electionpb.LeaderRequest, message))

    async def _leader(self, call: UnaryCall, request: Any) -> None:
        answer = await self._client_of(call).range(recipes.oldest(recipes.prefix_of(request.name)))
        if not answer.kvs:
            raise _NO_LEADER
        call.reply(_leader_response(answer.header, answer.kvs[0]))

    async def observe(self, stream: ServerStream) -> None:
        """Who leads now, and every new leader or value from then on. While nobody leads nothing is sent."""
        request = decode(v3electionpb.LeaderRequest, await stream.receive() or b"")
        client, prefix = self._client_of(stream), recipes.prefix_of(request.name)
        with self._leader_streams.holding(stream):
            while True:
                header, kv = await self._find_leader(client, prefix)
                await stream.send(_leader_response(header, kv))
                await self._follow(stream, client, kv.key, header.revision + 1)

    async def _find_leader(self, client: LocalClient, prefix: bytes) -> tuple[Any, Any]:
        """The leader, or the first that stands."""
        answer = await client.range(recipes.oldest(prefix))
        if answer.kvs:
            return answer.header, answer.kvs[0]
        with client.watch(recipes.watch_line(prefix, answer.header.revision + 1)) as watch:
            while True:
                response = await watch.next()
                for event in response.events:
                    if event.type != _DELETE:
                        response.header.revision = event.kv.mod_revision
                        return response.header, event.kv

    async def _follow(self, stream: ServerStream, client: LocalClient, key: bytes, start_revision: int) -> None:
        """Sends the values of one leader, until its key is gone."""
        with client.watch(recipes.watch(key, start_revision)) as watch:
            while True:
                response = await watch.next()
                for event in response.events:
                    if event.type == _DELETE:
                        return
                    await stream.send(_leader_response(response.header, event.kv))


def _leader_response(header: Any, kv: Any) -> bytes:
    return bytes(v3electionpb.LeaderResponse(header=header, kv=kv).SerializeToString())


def _check_leader(request: Any) -> None:
    if not request.HasField("leader"):
        raise _MISSING_LEADER_KEY
