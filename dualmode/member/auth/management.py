"""Decides: what the log entries do that change users, roles and the switch; the same on every member.

Each effect gives the serialised answer or raises one of etcd's errors having changed nothing. Whether its proposer may
do it has been asked before (`gate.py`). Every change advances the auth revision, turning authentication on does not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Protocol

from dualmode import errors
from dualmode.api import authpb
from dualmode.member.apply import requests
from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.caller import ROOT, Caller
from dualmode.member.auth.rights import is_permission_range
from dualmode.storage.varints import varint

#: The hash of a password, as bcrypt writes it.
HashPassword = Callable[[str], bytes]


class Tokens(Protocol):
    """The tokens of one kind. `simple_tokens` and `web_tokens` are the kinds."""

    def assign(self, username: str, auth_revision: int, prefix: str, index: int) -> str:
        """A log entry (its index is given) has logged a user in: the token to answer with, "" where the log has no
        part in making them."""

    def caller_of(self, token: str, auth_revision: int) -> Caller | None:
        """Who brings this token; None for a token that is not valid (any more)."""

    def forget_user(self, username: str) -> None:
        """The user is gone or has another password."""

    def clear(self) -> None:
        """Authentication was turned off."""


class Management:
    """The effects, by the kind of their entry.

    `hash_password` is asked for entries of etcd 3.4 alone, which carry passwords as they are; newer members hash before
    they propose.
    """

    def __init__(self, accounts: Accounts, tokens: Tokens, hash_password: HashPassword) -> None:
        self.accounts = accounts
        self.tokens = tokens
        self._hash_password = hash_password
        self.effects: dict[int, Callable[[Any], None]] = {
            requests.AUTH_ENABLE: self._enable,
            requests.AUTH_DISABLE: self._disable,
            requests.AUTH_USER_ADD: self._user_add,
            requests.AUTH_USER_DELETE: self._user_delete,
            requests.AUTH_USER_CHANGE_PASSWORD: self._user_change_password,
            requests.AUTH_USER_GRANT_ROLE: self._user_grant_role,
            requests.AUTH_USER_REVOKE_ROLE: self._user_revoke_role,
            requests.AUTH_ROLE_ADD: self._role_add,
            requests.AUTH_ROLE_DELETE: self._role_delete,
            requests.AUTH_ROLE_GRANT_PERMISSION: self._role_grant_permission,
            requests.AUTH_ROLE_REVOKE_PERMISSION: self._role_revoke_permission,
        }

    # --- The switch ------------------------------------------------------------------------------------------

    def _enable(self, request: Any) -> None:
        if self.accounts.is_enabled:
            return
        root = self.accounts.user(ROOT)
        if root is None:
            raise errors.ROOT_USER_MISSING
        if ROOT not in root.roles:
            raise errors.ROOT_ROLE_MISSING
        self.accounts.switch(True)

    def _disable(self, request: Any) -> None:
        if self.accounts.is_enabled:
            self.accounts.switch(False)
            self.accounts.advance()
            self.tokens.clear()

    def authenticate(self, request: Any, index: int) -> bytes:
        """Gives a user a token; the member that proposed this has checked the password. Gives the answer's field 2."""
        if not self.accounts.is_enabled:
            raise errors.AUTH_NOT_ENABLED
        user = self.accounts.user(request.name)
        if user is None or user.options.no_password:
            raise errors.AUTH_FAILED
        token = self.tokens.assign(request.name, self.accounts.revision, request.simple_token, index)
        return token_field(token)

    # --- Users -----------------------------------------------------------------------------------------------

    def _user(self, name: str) -> Any:
        user = self.accounts.user(name)
        if user is None:
            raise errors.USER_NOT_FOUND
        return user

    def _user_add(self, request: Any) -> None:
        if not request.name:
            raise errors.USER_EMPTY
        if self.accounts.user(request.name) is not None:
            raise errors.USER_EXISTS
        user = authpb.User(name=request.name.encode(), options=request.options)
        if not request.options.no_password:
            user.password = self._hashed(request)
        self.accounts.put_user(user)
        self.accounts.advance()

    def _hashed(self, request: Any) -> bytes:
        if request.password and not request.hashedPassword:
            return self._hash_password(request.password)
        try:
            return base64.b64decode(request.hashedPassword, validate=True)
        except (binascii.Error, ValueError):
            raise errors.NO_PASSWORD_USER from None

    def _user_delete(self, request: Any) -> None:
        if self.accounts.is_enabled and request.name == ROOT:
            raise errors.INVALID_AUTH_MANAGEMENT
        self._user(request.name)
        self.accounts.delete_user(request.name)
        self.accounts.advance()
        self.tokens.forget_user(request.name)

    def _user_change_password(self, request: Any) -> None:
        user = self._user(request.name)
        user.password = b"" if user.options.no_password else self._hashed(request)
        self.accounts.put_user(user)
        self.accounts.advance()
        self.tokens.forget_user(request.name)

    def _user_grant_role(self, request: Any) -> None:
        user = self._user(request.user)
        # The role root is the one that need not be there.
        if request.role != ROOT and self.accounts.role(request.role) is None:
            raise errors.ROLE_NOT_FOUND
        if request.role in user.roles:
            return
        roles = sorted([*user.roles, request.role], key=str.encode)
        self._give_roles(user, roles)
        self.accounts.advance()

    def _give_roles(self, user: Any, roles: list[str]) -> None:
        user.ClearField("roles")
        user.roles.extend(roles)
        self.accounts.put_user(user)

    def _user_revoke_role(self, request: Any) -> None:
        if self.accounts.is_enabled and request.name == ROOT and request.role == ROOT:
            raise errors.INVALID_AUTH_MANAGEMENT
        user = self._user(request.name)
        if request.role not in user.roles:
            raise errors.ROLE_NOT_GRANTED
        self._give_roles(user, [role for role in user.roles if role != request.role])
        self.accounts.advance()

    # --- Roles -----------------------------------------------------------------------------------------------

    def _role(self, name: str) -> Any:
        role = self.accounts.role(name)
        if role is None:
            raise errors.ROLE_NOT_FOUND
        return role

    def _role_add(self, request: Any) -> None:
        if not request.name:
            raise errors.ROLE_EMPTY
        if self.accounts.role(request.name) is not None:
            raise errors.ROLE_EXISTS
        self.accounts.put_role(authpb.Role(name=request.name.encode()))
        self.accounts.advance()

    def _role_delete(self, request: Any) -> None:
        if self.accounts.is_enabled and request.role == ROOT:
            raise errors.INVALID_AUTH_MANAGEMENT
        self._role(request.role)
        self.accounts.delete_role(request.role)
        for user in self.accounts.users():
            if request.role in user.roles:
                self._give_roles(user, [role for role in user.roles if role != request.role])
        self.accounts.advance()

    def _role_grant_permission(self, request: Any) -> None:
        check_grant(request)
        role = self._role(request.name)
        given, permissions = request.perm, role.keyPermission
        # As in etcd, which looks at the first permission of the key only: of several ranges that begin with one key
        # the later ones are not found, and stand there twice. Every member must have the same, so it is the same here.
        first = next((one for one in permissions if one.key >= given.key), None)
        if first is not None and (first.key, first.range_end) == (given.key, given.range_end):
            first.permType = given.permType
        else:
            ordered = sorted([*permissions, given], key=lambda permission: permission.key)
            role = authpb.Role(name=role.name, keyPermission=ordered)
        self.accounts.put_role(role)
        self.accounts.advance()

    def _role_revoke_permission(self, request: Any) -> None:
        role = self._role(request.role)
        revoked = (request.key, request.range_end)
        kept = [one for one in role.keyPermission if (one.key, one.range_end) != revoked]
        if len(kept) == len(role.keyPermission):
            raise errors.PERMISSION_NOT_GRANTED
        self.accounts.put_role(authpb.Role(name=role.name, keyPermission=kept))
        self.accounts.advance()


def check_grant(request: Any) -> None:
    """Whether an AuthRoleGrantPermissionRequest says what for. Also before it is proposed: an entry without a
    permission stops etcd 3.4 for ever."""
    if not request.HasField("perm"):
        raise errors.PERMISSION_NOT_GIVEN
    if not is_permission_range(request.perm.key, request.perm.range_end):
        raise errors.INVALID_AUTH_MANAGEMENT


def token_field(token: str) -> bytes:
    """`AuthenticateResponse.token`."""
    text = token.encode()
    return b"\x12" + varint(len(text)) + text if text else b""
