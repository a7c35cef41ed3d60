"""Does: compares the data of members: before a member serves, now and then, and after compactions.

The leader does it for all and raises the alarm CORRUPT for whoever differs; from then on nobody changes anything until
an operator has looked (etcd `CorruptionChecker`). A member that starts looks for itself first: one that differs from
the others must not serve.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from dualmode import log
from dualmode.api import etcdserverpb
from dualmode.errors import PeerError, RpcError, StartError
from dualmode.member.apply import requests
from dualmode.member.apply.alarms import CORRUPT
from dualmode.member.cluster.hash_comparison import SOMEBODY, ahead, differing
from dualmode.member.replica import Replica
from dualmode.peer.client import PeerClient
from dualmode.peer.interface import KvHash
from dualmode.peer.member import Member
from dualmode.rpc.local import AwaitableReply
from dualmode.storage.mvcc.hashing import StoreHash

_log = log.get("member")
_ACTIVATE: Final = 1


class CorruptionChecks:
    """Of one member. `run` owns the tasks; intervals in seconds, 0: never."""

    def __init__(
        self,
        replica: Replica,
        client: PeerClient,
        cluster_id: int,
        hash_by_revision: Callable[[int], Awaitable[StoreHash]],
        *,
        interval_seconds: float,
        compaction_interval_seconds: float,
    ) -> None:
        self._replica = replica
        self._client = client
        self._cluster_id = cluster_id
        self._hash_by_revision = hash_by_revision
        self._interval_seconds = interval_seconds
        self._compaction_interval_seconds = compaction_interval_seconds
        self._checked_compaction = replica.store.compacted

    async def run(self) -> None:
        """Works until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._interval_seconds:
                nursery.start_soon(self._repeat, self._interval_seconds, self.check)
            if self._compaction_interval_seconds:
                nursery.start_soon(self._repeat, self._compaction_interval_seconds, self.check_compaction)

    async def _repeat(self, interval_seconds: float, check: Callable[[], Awaitable[None]]) -> None:
        while True:
            await trio.sleep(interval_seconds)
            if self._replica.is_leader and self._others():
                try:
                    await check()
                except RpcError as error:
                    _log.warning("the data of members was not compared", error=error.message)

    # --- At the start ------------------------------------------------------------------------------------------

    async def check_at_start(self) -> None:
        """Compares this member's data with that of all others that answer. Raises StartError when it differs from most
        of them, or nobody knows whose is right."""
        others = self._others()
        if not others:
            return
        own = await self._own(0)
        answers = await self._ask(others, own.revision)
        own_id = self._replica.node.id
        wrong = differing(own_id, own, answers, len(answers) + 1)
        if own_id in wrong or SOMEBODY in wrong:
            raise StartError(
                f"{own_id:x} found data inconsistency with peers: at revision {own.revision} the hash "
                f"here is {own.hash}, there {[f'{one:x}: {answer.hash}' for one, answer in answers.items()]}; remove "
                "this member, add it again, and let it start empty"
            )
        _log.info("compared data with peers", revision=own.revision, peers=len(answers))

    # --- By the leader -----------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Everything up to the present revision. Raises `RpcError` when this member ceases to lead meanwhile."""
        own = await self._own(0)
        answers = await self._ask(self._others(), own.revision)
        await self._replica.intake.wait_until_readable()
        store = self._replica.store
        again = await self._own(own.revision) if store.compacted == own.compact_revision else own
        if again.hash != own.hash:
            await self._raise_alarm(self._replica.node.id)
            return
        wrong = ahead(answers, store.revision, store.compacted)
        for member_id in wrong or differing(self._replica.node.id, own, answers, self._members):
            await self._raise_alarm(member_id)

    async def check_compaction(self) -> None:
        """Everything up to the last compaction, when there was one since the last look and all have done it."""
        compacted = self._replica.store.compacted
        if compacted <= self._checked_compaction:
            return
        own = await self._own(compacted)
        others = self._others()
        answers = await self._ask(others, compacted)
        for member_id in differing(self._replica.node.id, own, answers, self._members):
            await self._raise_alarm(member_id)
        if len(answers) == len(others) and all(one.compact_revision == compacted for one in answers.values()):
            self._checked_compaction = compacted

    @property
    def _members(self) -> int:
        return len(self._replica.applier.membership)

    def _others(self) -> list[Member]:
        own_id = self._replica.node.id
        return [one for one in self._replica.applier.membership.members() if one.id != own_id]

    async def _own(self, revision: int) -> KvHash:
        checksum, compact_revision, current = await self._hash_by_revision(revision)
        return KvHash(current, checksum, compact_revision)

    async def _ask(self, members: list[Member], revision: int) -> dict[int, KvHash]:
        """The hashes of those who answer: one that is down, or behind, or has compacted further says nothing."""
        answers: dict[int, KvHash] = {}

        async def ask(member: Member) -> None:
            for url in member.peer_urls:
                try:
                    answers[member.id] = await self._client.hash_kv(url, revision, self._cluster_id)
                except (PeerError, RpcError) as error:
                    _log.debug("a member gives no hash", url=url, error=str(error))
                else:
                    return

        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(ask, member)
        return answers

    async def _raise_alarm(self, member_id: int) -> None:
        if self._replica.applier.alarms.has(member_id, CORRUPT):
            return
        _log.error("data inconsistency found: raising the alarm CORRUPT", member_id=f"{member_id:x}")
        request = etcdserverpb.AlarmRequest(action=_ACTIVATE, memberID=member_id, alarm=CORRUPT)
        reply = AwaitableReply()
        self._replica.intake.propose(requests.ALARM, request.SerializeToString(), request, reply)
        await reply.result()
