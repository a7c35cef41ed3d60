"""Decides: what a user may do, from the roles they have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from dualmode.member.auth.caller import ROOT
from dualmode.member.auth.key_set import Interval, KeySet
from dualmode.storage.mvcc.interval import FROM_KEY, interval

READ, WRITE, READWRITE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Rights:
    """Of one user, all roles taken together."""

    is_root: bool
    readable: KeySet
    writable: KeySet


_NO_KEYS: Final = KeySet(())
_ROOT_RIGHTS: Final = Rights(True, _NO_KEYS, _NO_KEYS)


def rights_of(user: Any, roles: Iterable[Any]) -> Rights:
    """The rights of an `authpb.User` with these `authpb.Role`s (those of its roles that exist)."""
    if ROOT in user.roles:
        return _ROOT_RIGHTS
    readable: list[Interval] = []
    writable: list[Interval] = []
    for role in roles:
        for permission in role.keyPermission:
            if not is_permission_range(permission.key, permission.range_end):
                continue  # granted by an etcd that did not refuse it: it means nothing
            keys = interval(permission.key, permission.range_end)
            if permission.permType in (READ, READWRITE):
                readable.append(keys)
            if permission.permType in (WRITE, READWRITE):
                writable.append(keys)
    return Rights(False, KeySet(readable), KeySet(writable))


def is_permission_range(key: bytes, range_end: bytes) -> bool:
    """Whether a permission can be for this: a key, everything from a key on, or a range that is not empty."""
    return bool(key) and (not range_end or range_end == FROM_KEY or key < range_end)
