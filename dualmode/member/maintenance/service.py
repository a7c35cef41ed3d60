"""Decides: the Maintenance service, as far as a single member answers it today: status, alarms, hashes by revision."""

from __future__ import annotations

import dualmode
from dualmode.api import etcdserverpb
from dualmode.member.apply import requests
from dualmode.member.facts import ALARM_NAMES
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Method, UnaryCall
from dualmode.rpc.decode import decode

_SERVICE = "etcdserverpb.Maintenance"
_GET = 0


class MaintenanceService:
    """`etcdserverpb.Maintenance` of one member."""

    def __init__(self, replica: Replica, quota_bytes: int) -> None:
        self._replica = replica
        self._quota_bytes = quota_bytes

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [
            Method(_SERVICE, "Status", Kind.UNARY, pb.StatusRequest, pb.StatusResponse, self.status),
            Method(_SERVICE, "Alarm", Kind.UNARY, pb.AlarmRequest, pb.AlarmResponse, self.alarm),
            Method(_SERVICE, "HashKV", Kind.UNARY, pb.HashKVRequest, pb.HashKVResponse, self.hash_kv),
        ]

    def status(self, call: UnaryCall, message: bytes) -> None:
        """This member as it is, asked of nobody else."""
        decode(etcdserverpb.StatusRequest, message)
        replica = self._replica
        store, node, applier = replica.store, replica.node, replica.applier
        problems = [] if replica.has_leader else ["etcdserver: no leader"]
        problems += [f"memberID:{one.memberID} alarm:{ALARM_NAMES[one.alarm]} " for one in applier.alarms.raised()]
        answer = etcdserverpb.StatusResponse(
            version=dualmode.ETCD_VERSION,
            dbSize=store.total_size,
            dbSizeInUse=store.in_use_size,
            leader=node.leader,
            raftIndex=node.committed,
            raftTerm=node.term,
            raftAppliedIndex=store.applied_index,
            errors=problems,
            storageVersion=dualmode.ETCD_VERSION,
            dbSizeQuota=self._quota_bytes,
            downgradeInfo=etcdserverpb.DowngradeInfo(),
        )
        call.reply(applier.headers.field(store.revision) + bytes(answer.SerializeToString()))

    def alarm(self, call: UnaryCall, message: bytes) -> None:
        """Asking is a local matter; raising and clearing go through the log."""
        request = decode(etcdserverpb.AlarmRequest, message)
        applier = self._replica.applier
        if request.action == _GET:
            answer = etcdserverpb.AlarmResponse(alarms=applier.alarms.apply(request))
            call.reply(applier.headers.field(self._replica.store.revision) + bytes(answer.SerializeToString()))
        else:
            self._replica.propose(requests.ALARM, message, request, call)

    def hash_kv(self, call: UnaryCall, message: bytes) -> None:
        """The hash over all revisions up to one, equal on every member (etcd `HashByRev`)."""
        request = decode(etcdserverpb.HashKVRequest, message)
        self._replica.when_readable(lambda: self._answer_hash(call, request.revision))

    def _answer_hash(self, call: UnaryCall, revision: int) -> None:
        store = self._replica.store
        checksum, compact_revision, current = store.hash_by_revision(revision)
        answer = etcdserverpb.HashKVResponse(
            hash=checksum, compact_revision=compact_revision, hash_revision=revision or current
        )
        call.reply(self._replica.applier.headers.field(current) + bytes(answer.SerializeToString()))
