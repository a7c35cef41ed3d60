"""Our .proto files and the messages made from them, one namespace per protobuf package.

from dualmode.api import etcdserverpb
etcdserverpb.PutRequest(key=b"a", value=b"1").SerializeToString()
"""

from __future__ import annotations

from typing import Final

from dualmode.api.namespaces import Namespace

etcdserverpb: Final = Namespace(
    "etcdserverpb", "etcdserverpb/rpc.proto", "etcdserverpb/raft_internal.proto", "etcdserverpb/etcdserver.proto"
)
mvccpb: Final = Namespace("mvccpb", "mvccpb/kv.proto")
authpb: Final = Namespace("authpb", "authpb/auth.proto")
leasepb: Final = Namespace("leasepb", "leasepb/lease.proto")
membershippb: Final = Namespace("membershippb", "membershippb/membership.proto")
raftpb: Final = Namespace("raftpb", "raftpb/raft.proto")
walpb: Final = Namespace("walpb", "walpb/record.proto")
snappb: Final = Namespace("snappb", "snappb/snap.proto")
v3electionpb: Final = Namespace("v3electionpb", "v3electionpb/v3election.proto")
v3lockpb: Final = Namespace("v3lockpb", "v3lockpb/v3lock.proto")
healthpb: Final = Namespace("grpc.health.v1", "grpc/health/v1/health.proto")
reflectionpb: Final = Namespace("grpc.reflection.v1", "grpc/reflection/v1/reflection.proto")
reflectionpb_v1alpha: Final = Namespace("grpc.reflection.v1alpha", "grpc/reflection/v1alpha/reflection.proto")

__all__ = [
    "authpb",
    "etcdserverpb",
    "healthpb",
    "leasepb",
    "membershippb",
    "mvccpb",
    "raftpb",
    "reflectionpb",
    "reflectionpb_v1alpha",
    "snappb",
    "v3electionpb",
    "v3lockpb",
    "walpb",
]
