"""Who brings a call: tokens, certificates, gateways; and what may be read now."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.http.routing import PeerIdentity
from dualmode.member.apply import requests
from dualmode.member.apply.transaction import Transaction
from dualmode.member.auth.access import Access
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.rpc.local import LocalCall
from dualmode.rpc.metadata import CallMetadata
from tests.member.apply.conftest import Bench
from tests.member.auth.town import READ, WRITE, Town, permission

DENIED = errors.PERMISSION_DENIED


@pytest.fixture
def town(bench: Bench) -> Town:
    town = Town(bench)
    town.settle(permission(READ, b"r", b"s"), permission(WRITE, b"w"))
    town.enable()
    return town


def access(town: Town, *, trusts_certificates: bool = True) -> Access:
    tokens = town.bench.applier._management.tokens
    return Access(town.accounts, tokens, town.bench.store.leases, trusts_certificates=trusts_certificates)


def call(name: str | None = None, **fields: str) -> LocalCall:
    """A call with metadata, from a peer with a certificate of this name."""
    pairs = tuple((key.replace("_", "-").encode(), value.encode()) for key, value in fields.items())
    return LocalCall(CallMetadata(pairs), PeerIdentity("peer", is_tls=True, common_name=name))


def token(town: Town, name: str) -> str:
    return town.bench.applier._management.tokens.assign(name, 1, name, 1)


def error_of(function: Any, *arguments: Any) -> RpcError | None:
    try:
        function(*arguments)
    except RpcError as error:
        return error
    return None


def test_a_token_says_who(town: Town) -> None:
    text = token(town, "alice")
    alice = town.as_user("alice")
    for one in (call(token=text), call(authorization=text), call(authorization="Bearer " + text)):
        assert access(town).caller_of(one) == alice
    assert access(town).caller_of(call("root", token=text)) == alice, "before any certificate"


@pytest.mark.parametrize("text", ["", "x", "Bearer", "alice.2"])
def test_a_wrong_token_is_not_made_good_by_a_certificate(town: Town, text: str) -> None:
    token(town, "alice")
    for one in (call("root", token=text), call("root", authorization=text)):
        assert error_of(access(town).caller_of, one) == errors.INVALID_AUTH_TOKEN


def test_a_certificate_says_who_where_clients_need_one(town: Town) -> None:
    assert access(town).caller_of(call("alice")) == town.as_user("alice")
    assert access(town, trusts_certificates=False).caller_of(call("alice")) is NOBODY
    assert access(town).caller_of(call(None)) is NOBODY


def test_the_certificate_of_a_gateway_is_not_the_callers(town: Town) -> None:
    assert access(town).caller_of(call("root", grpcgateway_accept="*/*")) is NOBODY


def test_over_json_the_certificate_is_the_callers_own(town: Town) -> None:
    """Unlike in etcd, whose gateway calls its own server with a certificate of its own."""
    one = call("alice")
    one.metadata.is_gateway = True
    assert access(town).caller_of(one) == town.as_user("alice")


def test_nobody_is_asked_while_it_is_off(town: Town) -> None:
    town.done(requests.AUTH_DISABLE)
    off = access(town)
    stranger = call("eve", token="x")
    assert not off.is_on
    assert off.caller_of(stranger) is NOBODY
    assert off.named_caller_of(stranger) is NOBODY
    assert off.root() is NOBODY
    assert off.sees_every_lease(stranger)
    for check, *arguments in (
        (off.check_user,),
        (off.check_root,),
        (off.check_read, b"x", b"\0"),
        (off.check_txn, Transaction(pb.TxnRequest())),
        (off.check_readable, [b"x"]),
        (off.check_renewal, 5),
        (off.check_user_get, "x"),
        (off.check_role_get, "x"),
    ):
        check(stranger, *arguments)


@pytest.mark.parametrize(
    ("name", "user", "root"),
    [
        (None, errors.USER_EMPTY, errors.USER_EMPTY),
        ("", errors.USER_EMPTY, errors.USER_EMPTY),
        ("eve", DENIED, errors.USER_NOT_FOUND),
        ("alice", None, DENIED),
        ("root", None, None),
    ],
)
def test_users_and_root(town: Town, name: str | None, user: RpcError | None, root: RpcError | None) -> None:
    assert error_of(access(town).check_user, call(name)) == user
    assert error_of(access(town).check_root, call(name)) == root


def test_reads_are_asked_for_now(town: Town) -> None:
    on = access(town)
    for key, range_end, expected in ((b"r", b"s", None), (b"r", b"t", DENIED), (b"r", b"\0", DENIED)):
        assert error_of(on.check_read, call("alice"), key, range_end) == expected
    assert error_of(on.check_read, call(), b"r", b"") == errors.USER_EMPTY
    assert error_of(on.check_read, call("eve"), b"r", b"") == DENIED
    assert error_of(on.check_read, call("root"), b"\0", b"\0") is None


class Claims:
    """Tokens that say their own revision, as JWTs do."""

    def caller_of(self, token: str, auth_revision: int) -> Caller:
        return Caller("alice", auth_revision + int(token))


@pytest.mark.parametrize(("token", "expected"), [("0", None), ("-1", True), ("1", True), ("-8", errors.USER_EMPTY)])
def test_a_token_of_another_revision(town: Town, token: str, expected: Any) -> None:
    assert town.accounts.revision == 8
    claims: Any = Claims()
    on = Access(town.accounts, claims, town.bench.store.leases, trusts_certificates=False)
    expected = errors.AUTH_OLD_REVISION if expected is True else expected
    assert error_of(on.check_read, call(token=token), b"r", b"") == expected
    reading = Transaction(pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"r"))]))
    assert error_of(on.check_txn, call(token=token), reading) == expected


def test_transactions_that_read(town: Town) -> None:
    def reading(key: bytes) -> Any:
        inner = pb.TxnRequest(failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))])
        return Transaction(pb.TxnRequest(success=[pb.RequestOp(request_txn=inner)]))

    on = access(town)
    assert error_of(on.check_txn, call("alice"), reading(b"r")) is None
    assert error_of(on.check_txn, call("alice"), reading(b"w")) == DENIED
    assert error_of(on.check_txn, call(), Transaction(pb.TxnRequest())) == errors.USER_EMPTY


def test_leases(town: Town) -> None:
    on = access(town)
    for lease_id, key in ((7, b"r"), (8, b"w")):
        town.apply(requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=lease_id, TTL=9), "root")
        town.apply(requests.PUT, pb.PutRequest(key=key, lease=lease_id), "root")
    assert error_of(on.check_renewal, call("alice"), 7) == DENIED
    assert error_of(on.check_renewal, call("alice"), 8) is None
    assert error_of(on.check_renewal, call("alice"), 9) is None
    assert error_of(on.check_renewal, call("root"), 7) is None
    assert error_of(on.check_renewal, call(), 9) == errors.USER_EMPTY
    assert error_of(on.check_readable, call("alice"), [b"r"]) is None
    assert error_of(on.check_readable, call("alice"), [b"r", b"w"]) == DENIED
    assert error_of(on.check_readable, call("root"), [b"r", b"w"]) is None
    assert (on.sees_every_lease(call("root")), on.sees_every_lease(call("alice"))) == (True, False)
    assert on.root() == town.as_user("root")


def test_everyone_may_ask_about_themselves(town: Town) -> None:
    on = access(town)
    assert error_of(on.check_user_get, call("alice"), "alice") is None
    assert error_of(on.check_user_get, call("alice"), "root") == DENIED
    assert error_of(on.check_user_get, call(), "root") == errors.USER_EMPTY
    assert error_of(on.check_role_get, call("alice"), "reader") is None
    assert error_of(on.check_role_get, call("alice"), "root") == DENIED
    assert error_of(on.check_role_get, call("root"), "anything") is None
