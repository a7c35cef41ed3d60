"""Decides: random work on users, roles and permissions, and as whom the rest of the work is done.

Root always has a password and gets its role before auth is turned on, so a run never locks itself out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from dualmode.api import authpb, etcdserverpb
from tests.differential.operation import Operation

ROOT: Final = "root"
USERS: Final = (ROOT, "alice", "bob", "\u00e9\u20ac", "cert")
ROLES: Final = ("root", "r1", "r2", "r3")
PASSWORDS: Final = ("p1", "p2", "\u00e9", "")
#: Keys and ends of permissions. Empty and upside-down ranges are refused by later releases only (known.py).
KEYS: Final = (b"a", b"aa", b"ab", b"b", b"k" * 600, b"n/", b"n/03", b"z", b"\xff", b"\x00")
#: Every Go sorts so many without changing the order of equal ones; what etcd does with more depends on its Go.
MAX_PERMISSIONS: Final = 6
KINDS: Final = (authpb.Permission.READ, authpb.Permission.WRITE, authpb.Permission.READWRITE)

Requests = list[tuple[str, Any]]


@dataclass
class Accounts:
    """What earlier answers told about users."""

    enabled: bool = False
    passwords: dict[str, str] = field(default_factory=dict)  #: of users that exist; "" for none
    tokens: set[str] = field(default_factory=set)  #: users whose token is good
    stale: set[str] = field(default_factory=set)  #: users with a token that is good no longer
    permissions: dict[str, int] = field(default_factory=dict)  #: how many each role has at most
    logins: dict[str, int] = field(default_factory=dict)  #: how often each has logged in

    def learn(self, operation: Operation) -> None:
        """A call that succeeded."""
        request = operation.request
        match operation.method:
            case "AuthEnable":
                self.enabled = True
            case "AuthDisable":
                self.enabled = False
                self._end(*self.tokens)
            case "UserAdd":
                self.passwords[request.name] = "" if request.options.no_password else request.password
            case "UserChangePassword":
                self.passwords[request.name] = request.password
                self._end(request.name)
            case "UserDelete":
                self.passwords.pop(request.name, None)
                self._end(request.name)
            case "RoleGrantPermission":
                self.permissions[request.name] = self.permissions.get(request.name, 0) + 1
            case "RoleRevokePermission":
                self.permissions[request.role] = self.permissions.get(request.role, 0) - 1
            case "RoleDelete":
                self.permissions.pop(request.role, None)
            case "Authenticate":
                self.tokens.add(request.name)
                self.logins[request.name] = self.logins.get(request.name, 0) + 1
                self.stale.discard(request.name)

    def _end(self, *users: str) -> None:
        ended = self.tokens & set(users)
        self.tokens -= ended
        self.stale |= ended


class DrawAccounts:
    """Draws calls of the Auth service; each goes out as `caller()`."""

    def __init__(self, random: Random, accounts: Accounts) -> None:
        self._random = random
        self._accounts = accounts
        self.kinds: tuple[tuple[int, Callable[[], Requests]], ...] = (
            (3, self._enable),
            (1, lambda: [("AuthDisable", etcdserverpb.AuthDisableRequest())]),
            (8, self._authenticate),
            (3, lambda: [("AuthStatus", etcdserverpb.AuthStatusRequest())]),
            (3, lambda: [("UserAdd", self._user_add())]),
            (1, lambda: [("UserDelete", etcdserverpb.AuthUserDeleteRequest(name=self._user()))]),
            (1, self._change_password),
            (4, lambda: [("UserGet", etcdserverpb.AuthUserGetRequest(name=self._user()))]),
            (1, lambda: [("UserList", etcdserverpb.AuthUserListRequest())]),
            (5, self._grant_role),
            (2, self._revoke_role),
            (3, lambda: [("RoleAdd", etcdserverpb.AuthRoleAddRequest(name=self._role()))]),
            (1, lambda: [("RoleDelete", etcdserverpb.AuthRoleDeleteRequest(role=self._role()))]),
            (4, lambda: [("RoleGet", etcdserverpb.AuthRoleGetRequest(role=self._role()))]),
            (1, lambda: [("RoleList", etcdserverpb.AuthRoleListRequest())]),
            (8, self._grant_permission),
            (3, self._revoke_permission),
        )

    def operations(self) -> list[Operation]:
        (kind,) = self._random.choices([kind for _, kind in self.kinds], [weight for weight, _ in self.kinds])
        caller = self.caller()
        return [Operation(method, request, user=caller) for method, request in kind()]

    def caller(self) -> str:
        """Mostly one who may, often one who may not, sometimes one without a token or with an old one."""
        draw, accounts = self._random.randrange(100), self._accounts
        if not accounts.enabled:
            return ""
        if draw < 4:
            return ""
        if draw < 7 and accounts.stale:
            return self._random.choice(sorted(accounts.stale))
        if draw < 45 and accounts.tokens:
            return self._random.choice(sorted(accounts.tokens))
        return ROOT

    def log_in(self, user: str) -> Operation:
        password = self._accounts.passwords.get(user, "")
        return Operation("Authenticate", etcdserverpb.AuthenticateRequest(name=user, password=password))

    def _user(self) -> str:
        return "" if self._random.randrange(50) == 0 else self._random.choice(USERS)

    def _role(self) -> str:
        return "" if self._random.randrange(50) == 0 else self._random.choice(ROLES)

    def _enable(self) -> Requests:
        """All it needs, then logins."""
        if self._accounts.enabled:
            return [("AuthEnable", etcdserverpb.AuthEnableRequest())]
        wanted: Requests = [
            ("UserAdd", etcdserverpb.AuthUserAddRequest(name=ROOT, password=PASSWORDS[0])),
            ("UserGrantRole", etcdserverpb.AuthUserGrantRoleRequest(user=ROOT, role="root")),
        ]
        if self._random.randrange(5) == 0:
            wanted = []
        return [*wanted, ("AuthEnable", etcdserverpb.AuthEnableRequest())]

    def _authenticate(self) -> Requests:
        user = self._user()
        password = self._random.choice(PASSWORDS)
        if self._random.randrange(4):
            password = self._accounts.passwords.get(user, password)
        return [("Authenticate", etcdserverpb.AuthenticateRequest(name=user, password=password))]

    def _user_add(self) -> Any:
        request = etcdserverpb.AuthUserAddRequest(name=self._user(), password=self._password_for(ROOT))
        if request.name == "cert":
            request.options.no_password = True
            request.password = ""
        return request

    def _change_password(self) -> Requests:
        name = self._user()
        password = self._password_for(name)
        return [("UserChangePassword", etcdserverpb.AuthUserChangePasswordRequest(name=name, password=password))]

    def _grant_role(self) -> Requests:
        request = etcdserverpb.AuthUserGrantRoleRequest(user=self._user(), role=self._role())
        return [("UserGrantRole", request)]

    def _revoke_role(self) -> Requests:
        request = etcdserverpb.AuthUserRevokeRoleRequest(name=self._user(), role=self._role())
        return [("UserRevokeRole", request)]

    def _password_for(self, user: str) -> str:
        return self._random.choice(PASSWORDS[:3] if user == ROOT else PASSWORDS)

    def _interval(self) -> tuple[bytes, bytes]:
        key = self._random.choice(KEYS)
        form = self._random.randrange(4)
        if form == 0:
            return key, b""
        if form == 1:
            return key, b"\x00"
        later = [end for end in (*KEYS, b"b\x00", b"n0", b"o") if end > key]
        return key, self._random.choice(later) if later else b"\x00"

    def _grant_permission(self) -> Requests:
        request = etcdserverpb.AuthRoleGrantPermissionRequest(name=self._role())
        if self._accounts.permissions.get(request.name, 0) >= MAX_PERMISSIONS:
            return [("RoleDelete", etcdserverpb.AuthRoleDeleteRequest(role=request.name))]
        if self._random.randrange(30):
            key, range_end = self._interval()
            kind = self._random.choice(KINDS)
            request.perm.CopyFrom(authpb.Permission(permType=kind, key=key, range_end=range_end))
        return [("RoleGrantPermission", request)]

    def _revoke_permission(self) -> Requests:
        key, range_end = self._interval()
        request = etcdserverpb.AuthRoleRevokePermissionRequest(role=self._role(), key=key, range_end=range_end)
        return [("RoleRevokePermission", request)]
