"""Decides: whether a caller may do something, or which of etcd's errors they are told.

The same questions are asked when a call arrives and again when its entry is applied, on every member.
"""

from __future__ import annotations

from dualmode import errors
from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.caller import Caller
from dualmode.member.auth.rights import Rights
from dualmode.storage.mvcc.interval import interval


class Permissions:
    """Asks the accounts. Nothing here looks at the switch: ask while authentication is on."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def _rights(self, caller: Caller) -> Rights:
        """Raises for a caller without a name, one recognised before the last change, and one who is gone."""
        if caller.auth_revision == 0:
            raise errors.USER_EMPTY
        if caller.auth_revision < self._accounts.revision:
            raise errors.AUTH_OLD_REVISION
        rights = self._accounts.rights(caller.username)
        if rights is None:
            raise errors.PERMISSION_DENIED
        return rights

    def check_read(self, caller: Caller, key: bytes, range_end: bytes) -> None:
        """Whether the caller may read all that (key, range_end) means."""
        rights = self._rights(caller)
        if not rights.is_root and not rights.readable.covers(*interval(key, range_end)):
            raise errors.PERMISSION_DENIED

    def check_write(self, caller: Caller, key: bytes, range_end: bytes) -> None:
        """Whether the caller may write all of it."""
        rights = self._rights(caller)
        if not rights.is_root and not rights.writable.covers(*interval(key, range_end)):
            raise errors.PERMISSION_DENIED

    def check_unchanged(self, caller: Caller) -> None:
        """A read is refused to who was recognised at another revision, higher ones too: a token can say anything."""
        if caller.auth_revision != self._accounts.revision:
            raise errors.AUTH_OLD_REVISION

    def check_user(self, caller: Caller) -> None:
        """Whether the caller is a user that exists."""
        if not caller.username:
            raise errors.USER_EMPTY
        if self._accounts.rights(caller.username) is None:
            raise errors.PERMISSION_DENIED

    def check_root(self, caller: Caller) -> None:
        """Whether the caller has the role root. The revision does not matter: whoever has it now, has it."""
        if not caller.username:
            raise errors.USER_EMPTY
        rights = self._accounts.rights(caller.username)
        if rights is None:
            raise errors.USER_NOT_FOUND
        if not rights.is_root:
            raise errors.PERMISSION_DENIED

    def is_root(self, caller: Caller) -> bool:
        """The same as a question."""
        rights = self._accounts.rights(caller.username)
        return rights is not None and rights.is_root

    def has_role(self, caller: Caller, role: str) -> bool:
        """Whether the caller has this role."""
        user = self._accounts.user(caller.username)
        return user is not None and role in user.roles
