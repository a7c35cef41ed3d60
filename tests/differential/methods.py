"""Decides: every RPC that a run knows: where it is in gRPC and in JSON, and its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dualmode.api import etcdserverpb, v3electionpb, v3lockpb

_KV: Final = {"Range": "range", "Put": "put", "DeleteRange": "deleterange", "Txn": "txn", "Compact": "compaction"}
_LEASE: Final = {
    "LeaseGrant": "grant",
    "LeaseRevoke": "revoke",
    "LeaseTimeToLive": "timetolive",
    "LeaseLeases": "leases",
    "LeaseKeepAlive": "keepalive",
}
_CLUSTER: Final = {
    "MemberAdd": "member/add",
    "MemberRemove": "member/remove",
    "MemberUpdate": "member/update",
    "MemberList": "member/list",
    "MemberPromote": "member/promote",
}
_MAINTENANCE: Final = {
    "Alarm": "alarm",
    "Status": "status",
    "Defragment": "defragment",
    "Hash": "hash",
    "HashKV": "hashkv",
    "Snapshot": "snapshot",
    "MoveLeader": "transfer-leadership",
    "Downgrade": "downgrade",
}
_AUTH: Final = {
    "AuthEnable": "enable",
    "AuthDisable": "disable",
    "AuthStatus": "status",
    "Authenticate": "authenticate",
    "UserAdd": "user/add",
    "UserGet": "user/get",
    "UserList": "user/list",
    "UserDelete": "user/delete",
    "UserChangePassword": "user/changepw",
    "UserGrantRole": "user/grant",
    "UserRevokeRole": "user/revoke",
    "RoleAdd": "role/add",
    "RoleGet": "role/get",
    "RoleList": "role/list",
    "RoleDelete": "role/delete",
    "RoleGrantPermission": "role/grant",
    "RoleRevokePermission": "role/revoke",
}
_ELECTION: Final = {
    "Campaign": "campaign",
    "Proclaim": "proclaim",
    "Leader": "leader",
    "Observe": "observe",
    "Resign": "resign",
}
_LOCK: Final = {"Lock": "lock", "Unlock": "unlock"}
#: Messages that are not named after their method.
_MESSAGE_NAMES: Final = {"Compact": ("Compaction", "Compaction"), "Observe": ("Leader", "Leader")}
#: One request, many answers; a run takes the first.
SERVER_STREAMS: Final = frozenset(("Snapshot", "Observe"))


@dataclass(frozen=True, slots=True)
class Method:
    """`grpc_path` and `json_path` are whole paths; the classes make messages."""

    grpc_path: str
    json_path: str
    request: Any
    response: Any


def _named(package: Any, package_name: str, service: str, folder: str, paths: dict[str, str]) -> dict[str, Method]:
    made = {}
    for name, path in paths.items():
        plain = f"Auth{name}" if name.startswith(("User", "Role")) else name
        request, response = _MESSAGE_NAMES.get(name, (plain, plain))
        made[name] = Method(
            f"/{package_name}.{service}/{name}",
            f"/v3/{folder}/{path}",
            getattr(package, f"{request}Request"),
            getattr(package, f"{response}Response"),
        )
    return made


METHODS: Final = {
    **_named(etcdserverpb, "etcdserverpb", "KV", "kv", _KV),
    **_named(etcdserverpb, "etcdserverpb", "Lease", "lease", _LEASE),
    **_named(etcdserverpb, "etcdserverpb", "Cluster", "cluster", _CLUSTER),
    **_named(etcdserverpb, "etcdserverpb", "Maintenance", "maintenance", _MAINTENANCE),
    **_named(etcdserverpb, "etcdserverpb", "Auth", "auth", _AUTH),
    **_named(v3electionpb, "v3electionpb", "Election", "election", _ELECTION),
    **_named(v3lockpb, "v3lockpb", "Lock", "lock", _LOCK),
}
