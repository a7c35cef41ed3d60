"""Does: the Maintenance service: status, alarms, hashes, defragmentation, handing the leadership over, downgrades.

Snapshots are in `snapshot_service.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import trio

import dualmode
from dualmode import errors, log
from dualmode.api import etcdserverpb, membershippb
from dualmode.config.durations import format_duration
from dualmode.errors import Code, RpcError
from dualmode.member.apply import requests
from dualmode.member.facts import alarm_text
from dualmode.member.maintenance import downgrade
from dualmode.member.maintenance.hashes import Hasher
from dualmode.member.replica import Replica
from dualmode.metrics import Histogram, exponential_buckets
from dualmode.rpc.calls import Kind, Method, UnaryCall
from dualmode.rpc.decode import decode
from dualmode.rpc.local import AwaitableReply
from dualmode.storage.mvcc import rows
from dualmode.storage.mvcc.hashing import StoreHash

_log = log.get("maintenance")

_SERVICE: Final = "etcdserverpb.Maintenance"
_VALIDATE, _ENABLE, _CANCEL = 0, 1, 2
_UNKNOWN_ACTION: Final = RpcError(Code.UNKNOWN, "etcdserver: unknown method")
#: The families of rows, for compaction one by one, so that whoever stops the server need not wait for all.
_ROW_FAMILIES: Final = (
    (rows.HEAD, rows.HEAD_END),
    (rows.REVISION, rows.REVISION_END),
    (rows.HISTORY, rows.HISTORY_END),
    (rows.ATTACHMENT, rows.HISTORY),
)


class MaintenanceService:
    """`etcdserverpb.Maintenance` of one member. `quota_bytes` None is no quota."""

    def __init__(
        self, replica: Replica, quota_bytes: int | None, heartbeat_seconds: float, store_guard: trio.Lock
    ) -> None:
        self._replica = replica
        self._quota_bytes = quota_bytes
        self._heartbeat_seconds = heartbeat_seconds
        self._hasher = Hasher(replica.store)
        #: One at a time, and the store is not replaced meanwhile.
        self._store_guard = store_guard
        self.is_defragmenting = False
        self.defragmentation_seconds = Histogram(exponential_buckets(0.1, 2, 13))
        #: Hears when a defragmentation begins (True) and ends.
        self.on_defragmentation: Callable[[bool], None] = lambda is_running: None

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [
            Method(_SERVICE, "Status", Kind.UNARY, pb.StatusRequest, pb.StatusResponse, self.status),
            Method(_SERVICE, "Alarm", Kind.UNARY, pb.AlarmRequest, pb.AlarmResponse, self.alarm),
            Method(_SERVICE, "Hash", Kind.UNARY, pb.HashRequest, pb.HashResponse, self.hash),
            Method(_SERVICE, "HashKV", Kind.UNARY, pb.HashKVRequest, pb.HashKVResponse, self.hash_kv),
            Method(_SERVICE, "Defragment", Kind.UNARY, pb.DefragmentRequest, pb.DefragmentResponse, self.defragment),
            Method(_SERVICE, "MoveLeader", Kind.UNARY, pb.MoveLeaderRequest, pb.MoveLeaderResponse, self.move_leader),
            Method(_SERVICE, "Downgrade", Kind.UNARY, pb.DowngradeRequest, pb.DowngradeResponse, self.downgrade),
        ]

    def _answer(self, call: UnaryCall, answer: Any) -> None:
        replica = self._replica
        call.reply(replica.applier.headers.field(replica.store.revision) + bytes(answer.SerializeToString()))

    # --- Status and alarms -------------------------------------------------------------------------------------

    def status(self, call: UnaryCall, message: bytes) -> None:
        """This member as it is, asked of nobody else."""
        decode(etcdserverpb.StatusRequest, message)
        replica = self._replica
        store, node, applier = replica.store, replica.node, replica.applier
        problems = [] if replica.has_leader else [errors.NO_LEADER.message]
        problems += [alarm_text(one) for one in applier.alarms.raised()]
        member = applier.membership.get(applier.headers.member_id)
        answer = etcdserverpb.StatusResponse(
            version=dualmode.ETCD_VERSION,
            dbSize=store.total_size,
            dbSizeInUse=store.in_use_size,
            leader=node.leader,
            raftIndex=node.committed,
            raftTerm=node.term,
            raftAppliedIndex=store.applied_index,
            errors=problems,
            isLearner=member is not None and member.is_learner,
            storageVersion=dualmode.ETCD_VERSION,
            dbSizeQuota=-1 if self._quota_bytes is None else self._quota_bytes,
            downgradeInfo=etcdserverpb.DowngradeInfo(
                enabled=applier.downgrade.is_enabled, targetVersion=applier.downgrade.target_version
            ),
        )
        self._answer(call, answer)

    def alarm(self, call: UnaryCall, message: bytes) -> None:
        """All of it goes through the log, asking too: who was refused for want of space finds the alarm raised."""
        request = decode(etcdserverpb.AlarmRequest, message)
        self._replica.intake.propose(requests.ALARM, message, request, call)

    # --- Hashes ------------------------------------------------------------------------------------------------

    def hash(self, call: UnaryCall, message: bytes) -> None:
        """The hash over all that this member has stored; members may differ in it and hold the same keys."""
        decode(etcdserverpb.HashRequest, message)
        call.spawn(self._hash, call)

    async def _hash(self, call: UnaryCall) -> None:
        self._answer(call, etcdserverpb.HashResponse(hash=await self._hasher.everything()))

    def hash_kv(self, call: UnaryCall, message: bytes) -> None:
        """The hash over all revisions up to one of this member, equal on every member (etcd `HashByRev`)."""
        request = decode(etcdserverpb.HashKVRequest, message)
        call.spawn(self._hash_kv, call, request.revision)

    async def hash_by_revision(self, revision: int) -> StoreHash:
        """The same for other members. Raises COMPACTED, FUTURE_REVISION."""
        return await self._hasher.by_revision(revision)

    async def _hash_kv(self, call: UnaryCall, revision: int) -> None:
        checksum, compact_revision, current = await self._hasher.by_revision(revision)
        answer = etcdserverpb.HashKVResponse(
            hash=checksum, compact_revision=compact_revision, hash_revision=revision if revision > 0 else current
        )
        call.reply(self._replica.applier.headers.field(current) + bytes(answer.SerializeToString()))

    # --- Defragmentation ---------------------------------------------------------------------------------------

    def defragment(self, call: UnaryCall, message: bytes) -> None:
        """Has RocksDB put its files in order, while reads and writes go on; the size that the quota counts has no gaps
        to close. The answer has no header, as in etcd."""
        decode(etcdserverpb.DefragmentRequest, message)
        call.spawn(self._defragment, call)

    async def _defragment(self, call: UnaryCall) -> None:
        async with self._store_guard:
            backend = self._replica.store.backend
            began, size_before = time.monotonic_ns(), backend.size_bytes()
            _log.info("defragmenting", path=str(backend.directory), current_db_size_bytes=size_before)
            self.is_defragmenting = True
            self.on_defragmentation(True)
            try:
                await trio.to_thread.run_sync(backend.flush)
                for low, high in _ROW_FAMILIES:
                    await trio.to_thread.run_sync(backend.compact, low, high)
            finally:
                self.is_defragmenting = False
                self.on_defragmentation(False)
                self.defragmentation_seconds.observe((time.monotonic_ns() - began) / 1e9)
            _log.info(
                "finished defragmenting directory",
                path=str(backend.directory),
                current_db_size_bytes=backend.size_bytes(),
                took=format_duration(time.monotonic_ns() - began),
            )
        call.reply(b"")

    # --- Leadership --------------------------------------------------------------------------------------------

    def move_leader(self, call: UnaryCall, message: bytes) -> None:
        """Hands the leadership to another voter. Raises NOT_LEADER, BAD_LEADER_TRANSFEREE. No header, as in etcd."""
        target = decode(etcdserverpb.MoveLeaderRequest, message).targetID
        if not self._replica.is_leader:
            raise errors.NOT_LEADER
        member = self._replica.applier.membership.get(target)
        if member is None or member.is_learner:
            raise errors.BAD_LEADER_TRANSFEREE
        if target == self._replica.node.leader:
            call.reply(b"")
        else:
            call.spawn(self._move_leader, call, target)

    async def _move_leader(self, call: UnaryCall, target: int) -> None:
        """Only the client's patience bounds this."""
        self._replica.transfer_leadership(target)
        while self._replica.node.leader != target:  # noqa: ASYNC110 - nobody tells of every change of leader
            await trio.sleep(self._heartbeat_seconds)
        call.reply(b"")

    # --- Downgrade ---------------------------------------------------------------------------------------------

    def downgrade(self, call: UnaryCall, message: bytes) -> None:
        """Whether a downgrade of the cluster may begin, and its beginning and end. Each answer has the version of the
        cluster. Raises WRONG_DOWNGRADE_VERSION_FORMAT, INVALID_DOWNGRADE_TARGET, DOWNGRADE_IN_PROCESS."""
        request = decode(etcdserverpb.DowngradeRequest, message)
        if request.action not in (_VALIDATE, _ENABLE, _CANCEL):
            raise _UNKNOWN_ACTION
        target = (0, 0) if request.action == _CANCEL else downgrade.parse_version(request.version)
        call.spawn(self._downgrade, call, request.action, target)

    async def _downgrade(self, call: UnaryCall, action: int, target: tuple[int, int]) -> None:
        await self._replica.intake.wait_until_readable()
        applier = self._replica.applier
        state, version = applier.downgrade, applier.membership.cluster_version
        if action == _CANCEL:
            # etcd 3.6 answers well even when there is nothing to cancel, and says so in its log only.
            if state.is_enabled:
                await self._set_downgrade(False, "")
            else:
                _log.error("failed to cancel downgrade", error=errors.NO_INFLIGHT_DOWNGRADE.message)
        else:
            downgrade.check_target(target, version, state.is_enabled)
            if action == _ENABLE:
                await self._set_downgrade(True, f"{target[0]}.{target[1]}.0")
        answer = etcdserverpb.DowngradeResponse(version=downgrade.short_version(version or ""))
        self._answer(call, answer)

    async def _set_downgrade(self, is_enabled: bool, target_version: str) -> None:
        request = membershippb.DowngradeInfoSetRequest(enabled=is_enabled, ver=target_version)
        reply = AwaitableReply()
        self._replica.intake.propose(requests.DOWNGRADE_INFO_SET, request.SerializeToString(), request, reply)
        await reply.result()
        _log.info("downgrade", enabled=is_enabled, target_version=target_version)
