"""Decides: the Cluster service. A group of one answers who its member is; changing the group comes with clusters."""

from __future__ import annotations

from dualmode.api import etcdserverpb
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Method, Reply, UnaryCall
from dualmode.rpc.decode import decode

_SERVICE = "etcdserverpb.Cluster"


class ClusterService:
    """`etcdserverpb.Cluster` of one member."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [
            Method(_SERVICE, "MemberList", Kind.UNARY, pb.MemberListRequest, pb.MemberListResponse, self.member_list)
        ]

    def member_list(self, call: UnaryCall, message: bytes) -> None:
        """Linearizable when asked so. The header carries no revision, as etcd has it for all member calls."""
        request = decode(etcdserverpb.MemberListRequest, message)
        if request.linearizable:
            self._replica.when_readable(lambda: self._answer(call), call)
        else:
            self._answer(call)

    def _answer(self, call: Reply) -> None:
        applier = self._replica.applier
        members = [member.to_message() for member in applier.membership.members()]
        answer = etcdserverpb.MemberListResponse(members=members)
        call.reply(applier.headers.field(0) + bytes(answer.SerializeToString()))
