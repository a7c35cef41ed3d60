"""Decides: where etcd's JSON gateway has its methods. All are POST with the whole message as body."""

from __future__ import annotations

from typing import Final

#: The prefix of the paths below, and its older names (etcd 3.3 and 3.4), which mean the same.
PREFIX: Final = "/v3"
ALIASES: Final = ("/v3beta", "/v3alpha")

_KV: Final[dict[str, tuple[str, ...]]] = {
    "Range": ("/v3/kv/range",),
    "Put": ("/v3/kv/put",),
    "DeleteRange": ("/v3/kv/deleterange",),
    "Txn": ("/v3/kv/txn",),
    "Compact": ("/v3/kv/compaction",),
}
_WATCH: Final[dict[str, tuple[str, ...]]] = {"Watch": ("/v3/watch",)}
_LEASE: Final[dict[str, tuple[str, ...]]] = {
    "LeaseGrant": ("/v3/lease/grant",),
    "LeaseRevoke": ("/v3/lease/revoke", "/v3/kv/lease/revoke"),
    "LeaseKeepAlive": ("/v3/lease/keepalive",),
    "LeaseTimeToLive": ("/v3/lease/timetolive", "/v3/kv/lease/timetolive"),
    "LeaseLeases": ("/v3/lease/leases", "/v3/kv/lease/leases"),
}
_CLUSTER: Final[dict[str, tuple[str, ...]]] = {
    "MemberAdd": ("/v3/cluster/member/add",),
    "MemberRemove": ("/v3/cluster/member/remove",),
    "MemberUpdate": ("/v3/cluster/member/update",),
    "MemberList": ("/v3/cluster/member/list",),
    "MemberPromote": ("/v3/cluster/member/promote",),
}
_MAINTENANCE: Final[dict[str, tuple[str, ...]]] = {
    "Alarm": ("/v3/maintenance/alarm",),
    "Status": ("/v3/maintenance/status",),
    "Defragment": ("/v3/maintenance/defragment",),
    "Hash": ("/v3/maintenance/hash",),
    "HashKV": ("/v3/maintenance/hashkv",),
    "Snapshot": ("/v3/maintenance/snapshot",),
    "MoveLeader": ("/v3/maintenance/transfer-leadership",),
    "Downgrade": ("/v3/maintenance/downgrade",),
}
_AUTH: Final[dict[str, tuple[str, ...]]] = {
    "AuthEnable": ("/v3/auth/enable",),
    "AuthDisable": ("/v3/auth/disable",),
    "AuthStatus": ("/v3/auth/status",),
    "Authenticate": ("/v3/auth/authenticate",),
    "UserAdd": ("/v3/auth/user/add",),
    "UserGet": ("/v3/auth/user/get",),
    "UserList": ("/v3/auth/user/list",),
    "UserDelete": ("/v3/auth/user/delete",),
    "UserChangePassword": ("/v3/auth/user/changepw",),
    "UserGrantRole": ("/v3/auth/user/grant",),
    "UserRevokeRole": ("/v3/auth/user/revoke",),
    "RoleAdd": ("/v3/auth/role/add",),
    "RoleGet": ("/v3/auth/role/get",),
    "RoleList": ("/v3/auth/role/list",),
    "RoleDelete": ("/v3/auth/role/delete",),
    "RoleGrantPermission": ("/v3/auth/role/grant",),
    "RoleRevokePermission": ("/v3/auth/role/revoke",),
}
_LOCK: Final[dict[str, tuple[str, ...]]] = {"Lock": ("/v3/lock/lock",), "Unlock": ("/v3/lock/unlock",)}
_ELECTION: Final[dict[str, tuple[str, ...]]] = {
    "Campaign": ("/v3/election/campaign",),
    "Proclaim": ("/v3/election/proclaim",),
    "Leader": ("/v3/election/leader",),
    "Observe": ("/v3/election/observe",),
    "Resign": ("/v3/election/resign",),
}

_SERVICES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "etcdserverpb.KV": _KV,
    "etcdserverpb.Watch": _WATCH,
    "etcdserverpb.Lease": _LEASE,
    "etcdserverpb.Cluster": _CLUSTER,
    "etcdserverpb.Maintenance": _MAINTENANCE,
    "etcdserverpb.Auth": _AUTH,
    "v3lockpb.Lock": _LOCK,
    "v3electionpb.Election": _ELECTION,
}

#: "service/method" -> paths.
JSON_PATHS: Final = {
    f"{service}/{name}": paths for service, methods in _SERVICES.items() for name, paths in methods.items()
}


def with_aliases(path: str) -> tuple[str, ...]:
    """A path under /v3 and under the older prefixes."""
    return (path, *(alias + path.removeprefix(PREFIX) for alias in ALIASES))
