"""Does: stands in line for an election or a lock: gets in, waits for everyone before, and leaves if the caller goes."""

from __future__ import annotations

from typing import Any, Final

import trio

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.concurrency import recipes
from dualmode.member.concurrency.local_client import LocalClient

_DELETE: Final = 1


class Place:
    """One place in a line. `answer` is what getting in was answered with."""

    def __init__(self, client: LocalClient, name: bytes, key: bytes, answer: Any) -> None:
        self._client = client
        self._name = name
        self.key = key
        self.answer = answer
        self.create_revision = recipes.place_of(answer)

    async def wait_for_turn(self) -> None:
        """Returns when nobody stands before this place any more."""
        while True:
            before = await self._client.range(recipes.last_before(recipes.prefix_of(self._name), self.create_revision))
            if not before.kvs:
                return
            await self._wait_until_gone(before.kvs[0].key, before.header.revision + 1)

    async def _wait_until_gone(self, key: bytes, start_revision: int) -> None:
        with self._client.watch(recipes.watch(key, start_revision)) as watch:
            try:
                while not any(event.type == _DELETE for event in (await watch.next()).events):
                    pass
            except RpcError as error:
                if error != errors.COMPACTED:  # then the store says who stands there now
                    raise
                error.forget_raising()

    def abandon(self) -> None:
        """Leaves without waiting until that is done: the caller has gone."""
        self._client.start_txn(recipes.leave(self.key, self.create_revision))


async def get_in(client: LocalClient, name: bytes, key: bytes, request: Any) -> Place:
    """Gets in line by `request` (`recipes.enter`).

    A caller who goes meanwhile is not heard of until that is done: only then is it known what to take away again.
    """
    with trio.CancelScope(shield=True):
        answer = await client.txn(request)
    return Place(client, name, key, answer)
