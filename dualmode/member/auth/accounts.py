"""Decides: which users and roles there are and whether anyone is asked who they are, kept in etcd's buckets.

    auth        authEnabled    one byte, 0 or 1
                authRevision   8 bytes, big endian: counts every change of a user or role
    authUsers   name           authpb.User
    authRoles   name           authpb.Role

Changed by log entries only, inside a pass of the store (`management.py`). What a user may do is worked out when it is
first asked and kept until the revision moves.
"""

from __future__ import annotations

from typing import Any, Final

from dualmode.api import authpb
from dualmode.member.auth.rights import Rights, rights_of
from dualmode.member.buckets import BucketRows

_AUTH: Final = b"auth"
_USERS: Final = b"authUsers"
_ROLES: Final = b"authRoles"
_ENABLED_ROW: Final = b"authEnabled"
_REVISION_ROW: Final = b"authRevision"
#: etcd counts the making of its buckets as the first change.
_FIRST_REVISION: Final = 1


class Accounts:
    """Users, roles, the switch and the revision. `is_enabled` is what every call looks at first."""

    def __init__(self, rows: BucketRows) -> None:
        self._rows = rows
        self.is_enabled = False
        self.revision = _FIRST_REVISION
        self._rights: dict[str, Rights] = {}
        self.load()

    def load(self) -> None:
        """Reads switch and revision anew: at the start, and after the store's content was replaced."""
        self.is_enabled = self._rows.bucket_get(_AUTH, _ENABLED_ROW) == b"\x01"
        stored = self._rows.bucket_get(_AUTH, _REVISION_ROW)
        self.revision = int.from_bytes(stored, "big") if stored else _FIRST_REVISION
        self._rights = {}

    # --- Reading ---------------------------------------------------------------------------------------------

    def user(self, name: str) -> Any | None:
        """An `authpb.User` of the caller's own, None when there is none."""
        stored = self._rows.bucket_get(_USERS, name.encode())
        return None if stored is None else authpb.User.FromString(stored)

    def role(self, name: str) -> Any | None:
        """The same for an `authpb.Role`."""
        stored = self._rows.bucket_get(_ROLES, name.encode())
        return None if stored is None else authpb.Role.FromString(stored)

    def users(self) -> list[Any]:
        """All users, by name."""
        return [authpb.User.FromString(value) for _, value in self._rows.bucket_rows(_USERS)]

    def roles(self) -> list[Any]:
        """All roles, by name."""
        return [authpb.Role.FromString(value) for _, value in self._rows.bucket_rows(_ROLES)]

    def rights(self, name: str) -> Rights | None:
        """What a user may do, None when there is no such user. Unknown names are not kept: callers choose them."""
        rights = self._rights.get(name)
        if rights is None:
            user = self.user(name)
            if user is None:
                return None
            found = [role for role in map(self.role, user.roles) if role is not None]
            rights = self._rights[name] = rights_of(user, found)
        return rights

    # --- Changing, inside a pass -----------------------------------------------------------------------------

    def put_user(self, user: Any) -> None:
        """Makes or replaces a user."""
        self._rows.bucket_put(_USERS, user.name, user.SerializeToString())

    def delete_user(self, name: str) -> None:
        """Deletes a user."""
        self._rows.bucket_delete(_USERS, name.encode())

    def put_role(self, role: Any) -> None:
        """Makes or replaces a role."""
        self._rows.bucket_put(_ROLES, role.name, role.SerializeToString())

    def delete_role(self, name: str) -> None:
        """Deletes a role."""
        self._rows.bucket_delete(_ROLES, name.encode())

    def switch(self, is_enabled: bool) -> None:
        """Turns authentication on or off."""
        self.is_enabled = is_enabled
        self._rows.bucket_put(_AUTH, _ENABLED_ROW, b"\x01" if is_enabled else b"\x00")

    def advance(self) -> None:
        """A user or role has changed: one revision more, and nothing is known of anyone's rights."""
        self.revision += 1
        self._rights = {}
        self._rows.bucket_put(_AUTH, _REVISION_ROW, self.revision.to_bytes(8, "big"))
