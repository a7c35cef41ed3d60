"""Entries that change users and roles: answers, errors, rows and the revision, on a real store."""

from __future__ import annotations

from typing import Any

import bcrypt
import pytest

from dualmode import errors
from dualmode.api import authpb
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.caller import Caller
from tests.member.apply.conftest import Bench
from tests.member.auth.town import READ, READWRITE, WRITE, Town, hashed, permission

ADD, DELETE, CHANGE = requests.AUTH_USER_ADD, requests.AUTH_USER_DELETE, requests.AUTH_USER_CHANGE_PASSWORD
GRANT, REVOKE = requests.AUTH_USER_GRANT_ROLE, requests.AUTH_USER_REVOKE_ROLE
ROLE_ADD, ROLE_DELETE = requests.AUTH_ROLE_ADD, requests.AUTH_ROLE_DELETE
PERMIT, FORBID = requests.AUTH_ROLE_GRANT_PERMISSION, requests.AUTH_ROLE_REVOKE_PERMISSION
ENABLE, DISABLE = requests.AUTH_ENABLE, requests.AUTH_DISABLE


@pytest.fixture
def town(bench: Bench) -> Town:
    return Town(bench)


def refused(town: Town, kind: int, error: RpcError, **fields: Any) -> None:
    """The entry fails with this error and changes nothing."""
    before = (town.accounts.revision, town.accounts.users(), town.accounts.roles())
    assert town.change(kind, **fields) == error
    assert (town.accounts.revision, town.accounts.users(), town.accounts.roles()) == before


def test_a_user_as_etcd_stores_it(town: Town) -> None:
    town.done(ADD, name="alice", password="", hashedPassword="aGFzaA==")
    # name, password, and options that are there though they say nothing
    assert town.bench.store.bucket_get(b"authUsers", b"alice") == b"\x0a\x05alice\x12\x04hash\x22\x00"
    assert town.accounts.revision == 2
    assert town.bench.store.bucket_get(b"auth", b"authRevision") == (2).to_bytes(8, "big")


def test_users(town: Town) -> None:
    refused(town, ADD, errors.USER_EMPTY, name="")
    town.done(ADD, name="bob", hashedPassword=hashed("b"))
    refused(town, ADD, errors.USER_EXISTS, name="bob")
    refused(town, ADD, errors.NO_PASSWORD_USER, name="eve", hashedPassword="no base64!")
    refused(town, DELETE, errors.USER_NOT_FOUND, name="eve")
    refused(town, CHANGE, errors.USER_NOT_FOUND, name="eve", hashedPassword=hashed("x"))
    refused(town, CHANGE, errors.NO_PASSWORD_USER, name="bob", hashedPassword="a")
    town.done(CHANGE, name="bob", hashedPassword=hashed("c"))
    assert bcrypt.checkpw(b"c", town.accounts.user("bob").password)
    town.done(DELETE, name="bob")
    assert town.accounts.user("bob") is None
    assert town.accounts.revision == 4


def test_a_user_without_password_never_gets_one(town: Town) -> None:
    town.done(ADD, name="cert", hashedPassword=hashed("x"), options=authpb.UserAddOptions(no_password=True))
    assert town.accounts.user("cert").password == b""
    town.done(CHANGE, name="cert", hashedPassword=hashed("x"))
    assert town.accounts.user("cert").password == b""
    assert town.accounts.user("cert").options.no_password


def test_an_entry_of_etcd_3_4_carries_the_password_itself(town: Town) -> None:
    town.done(ADD, name="old", password="plain")
    assert bcrypt.checkpw(b"plain", town.accounts.user("old").password)


def test_roles_of_users(town: Town) -> None:
    town.done(ADD, name="bob")
    refused(town, GRANT, errors.USER_NOT_FOUND, user="eve", role="root")
    refused(town, GRANT, errors.ROLE_NOT_FOUND, user="bob", role="r")
    town.done(GRANT, user="bob", role="root")  # needs no record
    town.done(ROLE_ADD, name="r")
    town.done(ROLE_ADD, name="\u00e9")
    town.done(ROLE_ADD, name="Z")
    for role in ("\u00e9", "r", "Z"):
        town.done(GRANT, user="bob", role=role)
    assert list(town.accounts.user("bob").roles) == ["Z", "r", "root", "\u00e9"]
    revision = town.accounts.revision
    town.done(GRANT, user="bob", role="r")
    assert town.accounts.revision == revision, "granting twice changes nothing"
    refused(town, REVOKE, errors.USER_NOT_FOUND, name="eve", role="r")
    refused(town, REVOKE, errors.ROLE_NOT_GRANTED, name="bob", role="q")
    town.done(REVOKE, name="bob", role="r")
    assert list(town.accounts.user("bob").roles) == ["Z", "root", "\u00e9"]


def test_a_role_that_is_deleted_is_taken_from_everyone(town: Town) -> None:
    refused(town, ROLE_ADD, errors.ROLE_EMPTY, name="")
    town.settle(permission(READ, b"a"))
    town.done(ADD, name="bob")
    refused(town, ROLE_ADD, errors.ROLE_EXISTS, name="reader")
    refused(town, ROLE_DELETE, errors.ROLE_NOT_FOUND, role="writer")
    revision = town.accounts.revision
    town.done(ROLE_DELETE, role="reader")
    assert town.accounts.revision == revision + 1
    assert list(town.accounts.user("alice").roles) == []
    assert town.accounts.role("reader") is None


def test_permissions(town: Town) -> None:
    refused(town, PERMIT, errors.PERMISSION_NOT_GIVEN, name="r")
    refused(town, PERMIT, errors.INVALID_AUTH_MANAGEMENT, name="r", perm=permission(READ, b"", b"\0"))
    refused(town, PERMIT, errors.INVALID_AUTH_MANAGEMENT, name="r", perm=permission(READ, b"b", b"a"))
    refused(town, PERMIT, errors.ROLE_NOT_FOUND, name="r", perm=permission(READ, b"b"))
    refused(town, FORBID, errors.ROLE_NOT_FOUND, role="r", key=b"b")
    town.done(ROLE_ADD, name="r")
    for one in (permission(READ, b"m"), permission(WRITE, b"a", b"c"), permission(READWRITE, b"m")):
        town.done(PERMIT, name="r", perm=one)
    assert list(town.accounts.role("r").keyPermission) == [permission(WRITE, b"a", b"c"), permission(READWRITE, b"m")]
    refused(town, FORBID, errors.PERMISSION_NOT_GRANTED, role="r", key=b"a", range_end=b"d")
    refused(town, FORBID, errors.PERMISSION_NOT_GRANTED, role="r", key=b"a")
    town.done(FORBID, role="r", key=b"a", range_end=b"c")
    assert list(town.accounts.role("r").keyPermission) == [permission(READWRITE, b"m")]


def test_ranges_that_begin_with_one_key_stand_as_in_etcd(town: Town) -> None:
    """Only the first of a key is found; granting another one again adds it again, revoking it takes all of them."""
    town.done(ROLE_ADD, name="r")
    granted = [permission(WRITE, b"a", b"c"), permission(READ, b"a", b"d"), permission(READWRITE, b"a", b"d")]
    for one in granted:
        town.done(PERMIT, name="r", perm=one)
    assert list(town.accounts.role("r").keyPermission) == granted
    town.done(FORBID, role="r", key=b"a", range_end=b"d")
    assert list(town.accounts.role("r").keyPermission) == granted[:1]


def test_the_switch(town: Town) -> None:
    refused(town, ENABLE, errors.ROOT_USER_MISSING)
    town.done(ADD, name="root")
    refused(town, ENABLE, errors.ROOT_ROLE_MISSING)
    town.done(DISABLE)
    town.done(GRANT, user="root", role="root")
    revision = town.accounts.revision
    town.done(ENABLE)
    town.done(ENABLE)
    assert town.accounts.is_enabled
    assert town.accounts.revision == revision, "turning it on is no change of users and roles"
    assert town.bench.store.bucket_get(b"auth", b"authEnabled") == b"\x01"
    town.done(DISABLE)
    assert not town.accounts.is_enabled
    assert town.accounts.revision == revision + 1
    assert town.bench.store.bucket_get(b"auth", b"authEnabled") == b"\x00"


def test_root_is_protected_while_it_is_needed(town: Town) -> None:
    town.enable()
    town.done(ROLE_ADD, name="root")
    refused(town, DELETE, errors.INVALID_AUTH_MANAGEMENT, name="root")
    refused(town, ROLE_DELETE, errors.INVALID_AUTH_MANAGEMENT, role="root")
    refused(town, REVOKE, errors.INVALID_AUTH_MANAGEMENT, name="root", role="root")
    town.done(DISABLE)
    town.done(ROLE_DELETE, role="root")
    town.done(DELETE, name="root")


def test_all_of_it_is_there_after_a_restart(town: Town) -> None:
    town.settle(permission(READ, b"a", b"c"))
    town.enable()
    again = Accounts(town.bench.store)
    assert again.is_enabled
    assert again.revision == town.accounts.revision
    assert again.users() == town.accounts.users()
    rights = again.rights("alice")
    assert rights is not None
    assert rights.readable.intervals == [(b"a", b"c")]


def test_a_store_without_rows_begins_at_revision_one(town: Town) -> None:
    assert (town.accounts.revision, town.accounts.is_enabled) == (1, False)


# --- Logging in --------------------------------------------------------------------------------------------------


def log_in(town: Town, name: str, prefix: str = "x" * 16) -> Any:
    request = pb.InternalAuthenticateRequest(name=name, simple_token=prefix)
    return town.bench.apply(requests.AUTHENTICATE, request, pb.AuthenticateResponse)


def test_a_token_is_named_by_its_entry(town: Town) -> None:
    assert log_in(town, "root") == errors.AUTH_NOT_ENABLED
    town.enable()
    answer = log_in(town, "root")
    assert answer.token == "x" * 16 + f".{town.bench.index}"
    assert answer.header.revision == 1


def test_a_login_of_who_is_gone_or_has_no_password(town: Town) -> None:
    town.settle()
    town.enable()
    assert log_in(town, "eve") == errors.AUTH_FAILED
    assert log_in(town, "alice") == errors.AUTH_FAILED


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CHANGE, {"name": "bob", "hashedPassword": hashed("new")}),
        (DELETE, {"name": "bob"}),
        (DISABLE, {}),
    ],
)
def test_what_ends_tokens(town: Town, kind: int, fields: dict[str, Any]) -> None:
    town.done(ADD, name="bob", hashedPassword=hashed("old"))
    town.enable()
    tokens = town.bench.applier._management.tokens
    text = log_in(town, "bob").token
    other = log_in(town, "root", "y" * 16).token
    town.done(ROLE_ADD, name="r")
    assert tokens.caller_of(text, 9) == Caller("bob", 9), "changes of roles leave tokens alone"
    town.done(kind, **fields)
    assert tokens.caller_of(text, 9) is None
    assert (tokens.caller_of(other, 9) is None) is (kind == DISABLE)
