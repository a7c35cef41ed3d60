"""Authentication on a whole member: logins, what each call asks for, restarts.

Here are the holes of etcd's of 2026 that a call goes through: CVE-2026-33413 (methods nobody guarded) and
GHSA-xg4h-6gfc-h4m8 (a watch from a key on, checked as a watch of that key).
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trio
import trio.testing

from dualmode import errors
from dualmode.api import authpb
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.member.auth.assembly import AuthOptions
from dualmode.member.auth.method_rules import RULES, Rule, guarded, rule_of
from dualmode.member.server import MemberServer
from dualmode.rpc.calls import Kind, Method
from dualmode.rpc.local import LOCAL, LocalCall
from dualmode.rpc.metadata import CallMetadata
from tests.member.auth.town import READ, READWRITE, WRITE, permission
from tests.member.conftest import running_member
from tests.member.watch.fakes import FakeStream

CHEAP = AuthOptions(bcrypt_cost=4)
DENIED = errors.PERMISSION_DENIED


class Client:
    """Calls a member's methods, guarded as they are on its listeners; `token` is sent along when it is set."""

    def __init__(self, member: MemberServer, token: str | None = None) -> None:
        self.member = member
        self.token = token
        self._methods = {f"{method.service.split('.')[-1]}.{method.name}": method for method in member.methods()}

    def as_(self, token: str | None) -> Client:
        return Client(self.member, token)

    def metadata(self) -> CallMetadata:
        return CallMetadata(() if self.token is None else ((b"token", self.token.encode()),))

    async def __call__(self, method_name: str, /, **fields: Any) -> Any:
        """The answer; raises RpcError."""
        method = self._methods[method_name]
        call = LocalCall(self.metadata())
        with trio.fail_after(20):
            method.handler(call, method.request(**fields).SerializeToString())  # type: ignore[unused-coroutine]
            return method.response.FromString(await call.result())

    async def error(self, method_name: str, /, **fields: Any) -> RpcError | None:
        try:
            await self(method_name, **fields)
        except RpcError as error:
            return error
        return None

    async def log_in(self, name: str, password: str) -> Client:
        return self.as_((await self("Auth.Authenticate", name=name, password=password)).token)


async def settle(client: Client) -> Client:
    """root, and alice who reads r, writes w, both with b. Gives root logged in."""
    await client("Auth.UserAdd", name="root", password="secret")
    await client("Auth.UserGrantRole", user="root", role="root")
    await client("Auth.UserAdd", name="alice", password="wonder")
    await client("Auth.RoleAdd", name="reader")
    for kind, key, end in ((READ, b"r", b"s"), (WRITE, b"w", b"x"), (READWRITE, b"b", b"c")):
        await client("Auth.RoleGrantPermission", name="reader", perm=permission(kind, key, end))
    await client("Auth.UserGrantRole", user="alice", role="reader")
    for key in (b"r1", b"w1", b"b1", b"s1"):
        await client("KV.Put", key=key, value=b"old")
    await client("Auth.AuthEnable")
    return await client.log_in("root", "secret")


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Client]:
    async with running_member(tmp_path, auth=CHEAP) as member:
        yield await settle(Client(member))


# --- Logging in --------------------------------------------------------------------------------------------------


async def test_a_login_gives_a_token_that_works(root: Client) -> None:
    assert re.fullmatch(r"[a-zA-Z]{16}\.[0-9]+", root.token or "")
    assert root.token is not None
    assert int(root.token.split(".")[1]) == root.member.opened.store.applied_index
    alice = await root.as_(None).log_in("alice", "wonder")
    assert (await alice("KV.Range", key=b"r1")).kvs[0].value == b"old"
    assert await alice.error("KV.Range", key=b"w1") == DENIED
    await alice("KV.Put", key=b"w1", value=b"new")
    assert await alice.error("KV.Put", key=b"r1") == DENIED


async def test_a_remembered_answer_is_for_those_who_may_read_it(root: Client) -> None:
    alice = await root.as_(None).log_in("alice", "wonder")
    for low, high in ((b"r", b"s"), (b"w", b"x")):
        for _ in range(3):
            assert (await root("KV.Range", key=low, range_end=high)).count == 1
    assert (await alice("KV.Range", key=b"r", range_end=b"s")).count == 1
    assert await alice.error("KV.Range", key=b"w", range_end=b"x") == DENIED
    assert await root.as_(None).error("KV.Range", key=b"r", range_end=b"s") == errors.USER_EMPTY
    await root("Auth.RoleRevokePermission", role="reader", key=b"r", range_end=b"s")
    assert await alice.error("KV.Range", key=b"r", range_end=b"s") is not None


@pytest.mark.parametrize(
    ("name", "password", "expected"),
    [
        ("alice", "wonde", errors.AUTH_FAILED),
        ("alice", "", errors.AUTH_FAILED),
        ("eve", "wonder", errors.AUTH_FAILED),
        ("", "", errors.AUTH_FAILED),
        ("cert", "x", errors.NO_PASSWORD_USER),
    ],
)
async def test_logins_that_fail(root: Client, name: str, password: str, expected: RpcError) -> None:
    await root("Auth.UserAdd", name="cert", options=authpb.UserAddOptions(no_password=True))
    assert await root.as_(None).error("Auth.Authenticate", name=name, password=password) == expected


async def test_no_login_while_it_is_off(root: Client) -> None:
    await root("Auth.AuthDisable")
    assert await root.error("Auth.Authenticate", name="root", password="secret") == errors.AUTH_NOT_ENABLED
    assert await root.as_("no token at all").error("KV.Put", key=b"x") is None


async def test_a_password_that_changes_while_it_is_checked(root: Client) -> None:
    """The login goes on with the new one: bcrypt takes long, and meanwhile root has taken the password away."""
    service = root.member.auth
    ask = service._passwords.matches
    asked = []

    async def change_meanwhile(password: str, hashed: bytes) -> bool:
        asked.append(hashed)
        is_right = await ask(password, hashed)
        if len(asked) == 1:
            await root("Auth.UserChangePassword", name="alice", password="land")
        return is_right

    service._passwords.matches = change_meanwhile  # type: ignore[method-assign]
    assert await root.as_(None).error("Auth.Authenticate", name="alice", password="wonder") == errors.AUTH_FAILED
    assert len(asked) == 2


async def test_what_the_log_keeps_of_passwords(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    proposed: list[bytes] = []
    propose = root.member.replica.intake.propose

    def noting(kind: int, message: bytes, *rest: Any) -> None:
        proposed.append(message)
        propose(kind, message, *rest)

    monkeypatch.setattr(root.member.replica.intake, "propose", noting)
    await root("Auth.UserAdd", name="bob", password="plaintext")
    await root("Auth.UserAdd", name="bill", password="plaintext", options=authpb.UserAddOptions(no_password=True))
    await root("Auth.UserAdd", name="ben", password="plaintext", hashedPassword="plaintext")
    await root("Auth.UserChangePassword", name="bob", password="plaintext")
    await root.log_in("bob", "plaintext")
    assert len(proposed) == 5
    assert b"plaintext" not in b"".join(proposed)
    assert bcrypt.checkpw(b"plaintext", root.member.replica.applier.accounts.user("ben").password)


async def test_a_member_before_3_5_sees_no_hash_and_needs_the_password(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Any] = []
    replica = root.member.replica
    propose = replica.intake.propose

    def noting(kind: int, message: bytes, request: Any, *rest: Any) -> None:
        requests.append(request)
        propose(kind, message, request, *rest)

    monkeypatch.setattr(replica.intake, "propose", noting)
    replica.applier.membership.cluster_version = "3.4.0"
    await root("Auth.UserAdd", name="bob", password="plaintext")
    await root("Auth.UserChangePassword", name="bob", password="other")
    assert [request.password for request in requests] == ["plaintext", "other"]
    assert all(request.hashedPassword for request in requests)
    # Whoever sees both takes the hash: it is the same on all members.
    hashed = replica.applier.accounts.user("bob").password
    assert base64.b64decode(requests[1].hashedPassword) == hashed
    assert bcrypt.checkpw(b"other", hashed)


async def test_a_password_that_is_too_long(root: Client) -> None:
    for name in ("Auth.UserAdd", "Auth.UserChangePassword"):
        assert await root.error(name, name="alice", password="x" * 73) == errors.PASSWORD_TOO_LONG


async def test_an_empty_password(root: Client) -> None:
    """etcd: a user may be made with it and log in; changed to it, nobody can."""
    await root("Auth.UserAdd", name="bob", password="")
    assert (await root.log_in("bob", "")).token
    await root("Auth.UserChangePassword", name="alice", password="")
    assert await root.error("Auth.Authenticate", name="alice", password="") == errors.AUTH_FAILED


async def test_strangers_and_users_cost_no_bcrypt(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await root.log_in("alice", "wonder")

    async def hashing(password: str) -> bytes:
        raise AssertionError

    monkeypatch.setattr(root.member.auth._passwords, "hash", hashing)
    for name in ("Auth.UserAdd", "Auth.UserChangePassword"):
        assert await root.as_(None).error(name, name="bob", password="x") == errors.USER_EMPTY
        assert await alice.error(name, name="bob", password="x") == DENIED


async def test_a_restart_keeps_users_and_forgets_simple_tokens(tmp_path: Path) -> None:
    async with running_member(tmp_path, auth=CHEAP) as member:
        root = await settle(Client(member))
        revision = (await root("Auth.AuthStatus")).authRevision
    async with running_member(tmp_path, auth=CHEAP) as member:
        again = Client(member)
        status = await again("Auth.AuthStatus")
        assert (status.enabled, status.authRevision) == (True, revision)
        assert await again.as_(root.token).error("KV.Range", key=b"r1") == errors.INVALID_AUTH_TOKEN
        root = await again.log_in("root", "secret")
        assert list((await root("Auth.UserGet", name="alice")).roles) == ["reader"]


async def test_logins_by_jwt(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    options = AuthOptions(f"jwt,sign-method=HS256,priv-key={tmp_path}/secret", bcrypt_cost=4)
    async with running_member(tmp_path, auth=options) as member:
        root = await settle(Client(member))
        applied = member.opened.store.applied_index
        alice = await root.log_in("alice", "wonder")
        assert (alice.token or "").count(".") == 2
        assert member.opened.store.applied_index == applied, "the log has no part in it"
        assert (await alice("KV.Range", key=b"r1")).kvs
        await root("Auth.RoleAdd", name="another")
        for name, fields in (("KV.Range", {"key": b"r1"}), ("KV.Put", {"key": b"w1"})):
            assert await alice.error(name, **fields) == errors.AUTH_OLD_REVISION
        assert await root.error("KV.Put", key=b"w1") == errors.AUTH_OLD_REVISION
    async with running_member(tmp_path, auth=options) as member:
        assert await Client(member, root.token).error("KV.Range", key=b"r1") == errors.AUTH_OLD_REVISION


# --- Questions ---------------------------------------------------------------------------------------------------


async def test_users_and_roles_told(root: Client) -> None:
    await root("Auth.RoleAdd", name="root")
    assert list((await root("Auth.UserList")).users) == ["alice", "root"]
    assert list((await root("Auth.RoleList")).roles) == ["reader", "root"]
    assert list((await root("Auth.UserGet", name="root")).roles) == ["root"]
    told = (await root("Auth.RoleGet", role="reader")).perm
    assert [one.key for one in told] == [b"b", b"r", b"w"]
    everything = authpb.Permission(permType=READWRITE, range_end=b"\0")
    assert list((await root("Auth.RoleGet", role="root")).perm) == [everything]
    assert await root.error("Auth.UserGet", name="eve") == errors.USER_NOT_FOUND
    assert await root.error("Auth.RoleGet", role="none") == errors.ROLE_NOT_FOUND
    header = (await root("Auth.UserList")).header
    assert (header.revision, header.member_id) == (5, root.member.opened.member_id)


async def test_what_users_may_ask(root: Client) -> None:
    alice = await root.log_in("alice", "wonder")
    assert list((await alice("Auth.UserGet", name="alice")).roles) == ["reader"]
    assert len((await alice("Auth.RoleGet", role="reader")).perm) == 3
    for name, fields in (
        ("Auth.UserGet", {"name": "root"}),
        ("Auth.RoleGet", {"role": "root"}),
        ("Auth.UserList", {}),
        ("Auth.RoleList", {}),
    ):
        assert await alice.error(name, **fields) == DENIED
        assert await root.as_(None).error(name, **fields) == errors.USER_EMPTY


async def test_a_permission_that_says_nothing_never_reaches_the_log(root: Client) -> None:
    applied = root.member.opened.store.applied_index
    assert await root.error("Auth.RoleGrantPermission", name="reader") == errors.PERMISSION_NOT_GIVEN
    assert root.member.opened.store.applied_index == applied


# --- Every method ------------------------------------------------------------------------------------------------

OPEN = {"Auth.Authenticate", "Auth.AuthStatus"}


async def every_method(client: Client, check: Callable[[Method], Awaitable[None]]) -> None:
    for name, method in client._methods.items():
        if name not in OPEN:
            await check(method)


#: Requests that get past the checks of their form.
FORMS: dict[str, dict[str, Any]] = {
    "Range": {"key": b"s1"},
    "RangeStream": {"key": b"s1"},
    "Put": {"key": b"s1"},
    "DeleteRange": {"key": b"s1"},
    "RoleGrantPermission": {"name": "reader", "perm": permission(READ, b"s1")},
    "LeaseKeepAlive": {"ID": 7},
    "Watch": {"create_request": pb.WatchCreateRequest(key=b"s1")},
    "Txn": {"compare": [pb.Compare(key=b"s1")]},
    "Alarm": {"action": 1, "alarm": 1},
    "Downgrade": {"version": "3.5.0"},
    "UserGet": {"name": "root"},
    "RoleGet": {"role": "root"},
    "LeaseGrant": {"TTL": 5},
    "Unlock": {"key": b"s1"},
}


async def outcome_of(client: Client, method: Method) -> Any:
    """The error of a call whatever it streams; of a watch the reason it was cancelled for; else None."""
    message = method.request(**FORMS.get(method.name, {})).SerializeToString()
    handler: Any = method.handler
    if method.kind is Kind.UNARY:
        call = LocalCall(client.metadata())
        try:
            with trio.fail_after(20):
                handler(call, message)
                await call.result()
        except RpcError as error:
            return error
        return None
    return await stream_outcome(client, method, message)


class OneMessageStream(FakeStream):
    """The stream of a client that has said one thing."""

    def __init__(self, metadata: CallMetadata, message: bytes) -> None:
        super().__init__()
        self.metadata = metadata
        self.peer = LOCAL
        self._waiting = [message]

    async def receive(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self._waiting.pop() if self._waiting else None


async def stream_outcome(client: Client, method: Method, message: bytes) -> Any:
    stream = OneMessageStream(client.metadata(), message)
    handler: Any = method.handler
    outcome: list[RpcError] = []

    async def serve() -> None:
        try:
            await handler(stream)
        except RpcError as error:
            outcome.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    if outcome:
        return outcome[0]
    answers = [method.response.FromString(one) for one in stream.sent]
    reasons = [one.cancel_reason for one in answers if getattr(one, "canceled", False)]
    return reasons[0] if reasons else None


async def test_no_method_answers_a_stranger(root: Client) -> None:
    """CVE-2026-33413: also the methods that somebody will add after this was written."""
    stranger = root.as_(None)
    before = root.member.opened.store.applied_index

    async def check(method: Method) -> None:
        outcome = await outcome_of(stranger, method)
        if method.service.startswith("v3"):
            assert isinstance(outcome, RpcError), method.path
            assert outcome.code is Code.UNKNOWN  # etcd's way with those two services
            assert outcome.message in (errors.USER_EMPTY.message, '"leader" field must be provided'), method.path
        else:
            assert outcome in (errors.USER_EMPTY, str(errors.USER_EMPTY)), method.path

    await every_method(stranger, check)
    assert root.member.opened.store.applied_index == before, "nothing was written to the log for a stranger"


async def test_no_method_takes_a_wrong_token(root: Client) -> None:
    wrong = root.as_("x" * 16 + ".1")

    async def check(method: Method) -> None:
        outcome = await outcome_of(wrong, method)
        if method.service.startswith("v3"):
            assert isinstance(outcome, RpcError)
        else:
            assert outcome in (errors.INVALID_AUTH_TOKEN, str(errors.INVALID_AUTH_TOKEN)), method.path

    await every_method(wrong, check)


#: What alice may, of what is not about keys.
ALICES = {"MemberList", "Status", "LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive", "LeaseLeases"}


async def test_what_is_left_for_users(root: Client) -> None:
    alice = await root.log_in("alice", "wonder")

    async def check(method: Method) -> None:
        if method.service.startswith("v3"):
            return
        outcome = await outcome_of(alice, method)
        if method.name in ALICES:
            assert outcome in (None, errors.LEASE_NOT_FOUND), method.path
        else:
            assert outcome in (DENIED, str(DENIED)), method.path

    await every_method(alice, check)
    assert await alice.error("Maintenance.Alarm", action=0) is None


async def test_every_method_has_a_rule_that_was_thought_of(root: Client) -> None:
    """Root's are those that are not in the table; a new one is closed until somebody opens it."""
    by_default = {name for name, method in root._methods.items() if f"{method.service}/{method.name}" not in RULES}
    assert {name.split(".")[0] for name in by_default} <= {"KV", "Auth", "Cluster", "Maintenance"}
    assert "KV.Compact" in by_default
    assert {name for name in root._methods if name.startswith("KV.")} - by_default <= {
        "KV.Range",
        "KV.Put",
        "KV.DeleteRange",
        "KV.Txn",
        "KV.RangeStream",
    }


def test_a_method_nobody_thought_of_is_roots() -> None:
    method = Method("etcdserverpb.Maintenance", "New", Kind.UNARY, None, None, lambda call, message: None)
    assert rule_of(method) is Rule.ROOT


async def test_hot_methods_are_not_wrapped(root: Client) -> None:
    kv = root.member.kv
    for method in kv.methods():
        is_wrapped = guarded(method, root.member.access).handler != method.handler
        assert is_wrapped is (method.name == "Compact")


# --- Watches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "range_end", "is_allowed"),
    [
        (b"r1", b"", True),
        (b"r", b"s", True),
        (b"b1", b"b2", True),
        (b"r", b"\0", False),  # GHSA-xg4h-6gfc-h4m8
        (b"r1", b"\0", False),
        (b"", b"\0", False),
        (b"\0", b"\0", False),
        (b"", b"", False),
        (b"w1", b"", False),
        (b"r", b"t", False),
        (b"q", b"s", False),
        (b"s1", b"", False),
    ],
)
async def test_watches_get_what_may_be_read_and_no_more(
    root: Client, key: bytes, range_end: bytes, is_allowed: bool
) -> None:
    alice = await root.log_in("alice", "wonder")
    method = alice._methods["Watch.Watch"]
    message = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, range_end=range_end)).SerializeToString()
    outcome = await stream_outcome(alice, method, message)
    assert outcome == (
        None if is_allowed else "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    )


# --- Leases ------------------------------------------------------------------------------------------------------


async def test_leases_show_only_what_may_be_read(root: Client) -> None:
    for lease_id, key in ((7, b"s1"), (8, b"r1"), (9, b"w1")):
        await root("Lease.LeaseGrant", ID=lease_id, TTL=100)
        await root("KV.Put", key=key, lease=lease_id)
    await root("Lease.LeaseGrant", ID=10, TTL=100)
    alice = await root.log_in("alice", "wonder")
    assert {one.ID for one in (await alice("Lease.LeaseLeases")).leases} == {8, 10}
    assert {one.ID for one in (await root("Lease.LeaseLeases")).leases} == {7, 8, 9, 10}
    assert (await alice("Lease.LeaseTimeToLive", ID=7)).grantedTTL == 100
    assert await alice.error("Lease.LeaseTimeToLive", ID=7, keys=True) == DENIED
    assert list((await alice("Lease.LeaseTimeToLive", ID=8, keys=True)).keys) == [b"r1"]
    assert await alice.error("Lease.LeaseRevoke", ID=7) == DENIED
    assert await alice.error("Lease.LeaseRevoke", ID=8) == DENIED
    assert await alice.error("Lease.LeaseRevoke", ID=9) is None


async def test_an_expired_lease_is_revoked_while_authentication_is_on(root: Client) -> None:
    """The member's own proposal is root's, also when users changed since the lease was granted."""
    await root("Lease.LeaseGrant", ID=7, TTL=2)
    await root("KV.Put", key=b"s1", lease=7)
    await root("Auth.RoleAdd", name="another")
    with trio.fail_after(20):
        while (await root("KV.Range", key=b"s1")).kvs:  # noqa: ASYNC110 - expiry tells nobody
            await trio.sleep(0.1)


# --- Elections and locks -----------------------------------------------------------------------------------------


async def test_a_lock_is_its_callers(root: Client) -> None:
    alice = await root.log_in("alice", "wonder")
    answer = await alice("Lock.Lock", name=b"b/lock")
    assert answer.key.startswith(b"b/lock/")
    refused = await alice.error("Lock.Lock", name=b"s/lock")
    assert refused == RpcError(Code.UNKNOWN, DENIED.message)
