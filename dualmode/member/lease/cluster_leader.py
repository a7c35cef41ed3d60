"""Does: the way to the leader for lease calls, wherever it is: another member's peer port, or this member itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from dualmode import errors, limits, log
from dualmode.errors import PeerError, RpcError
from dualmode.member.replica import Replica
from dualmode.peer.client import PeerClient

_log = log.get("lease")

#: What the next try may do better: the leader is about to be known, or to catch up.
_PASSING = (errors.NOT_LEADER, errors.TIMEOUT_WAIT_APPLIED)


class ClusterLeader:
    """`lease.access.Leader` of a member of a cluster. Calls end when whoever calls cancels them."""

    def __init__(self, replica: Replica, client: PeerClient, confirmed_seconds: float) -> None:
        """A leader that a majority has followed within `confirmed_seconds` (an election timeout) surely leads."""
        self._replica = replica
        self._client = client
        self._confirmed_seconds = confirmed_seconds
        self._confirmed_at = -float("inf")
        self._confirmed_term = 0

    @property
    def is_confirmed(self) -> bool:
        """See lease.access.Leader."""
        replica = self._replica
        if replica.intake.can_read_now:
            return True
        if not replica.is_leader or self._confirmed_term != replica.node.term:
            return False
        return trio.current_time() - self._confirmed_at < self._confirmed_seconds

    async def confirm(self) -> None:
        """See lease.access.Leader."""
        asked_at, term = trio.current_time(), self._replica.node.term
        await self._replica.intake.wait_until_readable()
        if not self._replica.is_leader or self._replica.node.term != term:
            raise errors.LEADER_CHANGED
        self._confirmed_at, self._confirmed_term = asked_at, term

    async def keep_alive(self, lease_id: int) -> int:
        """See lease.access.Leader."""
        answer: int = await self._ask(lambda url: self._client.keep_alive(url, lease_id))
        return answer

    async def time_to_live(self, request: Any) -> Any:
        """See lease.access.Leader."""
        return await self._ask(lambda url: self._client.time_to_live(url, request.ID, request.keys))

    async def _ask(self, call: Callable[[str], Awaitable[Any]]) -> Any:
        while True:
            leader = self._replica.node.leader
            if leader == self._replica.node.id:
                raise errors.LEADER_CHANGED  # to us: the caller looks here
            member = self._replica.applier.membership.get(leader)
            for url in member.peer_urls if member is not None else ():
                try:
                    return await call(url)
                except PeerError as error:
                    _log.debug("a lease call to the leader failed", url=url, error=str(error))
                except RpcError as error:
                    if error not in _PASSING:
                        raise
            await trio.sleep(limits.LEADER_RETRY_SECONDS)
