"""From roles to what a user may do."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode.api import authpb
from dualmode.member.auth.rights import is_permission_range, rights_of
from tests.member.auth.town import READ, READWRITE, WRITE, permission


def role(*permissions: Any) -> Any:
    return authpb.Role(name=b"r", keyPermission=permissions)


def test_read_and_write_are_apart_and_all_roles_count() -> None:
    rights = rights_of(
        authpb.User(name=b"u", roles=["r", "s"]),
        [role(permission(READ, b"a", b"c"), permission(WRITE, b"x")), role(permission(READWRITE, b"c", b"d"))],
    )
    assert not rights.is_root
    assert rights.readable.intervals == [(b"a", b"d")]
    assert rights.writable.intervals == [(b"c", b"d"), (b"x", b"x\0")]


def test_from_key_on() -> None:
    rights = rights_of(authpb.User(roles=["r"]), [role(permission(READ, b"m", b"\0"))])
    assert rights.readable.intervals == [(b"m", None)]


def test_root_needs_no_record_of_its_role() -> None:
    assert rights_of(authpb.User(roles=["a", "root"]), []).is_root


def test_nothing_without_roles() -> None:
    rights = rights_of(authpb.User(), [])
    assert (rights.is_root, rights.readable.intervals, rights.writable.intervals) == (False, [], [])


def test_what_an_older_etcd_let_through_means_nothing() -> None:
    """An empty key, and a range that ends before it begins; a type of a later version gives nothing either."""
    odd = [permission(READ, b"", b"\0"), permission(READ, b"x", b"a"), permission(7, b"k")]
    assert rights_of(authpb.User(roles=["r"]), [role(*odd)]).readable.intervals == []


@pytest.mark.parametrize(
    ("key", "range_end", "is_one"),
    [
        (b"", b"", False),
        (b"", b"\0", False),
        (b"", b"z", False),
        (b"a", b"", True),
        (b"a", b"b", True),
        (b"a", b"\0", True),
        (b"\0", b"\0", True),
        (b"a", b"a", False),
        (b"b", b"a", False),
        (b"a", b"a\0", True),
    ],
)
def test_permission_ranges(key: bytes, range_end: bytes, is_one: bool) -> None:
    assert is_permission_range(key, range_end) is is_one
