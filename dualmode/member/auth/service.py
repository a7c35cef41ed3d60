"""Does: the calls of `etcdserverpb.Auth`: logins, and everything about users and roles.

Changes go through the log; questions are answered from the store. Passwords are hashed here, before anything is
proposed, so that none is ever written to a disk.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Any, Final

from dualmode import errors, log
from dualmode.api import authpb, etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.access import Access
from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.caller import ROOT
from dualmode.member.auth.management import Tokens, check_grant, token_field
from dualmode.member.auth.passwords import Passwords
from dualmode.member.auth.rights import READWRITE
from dualmode.member.auth.simple_tokens import LETTERS, PREFIX_LETTERS
from dualmode.member.auth.web_tokens import WebTokens
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Method, Reply, UnaryCall
from dualmode.rpc.decode import decode
from dualmode.rpc.local import AwaitableReply
from dualmode.storage.mvcc.interval import FROM_KEY

_log = log.get("auth")

_SERVICE: Final = "etcdserverpb.Auth"
#: Calls that become an entry as they are: name of the method -> kind of the entry.
_CHANGES: Final = {
    "AuthEnable": requests.AUTH_ENABLE,
    "AuthDisable": requests.AUTH_DISABLE,
    "UserDelete": requests.AUTH_USER_DELETE,
    "UserGrantRole": requests.AUTH_USER_GRANT_ROLE,
    "UserRevokeRole": requests.AUTH_USER_REVOKE_ROLE,
    "RoleAdd": requests.AUTH_ROLE_ADD,
    "RoleDelete": requests.AUTH_ROLE_DELETE,
    "RoleRevokePermission": requests.AUTH_ROLE_REVOKE_PERMISSION,
}


class AuthService:
    """`etcdserverpb.Auth` of one member."""

    def __init__(
        self, replica: Replica, accounts: Accounts, access: Access, tokens: Tokens, passwords: Passwords
    ) -> None:
        self._replica = replica
        self._accounts = accounts
        self._access = access
        self._tokens = tokens
        self._passwords = passwords

    def methods(self) -> list[Method]:
        """What the method table takes."""
        special = {
            "Authenticate": self.authenticate,
            "AuthStatus": self.status,
            "UserAdd": self.user_add,
            "UserChangePassword": self.user_change_password,
            "UserGet": self.user_get,
            "UserList": self.user_list,
            "RoleGet": self.role_get,
            "RoleList": self.role_list,
            "RoleGrantPermission": self.role_grant_permission,
        }
        changes = {name: self._change(name, kind) for name, kind in _CHANGES.items()}
        return [
            Method(_SERVICE, name, Kind.UNARY, *_messages(name), handler)
            for name, handler in (special | changes).items()
        ]

    # --- Changes ---------------------------------------------------------------------------------------------

    def _change(self, name: str, kind: int) -> Callable[[UnaryCall, bytes], None]:
        request_class, _ = _messages(name)

        def change(call: UnaryCall, message: bytes) -> None:
            self._propose(kind, decode(request_class, message), call)

        return change

    def _propose(self, kind: int, request: Any, call: UnaryCall) -> None:
        caller = self._access.named_caller_of(call)
        self._replica.intake.propose(kind, request.SerializeToString(), request, call, caller)

    def role_grant_permission(self, call: UnaryCall, message: bytes) -> None:
        """A permission that says nothing is refused before it reaches the log."""
        request = decode(etcdserverpb.AuthRoleGrantPermissionRequest, message)
        check_grant(request)
        self._propose(requests.AUTH_ROLE_GRANT_PERMISSION, request, call)

    def user_add(self, call: UnaryCall, message: bytes) -> None:
        """The entry carries the hash; for a user without password nothing."""
        request = decode(etcdserverpb.AuthUserAddRequest, message)
        password = request.password
        request.ClearField("password")
        request.ClearField("hashedPassword")
        if request.options.no_password:
            self._propose(requests.AUTH_USER_ADD, request, call)
        else:
            call.spawn(self._with_hash, requests.AUTH_USER_ADD, request, password, call)

    def user_change_password(self, call: UnaryCall, message: bytes) -> None:
        """The same. An empty password is none at all: nobody can log in with it (etcd)."""
        request = decode(etcdserverpb.AuthUserChangePasswordRequest, message)
        password = request.password
        request.ClearField("password")
        if password:
            call.spawn(self._with_hash, requests.AUTH_USER_CHANGE_PASSWORD, request, password, call)
        else:
            self._propose(requests.AUTH_USER_CHANGE_PASSWORD, request, call)

    async def _with_hash(self, kind: int, request: Any, password: str, call: UnaryCall) -> None:
        request.hashedPassword = base64.b64encode(await self._passwords.hash(password)).decode()
        if self._replica.applier.membership.needs_old_form:
            # A member of 3.4 does not see the hash and makes one of its own. Where both are seen the hash counts.
            request.password = password
        await self._propose_and_wait(kind, request, call)

    async def _propose_and_wait(self, kind: int, request: Any, call: UnaryCall) -> None:
        """A task that ends without an answer fails its call, so it waits for the outcome."""
        outcome = AwaitableReply()
        caller = self._access.named_caller_of(call)
        self._replica.intake.propose(kind, request.SerializeToString(), request, outcome, caller)
        call.reply(await outcome.result())

    # --- Logins ----------------------------------------------------------------------------------------------

    def authenticate(self, call: UnaryCall, message: bytes) -> None:
        """Checks the password, then gives a token."""
        request = decode(etcdserverpb.AuthenticateRequest, message)
        call.spawn(self._log_in, request.name, request.password, call)

    async def _log_in(self, name: str, password: str, call: UnaryCall) -> None:
        await self._replica.intake.wait_until_readable()
        while True:
            checked = self._accounts.revision
            try:
                await self._check_password(name, password)
            except RpcError as error:
                if error != errors.AUTH_NOT_ENABLED:
                    _log.warning("invalid authentication was requested", user=name, error=error.message)
                raise
            answer = await self._token_for(name, checked)
            # The password may have changed while it was checked or while the entry was on its way.
            if checked == self._accounts.revision:
                call.reply(answer)
                return

    async def _check_password(self, name: str, password: str) -> None:
        if not self._accounts.is_enabled:
            raise errors.AUTH_NOT_ENABLED
        user = self._accounts.user(name)
        if user is None:
            raise errors.AUTH_FAILED
        if user.options.no_password:
            raise errors.NO_PASSWORD_USER
        if not await self._passwords.matches(password, user.password):
            raise errors.AUTH_FAILED

    async def _token_for(self, name: str, auth_revision: int) -> bytes:
        """The answer of a login. A JWT is signed here; a simple token is made by every member, through the log."""
        if isinstance(self._tokens, WebTokens):
            return self._header_field() + token_field(self._tokens.sign(name, auth_revision))
        prefix = "".join(secrets.choice(LETTERS) for _ in range(PREFIX_LETTERS))
        request = etcdserverpb.InternalAuthenticateRequest(name=name, simple_token=prefix)
        outcome = AwaitableReply()
        self._replica.intake.propose(requests.AUTHENTICATE, request.SerializeToString(), request, outcome)
        return await outcome.result()

    # --- Questions -------------------------------------------------------------------------------------------

    def _header_field(self) -> bytes:
        return self._replica.applier.headers.field(self._replica.store.revision)

    def _answer(self, call: Reply, answer: Any) -> None:
        call.reply(self._header_field() + answer.SerializeToString())

    def status(self, call: UnaryCall, message: bytes) -> None:
        """Whether one has to log in; so it is answered to everyone (etcd 3.7)."""
        decode(etcdserverpb.AuthStatusRequest, message)
        accounts = self._accounts
        self._replica.intake.when_readable(
            lambda: self._answer(
                call,
                etcdserverpb.AuthStatusResponse(enabled=accounts.is_enabled, authRevision=accounts.revision),
            ),
            call,
        )

    def user_get(self, call: UnaryCall, message: bytes) -> None:
        """The roles of a user."""
        request = decode(etcdserverpb.AuthUserGetRequest, message)
        self._replica.intake.when_readable(lambda: self._answer_user(call, request.name), call)

    def _answer_user(self, call: UnaryCall, name: str) -> None:
        self._access.check_user_get(call, name)
        user = self._accounts.user(name)
        if user is None:
            raise errors.USER_NOT_FOUND
        self._answer(call, etcdserverpb.AuthUserGetResponse(roles=user.roles))

    def role_get(self, call: UnaryCall, message: bytes) -> None:
        """The permissions of a role."""
        request = decode(etcdserverpb.AuthRoleGetRequest, message)
        self._replica.intake.when_readable(lambda: self._answer_role(call, request.role), call)

    def _answer_role(self, call: UnaryCall, name: str) -> None:
        self._access.check_role_get(call, name)
        role = self._accounts.role(name)
        if role is None:
            raise errors.ROLE_NOT_FOUND
        # The role root may do everything, whatever was granted to it (etcd 3.6 says so here).
        everything = [authpb.Permission(permType=READWRITE, range_end=FROM_KEY)]
        permissions = everything if name == ROOT else role.keyPermission
        self._answer(call, etcdserverpb.AuthRoleGetResponse(perm=permissions))

    def user_list(self, call: UnaryCall, message: bytes) -> None:
        """All names."""
        decode(etcdserverpb.AuthUserListRequest, message)
        self._replica.intake.when_readable(
            lambda: self._answer(call, etcdserverpb.AuthUserListResponse(users=_names(self._accounts.users()))),
            call,
        )

    def role_list(self, call: UnaryCall, message: bytes) -> None:
        """All names."""
        decode(etcdserverpb.AuthRoleListRequest, message)
        self._replica.intake.when_readable(
            lambda: self._answer(call, etcdserverpb.AuthRoleListResponse(roles=_names(self._accounts.roles()))),
            call,
        )


def _names(named: list[Any]) -> list[str]:
    return [one.name.decode() for one in named]


def _messages(method: str) -> tuple[Any, Any]:
    """The classes of a method; those of users and roles have "Auth" in front."""
    name = f"Auth{method}" if method.startswith(("User", "Role")) else method
    return getattr(etcdserverpb, name + "Request"), getattr(etcdserverpb, name + "Response")
