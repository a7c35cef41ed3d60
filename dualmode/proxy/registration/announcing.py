"""Does: keeps the announcement of this proxy in the cluster as long as it runs, and takes it down at the end.

Ids of leases are chosen here: then a lease can be taken back also when nobody knows whether the grant has arrived.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import trio

from dualmode import limits, log
from dualmode.client.etcd import Calls, EtcdClient
from dualmode.client.status import CallError
from dualmode.errors import Code
from dualmode.proxy.registration.timing import LeaseLife, pause_seconds

_log = log.get("proxy")


def random_lease_id() -> int:
    """A positive 63-bit number."""
    return random.getrandbits(63) or 1


class Announcing:
    """Of one proxy. `run` is its task."""

    def __init__(
        self,
        calls: Calls,
        keys: Sequence[tuple[bytes, bytes]],
        ttl_seconds: int,
        *,
        draw: Callable[[], float] = random.random,
        new_lease_id: Callable[[], int] = random_lease_id,
    ) -> None:
        """`keys` are what to write, with the values."""
        self._client = EtcdClient(calls, timeout=limits.PROXY_LOOK_SECONDS)
        self._keys = keys
        self._ttl_seconds = ttl_seconds
        self._draw = draw
        self._new_lease_id = new_lease_id
        self._scope = trio.CancelScope()
        self._lease_id = 0
        self.is_registered = False

    async def run(self) -> None:
        """Announces, and again whenever that was lost, until cancelled or `withdraw`."""
        failures = 0
        with self._scope:
            while True:
                try:
                    life = await self._register()
                except CallError as error:
                    failures += 1
                    _log.warning("cannot announce this proxy", error=str(error), failures=failures)
                    await self._revoke()
                    await trio.sleep(pause_seconds(failures, self._draw()))
                    continue
                failures = 0
                self.is_registered = True
                _log.info("registered session with lease", keys=[key for key, _ in self._keys])
                await self._keep_alive(life)
                self.is_registered = False
                _log.warning("the announcement of this proxy was lost, it is made again")

    async def withdraw(self) -> None:
        """Takes the announcement down. When that fails it ends by itself, with its lease."""
        self._scope.cancel()
        self.is_registered = False
        await self._revoke()

    async def _register(self) -> LeaseLife:
        """Raises CallError."""
        begun = trio.current_time()
        self._lease_id = self._new_lease_id()
        granted = await self._client.grant(self._ttl_seconds, self._lease_id)
        for key, value in self._keys:
            await self._client.put(key, value, lease=self._lease_id)
        return LeaseLife(granted.TTL, begun)

    async def _keep_alive(self, life: LeaseLife) -> None:
        """Until the lease is lost."""
        was_answered = True
        while not life.is_lost(trio.current_time()):
            await trio.sleep(life.pause_seconds(was_answered))
            begun, was_answered = trio.current_time(), False
            try:
                with trio.move_on_after(limits.PROXY_LOOK_SECONDS):
                    answer = await self._client.keep_alive(self._lease_id)
                    life.answered(answer.TTL, begun)
                    was_answered = True
            except CallError as error:
                _log.debug("the lease of this proxy was not renewed", error=str(error))

    async def _revoke(self) -> None:
        lease_id, self._lease_id = self._lease_id, 0
        if not lease_id:
            return
        try:
            await self._client.revoke(lease_id)
        except CallError as error:
            if error.code is not Code.NOT_FOUND:
                _log.warning("the announcement of this proxy stays until its lease ends", error=str(error))
