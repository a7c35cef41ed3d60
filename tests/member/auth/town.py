"""Does: users and roles for tests, made as they are made in life: by log entries."""

from __future__ import annotations

import base64
from typing import Any

import bcrypt

from dualmode.api import authpb
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY, Caller
from tests.member.apply.conftest import Bench

READ, WRITE, READWRITE = 0, 1, 2

#: Kind of entry -> name of its messages.
CHANGES = {
    requests.AUTH_ENABLE: "AuthEnable",
    requests.AUTH_DISABLE: "AuthDisable",
    requests.AUTH_USER_ADD: "AuthUserAdd",
    requests.AUTH_USER_DELETE: "AuthUserDelete",
    requests.AUTH_USER_CHANGE_PASSWORD: "AuthUserChangePassword",
    requests.AUTH_USER_GRANT_ROLE: "AuthUserGrantRole",
    requests.AUTH_USER_REVOKE_ROLE: "AuthUserRevokeRole",
    requests.AUTH_ROLE_ADD: "AuthRoleAdd",
    requests.AUTH_ROLE_DELETE: "AuthRoleDelete",
    requests.AUTH_ROLE_GRANT_PERMISSION: "AuthRoleGrantPermission",
    requests.AUTH_ROLE_REVOKE_PERMISSION: "AuthRoleRevokePermission",
}


def hashed(password: str) -> str:
    """As it stands in an entry; the cheapest hash there is."""
    return base64.b64encode(bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, b"2a"))).decode()


def permission(kind: int, key: bytes, range_end: bytes = b"") -> Any:
    return authpb.Permission(permType=kind, key=key, range_end=range_end)


class Town:
    """An applier and who lives there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.accounts = bench.applier.accounts

    def change(self, kind: int, caller: Caller | None = None, **fields: Any) -> Any:
        """The answer of one entry, or its error. Proposed by root when nothing else is said."""
        request = getattr(pb, CHANGES[kind] + "Request")(**fields)
        caller = self.as_user("root") if caller is None else caller
        return self.bench.apply(kind, request, getattr(pb, CHANGES[kind] + "Response"), caller)

    def done(self, kind: int, **fields: Any) -> None:
        """A change that must succeed."""
        answer = self.change(kind, **fields)
        assert not isinstance(answer, RpcError), answer

    def as_user(self, name: str) -> Caller:
        """Somebody recognised now."""
        return Caller(name, self.accounts.revision)

    def settle(self, *permissions: Any, role: str = "reader", user: str = "alice") -> None:
        """A user with one role that has these permissions."""
        self.done(requests.AUTH_USER_ADD, name=user, options=authpb.UserAddOptions(no_password=True))
        self.done(requests.AUTH_ROLE_ADD, name=role)
        for one in permissions:
            self.done(requests.AUTH_ROLE_GRANT_PERMISSION, name=role, perm=one)
        self.done(requests.AUTH_USER_GRANT_ROLE, user=user, role=role)

    def enable(self) -> None:
        """root with the role root, then the switch."""
        self.done(requests.AUTH_USER_ADD, name="root", hashedPassword=hashed("secret"))
        self.done(requests.AUTH_USER_GRANT_ROLE, user="root", role="root")
        self.done(requests.AUTH_ENABLE)

    def apply(self, kind: int, request: Any, user: str | Caller = NOBODY) -> Any:
        """An entry of another kind."""
        caller = self.as_user(user) if isinstance(user, str) else user
        name = {requests.PUT: "Put", requests.DELETE_RANGE: "DeleteRange", requests.TXN: "Txn"}.get(kind)
        name = name or {requests.LEASE_GRANT: "LeaseGrant", requests.LEASE_REVOKE: "LeaseRevoke"}[kind]
        return self.bench.apply(kind, request, getattr(pb, name + "Response"), caller)
