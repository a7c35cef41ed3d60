"""Decides: what becomes of each message on its way into a namespace and out of it: one table of all methods.

A method is in one of three places: its keys are rewritten, it has none and is forwarded as it is, or it is refused. One
that is in none, of a later release, is refused too: it may carry keys. For the same reason fields that are not known
are dropped from messages that are rewritten, as a server that does not know them would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from dualmode import errors
from dualmode.errors import Code, RpcError
from dualmode.proxy.namespace.key_space import TO_THE_END, KeySpace

Rewrite = Callable[[KeySpace, Any], None]
SNAPSHOT_REFUSED: Final = RpcError(
    Code.PERMISSION_DENIED,
    "dualmode: a snapshot holds the keys of all: ask a member for it, this proxy serves a namespace",
)


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Of one method. Both change the parsed message in place; they raise `RpcError` for one that must not pass."""

    request: Rewrite
    response: Rewrite


# --- Requests --------------------------------------------------------------------------------------------------


def _interval(space: KeySpace, message: Any) -> None:
    """`key` and `range_end`. From the empty key on to the end is all of the namespace.

    Else the empty key is none: it stays, alone, so that the member refuses it with all that it looks at before. Where
    one did not, it would be the empty key, which no store has.
    """
    if message.key or message.range_end == TO_THE_END:
        message.key = space.key_at_member(message.key)
        message.range_end = space.end_at_member(message.range_end)
    else:
        message.range_end = b""


def _key(space: KeySpace, message: Any) -> None:
    if message.key:  # as above
        message.key = space.key_at_member(message.key)


def _name(space: KeySpace, message: Any) -> None:
    message.name = space.key_at_member(message.name)


def _leader_to_member(space: KeySpace, message: Any) -> None:
    if message.HasField("leader"):  # else the member says what is missing
        _name(space, message.leader)
        _key(space, message.leader)


def _txn(space: KeySpace, message: Any) -> None:
    for compare in message.compare:
        _interval(space, compare)
    for operation in (*message.success, *message.failure):
        kind = operation.WhichOneof("request")
        if kind is not None:
            _OPERATIONS[kind](space, getattr(operation, kind))


_OPERATIONS: Final[dict[str, Rewrite]] = {
    "request_range": _interval,
    "request_put": _key,
    "request_delete_range": _interval,
    "request_txn": _txn,
}


def watch_create(space: KeySpace, message: Any) -> None:
    """A WatchCreateRequest. The empty key means the first one, as etcd has it."""
    message.DiscardUnknownFields()
    if not message.key and message.range_end != TO_THE_END:
        message.key = b"\0"
    _interval(space, message)


def _watch(space: KeySpace, message: Any) -> None:
    if message.WhichOneof("request_union") == "create_request":
        watch_create(space, message.create_request)


def _grant(space: KeySpace, message: Any) -> None:
    if not message.HasField("perm"):
        return  # the member says what is missing
    if not message.perm.key and message.perm.range_end != TO_THE_END:
        raise errors.INVALID_AUTH_MANAGEMENT
    _interval(space, message.perm)


def _revoke(space: KeySpace, message: Any) -> None:
    """Whatever it names: what was not granted cannot be revoked, and what RoleGet shows can."""
    message.key = space.key_at_member(message.key)
    message.range_end = space.end_at_member(message.range_end)


# --- Responses -------------------------------------------------------------------------------------------------


def _nothing(space: KeySpace, message: Any) -> None:
    """No key in it."""


def _own(space: KeySpace, message: Any) -> None:
    """`key`, of a KeyValue or where else a member says one."""
    message.key = space.key_for_client(message.key)


def _all_own(space: KeySpace, messages: Iterable[Any]) -> None:
    for message in messages:
        _own(space, message)


def _kvs(space: KeySpace, message: Any) -> None:
    _all_own(space, message.kvs)


def _kv(space: KeySpace, message: Any) -> None:
    if message.HasField("kv"):
        _own(space, message.kv)


def _prev_kv(space: KeySpace, message: Any) -> None:
    if message.HasField("prev_kv"):
        _own(space, message.prev_kv)


def _prev_kvs(space: KeySpace, message: Any) -> None:
    _all_own(space, message.prev_kvs)


def _streamed(space: KeySpace, message: Any) -> None:
    _kvs(space, message.range_response)


def _txn_answer(space: KeySpace, message: Any) -> None:
    for answer in message.responses:
        kind = answer.WhichOneof("response")
        if kind is not None:
            _ANSWERS[kind](space, getattr(answer, kind))


_ANSWERS: Final[dict[str, Rewrite]] = {
    "response_range": _kvs,
    "response_put": _prev_kv,
    "response_delete_range": _prev_kvs,
    "response_txn": _txn_answer,
}


def watch_response(space: KeySpace, message: Any) -> None:
    """A WatchResponse."""
    message.DiscardUnknownFields()
    for event in message.events:
        _kv(space, event)
        _prev_kv(space, event)


def _keys_of_lease(space: KeySpace, message: Any) -> None:
    """A lease may have keys outside as well."""
    own = [space.key_for_client(key) for key in message.keys if space.has(key)]
    del message.keys[:]
    message.keys.extend(own)


def _leader_for_client(space: KeySpace, message: Any) -> None:
    if message.HasField("leader"):
        message.leader.name = space.key_for_client(message.leader.name)
        _own(space, message.leader)


def _permissions(space: KeySpace, message: Any) -> None:
    """A role may have permissions that reach outside: they are nobody's business here."""
    given = list(message.perm)
    del message.perm[:]
    for permission in given:
        interval = space.interval_for_client(permission.key, permission.range_end)
        if interval is not None:
            permission.key, permission.range_end = interval
            message.perm.append(permission)


# --- The table -------------------------------------------------------------------------------------------------

REWRITTEN: Final[dict[str, Rewriting]] = {
    "etcdserverpb.KV/Range": Rewriting(_interval, _kvs),
    "etcdserverpb.KV/RangeStream": Rewriting(_interval, _streamed),
    "etcdserverpb.KV/Put": Rewriting(_key, _prev_kv),
    "etcdserverpb.KV/DeleteRange": Rewriting(_interval, _prev_kvs),
    "etcdserverpb.KV/Txn": Rewriting(_txn, _txn_answer),
    "etcdserverpb.Watch/Watch": Rewriting(_watch, watch_response),
    "etcdserverpb.Lease/LeaseTimeToLive": Rewriting(_nothing, _keys_of_lease),
    "etcdserverpb.Auth/RoleGet": Rewriting(_nothing, _permissions),
    "etcdserverpb.Auth/RoleGrantPermission": Rewriting(_grant, _nothing),
    "etcdserverpb.Auth/RoleRevokePermission": Rewriting(_revoke, _nothing),
    "v3lockpb.Lock/Lock": Rewriting(_name, _own),
    "v3lockpb.Lock/Unlock": Rewriting(_key, _nothing),
    "v3electionpb.Election/Campaign": Rewriting(_name, _leader_for_client),
    "v3electionpb.Election/Proclaim": Rewriting(_leader_to_member, _nothing),
    "v3electionpb.Election/Leader": Rewriting(_name, _kv),
    "v3electionpb.Election/Observe": Rewriting(_name, _kv),
    "v3electionpb.Election/Resign": Rewriting(_leader_to_member, _nothing),
}

REFUSED: Final[dict[str, RpcError]] = {"etcdserverpb.Maintenance/Snapshot": SNAPSHOT_REFUSED}

#: service -> methods without keys.
_WITHOUT_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "etcdserverpb.KV": ("Compact",),
    "etcdserverpb.Lease": ("LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseLeases"),
    "etcdserverpb.Cluster": ("MemberAdd", "MemberRemove", "MemberUpdate", "MemberList", "MemberPromote"),
    "etcdserverpb.Maintenance": ("Alarm", "Status", "Defragment", "Hash", "HashKV", "MoveLeader", "Downgrade"),
    "etcdserverpb.Auth": (
        *("AuthEnable", "AuthDisable", "AuthStatus", "Authenticate"),
        *("UserAdd", "UserGet", "UserList", "UserDelete", "UserChangePassword", "UserGrantRole", "UserRevokeRole"),
        *("RoleAdd", "RoleList", "RoleDelete"),
    ),
    "grpc.health.v1.Health": ("Check", "Watch"),
    "grpc.reflection.v1.ServerReflection": ("ServerReflectionInfo",),
    "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
}
WITHOUT_KEYS: Final = frozenset(f"{service}/{name}" for service, names in _WITHOUT_KEYS.items() for name in names)
