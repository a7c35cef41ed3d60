"""Does: brings two servers, shared between runs, to the same empty state: no keys, leases, users, alarms; equal
revisions of the store and of auth."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import grpc

from dualmode.api import authpb
from tests.differential.accounts import PASSWORDS, ROOT
from tests.differential.methods import METHODS
from tests.interop import grpc_client
from tests.interop.grpc_client import Client

_LEVEL_ROLE: Final = "level"


def ask(client: Client, method: str, token: str = "", /, **fields: Any) -> Any:
    """The answer of a unary call of any service; raises grpc.RpcError."""
    it = METHODS[method]
    call = client.channel.unary_unary(
        it.grpc_path, request_serializer=it.request.SerializeToString, response_deserializer=it.response.FromString
    )
    return call(it.request(**fields), timeout=20, metadata=(("token", token),) if token else ())


def start_afresh(*clients: Client) -> int:
    """Returns the revision at which all stores stand, compacted there."""
    newer = [client for client in clients if has_auth_status(client)]
    for client in newer:
        turn_auth_off(client)
    if newer != list(clients):
        return grpc_client.start_afresh(*clients)
    for client in clients:
        for alarm in ask(client, "Alarm").alarms:
            ask(client, "Alarm", action=2, memberID=alarm.memberID, alarm=alarm.alarm)
        for member in ask(client, "MemberList").members:
            if member.isLearner:
                ask(client, "MemberRemove", ID=member.ID)
        for user in ask(client, "UserList").users:
            ask(client, "UserDelete", name=user)
        for role in ask(client, "RoleList").roles:
            ask(client, "RoleDelete", role=role)
    level_auth(*clients)
    return grpc_client.start_afresh(*clients)


def has_auth_status(client: Client) -> bool:
    """Whether a server is newer than 3.4."""
    try:
        ask(client, "AuthStatus")
    except grpc.RpcError as error:
        return bool(error.code() is not grpc.StatusCode.UNIMPLEMENTED)
    return True


def turn_auth_off(client: Client) -> None:
    """A run may have left it on; root's password is one of a few."""
    with contextlib.suppress(grpc.RpcError):
        ask(client, "AuthDisable")
        return
    for password in PASSWORDS:
        with contextlib.suppress(grpc.RpcError):
            ask(client, "AuthDisable", ask(client, "Authenticate", name=ROOT, password=password).token)
            return
    raise AssertionError("auth is on, and none of root's passwords opens it")


def level_auth(*clients: Client) -> None:
    """Changes a role where the auth revision lags, until all are equal."""
    revisions = [ask(client, "AuthStatus").authRevision for client in clients]
    goal = max(revisions) + 2
    for client, revision in zip(clients, revisions, strict=True):
        ask(client, "RoleAdd", name=_LEVEL_ROLE)
        for _ in range(goal - revision - 2):
            ask(client, "RoleGrantPermission", name=_LEVEL_ROLE, perm=authpb.Permission(key=b"a"))
        ask(client, "RoleDelete", role=_LEVEL_ROLE)


def can_change_members(client: Client) -> bool:
    """Whether a server has the calls of the Cluster service that change it."""
    try:
        ask(client, "MemberPromote", ID=1)
    except grpc.RpcError as error:
        return bool(error.code() is not grpc.StatusCode.UNIMPLEMENTED)
    raise AssertionError("member 1 cannot be promoted: there is none")


def member_ids(*clients: Client) -> list[int]:
    return [ask(client, "Status").header.member_id for client in clients]
