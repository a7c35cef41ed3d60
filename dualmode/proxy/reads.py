"""Decides: which calls only read, so that they may be sent again when nobody knows whether they have arrived.

Everything else is sent a second time only when it provably never reached a server: a client that repeats writes breaks
what etcd promises (Jepsen on jetcd 0.8.2, 2024), and a proxy that does it breaks it for all clients.
"""

from __future__ import annotations

from typing import Final

READS: Final = frozenset(
    {
        b"/etcdserverpb.KV/Range",
        b"/etcdserverpb.Lease/LeaseTimeToLive",
        b"/etcdserverpb.Lease/LeaseLeases",
        b"/etcdserverpb.Cluster/MemberList",
        b"/etcdserverpb.Maintenance/Status",
        b"/etcdserverpb.Maintenance/Hash",
        b"/etcdserverpb.Maintenance/HashKV",
        b"/etcdserverpb.Auth/AuthStatus",
        b"/etcdserverpb.Auth/UserGet",
        b"/etcdserverpb.Auth/UserList",
        b"/etcdserverpb.Auth/RoleGet",
        b"/etcdserverpb.Auth/RoleList",
        b"/grpc.health.v1.Health/Check",
    }
)


def may_send_again(path: bytes, may_have_left: bool) -> bool:
    """Whether a gRPC call that got no answer may go to another endpoint."""
    return not may_have_left or path in READS


def http_may_send_again(method: bytes) -> bool:
    """The same for plain HTTP: methods that are safe by their definition (RFC 9110 section 9.2.1)."""
    return method in (b"GET", b"HEAD", b"OPTIONS")
