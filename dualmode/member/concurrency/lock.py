"""Does: the Lock service (`v3lockpb.Lock`): a lock is held as long as its key is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from dualmode.api import etcdserverpb, v3lockpb
from dualmode.errors import Code, RpcError
from dualmode.member.concurrency import recipes
from dualmode.member.concurrency.line import Place, get_in
from dualmode.member.concurrency.local_client import LocalClient
from dualmode.rpc.calls import Kind, Method, UnaryCall
from dualmode.rpc.decode import decode

_SERVICE: Final = "v3lockpb.Lock"
_SESSION_EXPIRED: Final = RpcError(Code.UNKNOWN, "mutex: session is expired")


class LockService:
    """`v3lockpb.Lock` of one member. `client_of` gives what a caller may do here."""

    def __init__(self, client_of: Callable[[UnaryCall], LocalClient]) -> None:
        self._client_of = client_of

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = v3lockpb
        return [
            Method(_SERVICE, "Lock", Kind.UNARY, pb.LockRequest, pb.LockResponse, self.lock),
            Method(_SERVICE, "Unlock", Kind.UNARY, pb.UnlockRequest, pb.UnlockResponse, self.unlock),
        ]

    def lock(self, call: UnaryCall, message: bytes) -> None:
        """Answered when the caller holds the lock; by a caller who goes before it is not held."""
        call.spawn(self._lock, call, decode(v3lockpb.LockRequest, message))

    async def _lock(self, call: UnaryCall, request: Any) -> None:
        client = self._client_of(call)
        lease_id = await client.session(request.lease)
        key = recipes.key_of(request.name, lease_id)
        place = await get_in(client, request.name, key, recipes.enter_and_look(request.name, key, lease_id))
        try:
            header = await self._wait(client, place)
        except BaseException:
            place.abandon()
            raise
        call.reply(v3lockpb.LockResponse(header=header, key=key).SerializeToString())

    async def _wait(self, client: LocalClient, place: Place) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        first = place.answer.responses[1].response_range.kvs
        if first and first[0].create_revision == place.create_revision:
            return place.answer.header
        await place.wait_for_turn()
        # The key may have gone with its lease while everyone before went.
        own = await client.range(etcdserverpb.RangeRequest(key=place.key))
        if not own.kvs:
            raise _SESSION_EXPIRED
        return own.header

    def unlock(self, call: UnaryCall, message: bytes) -> None:
        """Deletes the key; whose it is does not matter."""
        call.spawn(self._unlock, call, decode(v3lockpb.UnlockRequest, message))

    async def _unlock(self, call: UnaryCall, request: Any) -> None:
        answer = await self._client_of(call).delete(request.key)
        call.reply(v3lockpb.UnlockResponse(header=answer.header).SerializeToString())
