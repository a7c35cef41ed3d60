"""Does: calls this member's own KV, leases and watches for somebody who called it: with their name and rights, and
without a way over the network."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from dualmode.api import etcdserverpb
from dualmode.errors import Code, RpcError
from dualmode.member.concurrency import recipes
from dualmode.member.concurrency.local_watch import LocalWatch
from dualmode.member.watch.hub import WatchHub
from dualmode.rpc.calls import ServerStream, UnaryCall, UnaryHandler
from dualmode.rpc.local import LocalCall


@dataclass(frozen=True, slots=True)
class Services:
    """The handlers and the hub of one member."""

    range: UnaryHandler
    txn: UnaryHandler
    delete_range: UnaryHandler
    grant: UnaryHandler
    hub: WatchHub


class LocalClient:
    """What one caller may do. Errors are as etcd has them here: the text of the call that failed, under UNKNOWN."""

    def __init__(self, services: Services, caller: UnaryCall | ServerStream) -> None:
        self._services = services
        self._caller = caller

    def _start(self, handler: UnaryHandler, request: Any) -> LocalCall:
        call = LocalCall(self._caller.metadata, self._caller.peer)
        handler(call, request.SerializeToString())
        return call

    async def _ask(self, handler: UnaryHandler, request: Any, response: Any) -> Any:
        try:
            return response.FromString(await self._start(handler, request).result())
        except RpcError as error:
            raise RpcError(Code.UNKNOWN, error.forget_raising().message) from None

    async def range(self, request: Any) -> Any:
        """A RangeResponse."""
        return await self._ask(self._services.range, request, etcdserverpb.RangeResponse)

    async def txn(self, request: Any) -> Any:
        """A TxnResponse."""
        return await self._ask(self._services.txn, request, etcdserverpb.TxnResponse)

    async def delete(self, key: bytes) -> Any:
        """A DeleteRangeResponse."""
        request = etcdserverpb.DeleteRangeRequest(key=key)
        return await self._ask(self._services.delete_range, request, etcdserverpb.DeleteRangeResponse)

    async def session(self, lease_id: int) -> int:
        """The caller's lease, or a new one if they have named none; whoever is told of it must keep it alive."""
        if lease_id:
            return lease_id
        request = etcdserverpb.LeaseGrantRequest(TTL=recipes.SESSION_TTL_SECONDS)
        return int((await self._ask(self._services.grant, request, etcdserverpb.LeaseGrantResponse)).ID)

    def start_txn(self, request: Any) -> None:
        """Begins a transaction of whose outcome nobody needs to hear."""
        with contextlib.suppress(RpcError):
            self._start(self._services.txn, request)

    def watch(self, request: Any) -> LocalWatch:
        """A watch of what was read before by `range`, which has asked whether that is allowed."""
        return LocalWatch(self._services.hub, request)
