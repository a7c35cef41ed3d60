"""Does: keeps connections to all endpoints beside the one in use, for policies that spread calls over them.

Each endpoint has a task, which connects again after a loss, after pauses that grow. What the health watch finds unfit
(silent, or without a leader) gets no calls until it is well again.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import trio

from dualmode import limits, log
from dualmode.client.connection import UpstreamConnection
from dualmode.errors import PeerError
from dualmode.proxy.policies import Choice, Policy
from dualmode.urls import Url

_log = log.get("proxy")

Connect = Callable[[Url], Awaitable[UpstreamConnection]]


class Spread:
    """Of one `Upstreams`, which owns its tasks."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._choice = Choice()
        self._keepers: dict[Url, trio.CancelScope] = {}
        self._connections: dict[Url, UpstreamConnection] = {}
        self._unfit: set[Url] = set()
        self.leader: Url | None = None

    def pick(self, path: bytes, current: UpstreamConnection | None) -> UpstreamConnection | None:
        """Where a call goes; None when no endpoint is connected."""
        candidates = self.candidates(current)
        if not candidates:
            return None
        leader = next((index for index, one in enumerate(candidates) if one.target == self.leader), None)
        return candidates[self._policy(self._choice, path, candidates, leader)]

    def candidates(self, current: UpstreamConnection | None) -> list[UpstreamConnection]:
        """Those that take calls, the one in use first."""
        found = [] if current is None else [current]
        used = None if current is None else current.target
        for target, connection in self._connections.items():
            if target != used and target not in self._unfit and connection.is_open:
                found.append(connection)
        return found

    def connections(self) -> list[UpstreamConnection]:
        """All that are kept, for the health watch."""
        return list(self._connections.values())

    def judge(self, connection: UpstreamConnection, fault: str, is_leader: bool) -> None:
        """What the health watch has found."""
        target = connection.target
        if fault:
            self._unfit.add(target)
        else:
            self._unfit.discard(target)
        if is_leader:
            self.leader = target
        elif self.leader == target:
            self.leader = None

    def keep(self, targets: list[Url], used: Url | None, nursery: trio.Nursery, connect: Connect) -> None:
        """These are the endpoints from now on, and one of them is in use already."""
        wanted = [target for target in targets if target != used]
        for target in [target for target in self._keepers if target not in wanted]:
            self._keepers.pop(target).cancel()
            self._unfit.discard(target)
            connection = self._connections.pop(target, None)
            if connection is not None:
                connection.close()
        for target in wanted:
            if target not in self._keepers:
                scope = self._keepers[target] = trio.CancelScope()
                nursery.start_soon(self._keep, target, scope, connect)

    async def _keep(self, target: Url, scope: trio.CancelScope, connect: Connect) -> None:
        pause_seconds = limits.PROXY_RETRY_SECONDS
        with scope:
            while True:
                try:
                    connection = await connect(target)
                except PeerError as error:
                    _log.debug("an endpoint cannot be reached", endpoint=str(target), error=str(error))
                else:
                    pause_seconds = limits.PROXY_RETRY_SECONDS
                    self._connections[target] = connection
                    await connection.leaving.wait()
                    if self._connections.get(target) is connection:
                        del self._connections[target]
                    _log.warning("lost an endpoint", endpoint=str(target), reason=connection.reason)
                await trio.sleep(pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - so that a fleet does not knock at once
                pause_seconds = min(2 * pause_seconds, limits.PROXY_LONGEST_RETRY_SECONDS)
