"""Does: follows who is announced under the prefix: a range, then a watch from there on, again when that was lost.

What was known stays known meanwhile: an endpoint that is lost says nothing about other proxies.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from dualmode import limits, log
from dualmode.client.etcd import Calls, EtcdClient, prefix_end
from dualmode.client.status import CallError
from dualmode.proxy.registration.announcements import Announcements
from dualmode.proxy.registration.timing import pause_seconds

_log = log.get("proxy")


class Following:
    """Of one proxy. `run` is its task; `announcements` has what it knows."""

    def __init__(self, calls: Calls, prefix: bytes, *, draw: Callable[[], float] = random.random) -> None:
        self._client = EtcdClient(calls, timeout=limits.PROXY_LOOK_SECONDS)
        # A member that is cut off from its leader would keep the watch open and say nothing.
        self._watching = EtcdClient(calls, metadata=[("hasleader", "true")])
        self._prefix = prefix
        self._draw = draw
        self.announcements = Announcements()

    async def run(self) -> None:
        """Works until cancelled."""
        failures = 0
        while True:
            try:
                revision = await self._read()
                failures = 0
                await self._watch(revision + 1)
            except CallError as error:
                failures += 1
                _log.debug("the announcements of proxies cannot be followed", error=str(error))
            await trio.sleep(pause_seconds(max(failures, 1), self._draw()))

    async def _read(self) -> int:
        """The revision at which it was read. Raises CallError."""
        answer = await self._client.range(self._prefix, prefix_end(self._prefix), limit=limits.PROXY_ANNOUNCEMENTS)
        self.announcements.fill(answer.kvs)
        return int(answer.header.revision)

    async def _watch(self, revision: int) -> None:
        """Until the watch is over, however that comes. Raises CallError."""
        with await self._watching.watch(self._prefix, prefix_end(self._prefix), start_revision=revision) as watch:
            if watch.created.canceled:
                return
            async for response in watch:
                self.announcements.apply(response.events)
                if response.canceled:
                    return
