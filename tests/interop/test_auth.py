"""Users, roles and permissions beside a real etcd 3.5.1: the same calls, the same answers, error texts included.

Where etcd has closed a hole or changed its mind since 3.5.1, the case says what it does now (`now`), and 3.5.1 is not
asked.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dualmode.api import authpb
from dualmode.api import etcdserverpb as pb
from tests.interop.ctl import Pair
from tests.interop.grpc_client import RequestFeed, open_channel
from tests.interop.servers import ETCDCTL, Certificates, Server, make_certificates, start_etcd
from tests.interop.tested import IS_OURS, IS_PROXY, start_tested

pytestmark = pytest.mark.interop

#: Where ours answers as later releases do, and says so in the test.
LATER_THAN_3_5_1 = pytest.mark.skipif(not IS_OURS, reason="etcd 3.5.1 does not have it yet")

READ, WRITE, READWRITE = 0, 1, 2
CHEAP = ("--bcrypt-cost=4",)
SERVICES = {
    "KV": ("Range", "Put", "DeleteRange", "Txn", "Compact"),
    "Lease": ("LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases"),
    "Cluster": ("MemberList",),
    "Maintenance": ("Status", "Alarm", "Hash", "HashKV", "Defragment", "MoveLeader"),
}
DENIED = "PERMISSION_DENIED etcdserver: permission denied"
OLD_REVISION = "INVALID_ARGUMENT etcdserver: revision of auth store is old"
OLD_REVISION_IN_3_5_1 = "UNKNOWN auth: revision in header is old"
NO_NAME = "INVALID_ARGUMENT etcdserver: user name is empty"


class Side:
    """One server, called as any of its users."""

    def __init__(self, server: Server, tls: Certificates | None = None) -> None:
        self.server = server
        self.channel = open_channel(server.target, tls)
        self.tokens: dict[str, str] = {}

    def metadata(self, user: str) -> list[tuple[str, str]]:
        return [("token", self.tokens[user])] if user else []

    def ask(self, user: str, method: str, /, **fields: Any) -> Any:
        """The answer of a unary call; raises grpc.RpcError."""
        service = next((name for name, methods in SERVICES.items() if method in methods), "Auth")
        name = f"Auth{method}" if method.startswith(("User", "Role")) else method.replace("Compact", "Compaction")
        call = self.channel.unary_unary(
            f"/etcdserverpb.{service}/{method}",
            request_serializer=getattr(pb, name + "Request").SerializeToString,
            response_deserializer=getattr(pb, name + "Response").FromString,
        )
        return call(getattr(pb, name + "Request")(**fields), timeout=10, metadata=self.metadata(user))

    def outcome(self, user: str, method: str, /, **fields: Any) -> str:
        """The same in words that do not depend on the server."""
        try:
            answer = self.ask(user, method, **fields)
        except grpc.RpcError as error:
            text = f"{error.code().name} {error.details()}"
            return OLD_REVISION if text == OLD_REVISION_IN_3_5_1 else text
        if method in ("Status", "MemberList", "Hash", "HashKV", "LeaseTimeToLive"):
            return "answered"
        for field in ("cluster_id", "member_id", "raft_term"):
            answer.header.ClearField(field)
        return str(answer)

    def log_in(self, name: str, password: str) -> None:
        self.tokens[name] = self.ask("", "Authenticate", name=name, password=password).token

    def watch(self, user: str, key: bytes, range_end: bytes) -> str:
        """What a watch is answered with at first."""
        feed = RequestFeed()
        call = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )(feed, timeout=10, metadata=self.metadata(user))
        feed.send(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, range_end=range_end)))
        first = next(call)
        call.cancel()
        feed.close()
        return f"{first.created} {first.canceled} {first.watch_id} {first.cancel_reason}"

    def close(self) -> None:
        self.channel.close()


@dataclass(frozen=True)
class Sides:
    etcd: Side
    ours: Side

    def same(self, user: str, method: str, /, **fields: Any) -> str:
        """Both answer alike; gives how."""
        theirs, ours = (side.outcome(user, method, **fields) for side in (self.etcd, self.ours))
        assert ours == theirs, f"{method} as {user or 'nobody'}: {fields}"
        return ours

    def both(self) -> tuple[Side, Side]:
        return self.etcd, self.ours


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    """Two servers without users."""
    with ExitStack() as stack:
        servers = (start_etcd(tmp_path, flags=CHEAP), start_tested(tmp_path, flags=CHEAP))
        pair = Sides(*(Side(stack.enter_context(server)) for server in servers))
        yield pair
        for side in pair.both():
            side.close()


def permission(kind: int, key: bytes, range_end: bytes = b"") -> Any:
    return authpb.Permission(permType=kind, key=key, range_end=range_end)


def test_management(sides: Sides) -> None:
    """Every call about users and roles, in an order in which each of their errors comes up, with and without login."""
    no_password = authpb.UserAddOptions(no_password=True)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("AuthStatus", {}),
        ("AuthDisable", {}),
        ("AuthEnable", {}),
        ("Authenticate", {"name": "root", "password": "x"}),
        ("UserAdd", {}),
        ("UserAdd", {"name": "root", "password": "r"}),
        ("UserAdd", {"name": "root", "password": "r"}),
        ("UserAdd", {"name": "cert", "options": no_password}),
        ("UserAdd", {"name": "empty"}),
        ("UserAdd", {"name": "\u00e9\u20ac", "password": "\u00e9"}),
        ("AuthEnable", {}),
        ("UserGrantRole", {"user": "nobody", "role": "root"}),
        ("UserGrantRole", {"user": "root", "role": "nothing"}),
        ("UserGrantRole", {"user": "root", "role": "root"}),
        ("UserGrantRole", {"user": "root", "role": "root"}),
        ("UserGet", {"name": "root"}),
        ("UserGet", {"name": "nobody"}),
        ("UserList", {}),
        ("RoleAdd", {}),
        ("RoleAdd", {"name": "r"}),
        ("RoleAdd", {"name": "r"}),
        ("RoleAdd", {"name": "A"}),
        ("RoleList", {}),
        ("RoleGet", {"role": "r"}),
        ("RoleGet", {"role": "nothing"}),
        ("RoleGrantPermission", {"name": "r"}),
        ("RoleGrantPermission", {"name": "nothing", "perm": permission(READ, b"k")}),
        *(
            ("RoleGrantPermission", {"name": "r", "perm": permission(*one)})
            for one in (
                (READ, b"k"),
                (WRITE, b"k"),
                (READWRITE, b"a", b"c"),
                (READ, b"a", b"d"),
                (WRITE, b"a", b"d"),
                (READ, b"a"),
                (READ, b"z", b"\0"),
            )
        ),
        ("RoleGet", {"role": "r"}),
        ("RoleRevokePermission", {"role": "r", "key": b"k", "range_end": b"l"}),
        ("RoleRevokePermission", {"role": "nothing", "key": b"k"}),
        ("RoleRevokePermission", {"role": "r", "key": b"a", "range_end": b"d"}),
        ("RoleGet", {"role": "r"}),
        ("UserGrantRole", {"user": "cert", "role": "r"}),
        ("UserGrantRole", {"user": "cert", "role": "A"}),
        ("UserGet", {"name": "cert"}),
        ("UserRevokeRole", {"name": "nobody", "role": "r"}),
        ("UserRevokeRole", {"name": "cert", "role": "nothing"}),
        ("UserRevokeRole", {"name": "cert", "role": "r"}),
        ("UserChangePassword", {"name": "nobody", "password": "x"}),
        ("UserChangePassword", {"name": "cert", "password": "x"}),
        ("RoleDelete", {"role": "nothing"}),
        ("RoleDelete", {"role": "A"}),
        ("UserGet", {"name": "cert"}),
        ("UserDelete", {"name": "nobody"}),
        ("AuthStatus", {}),
    ]
    for method, fields in steps:
        sides.same("", method, **fields)
    sides.same("", "AuthEnable")
    for name, password in (("root", ""), ("root", "R"), ("nobody", "x"), ("cert", "x"), ("empty", "x"), ("", "")):
        sides.same("", "Authenticate", name=name, password=password)
    for side in sides.both():
        for name, password in (("root", "r"), ("empty", ""), ("\u00e9\u20ac", "\u00e9")):
            side.log_in(name, password)
            assert len(side.tokens[name].partition(".")[0]) == 16
    for method, fields in (
        ("AuthStatus", {}),
        ("AuthEnable", {}),
        ("UserDelete", {"name": "root"}),
        ("RoleDelete", {"role": "root"}),
        ("UserRevokeRole", {"name": "root", "role": "root"}),
        ("UserChangePassword", {"name": "empty", "password": ""}),
        ("Authenticate", {"name": "empty", "password": ""}),
        ("UserGet", {"name": "root"}),
        ("UserDelete", {"name": "cert"}),
        ("UserList", {}),
        ("AuthStatus", {}),
        ("AuthDisable", {}),
    ):
        sides.same("root", method, **fields)
    sides.same("", "AuthStatus")
    sides.same("", "UserDelete", name="root")


#: Users with the permissions of one role each; nobody is ''.
USERS: dict[str, list[Any]] = {
    "reader": [permission(READ, b"b", b"d")],
    "writer": [permission(WRITE, b"b", b"d")],
    "both": [permission(READWRITE, b"b", b"c"), permission(READWRITE, b"c", b"d"), permission(READWRITE, b"f")],
    "tail": [permission(READWRITE, b"c", b"\0")],
    "all": [permission(READWRITE, b"\0", b"\0")],
    "none": [],
}
RANGES = [
    (b"b", b""),
    (b"a", b""),
    (b"d", b""),
    (b"f", b""),
    (b"zz", b""),
    (b"b", b"d"),
    (b"b", b"c\0"),
    (b"b", b"e"),
    (b"b", b"\0"),
    (b"c", b"\0"),
    (b"d", b"\0"),
    (b"a", b"c"),
    (b"f", b"f\0"),
    (b"f", b"g"),
    (b"\0", b"\0"),
]


def settle(sides: Sides) -> None:
    for side in sides.both():
        for key in (b"a", b"b", b"c", b"d", b"f"):
            side.ask("", "Put", key=key, value=b"v")
        side.ask("", "UserAdd", name="root", password="r")
        side.ask("", "UserGrantRole", user="root", role="root")
        for name, permissions in USERS.items():
            side.ask("", "UserAdd", name=name, password=name)
            side.ask("", "RoleAdd", name=name + "s")
            side.ask("", "UserGrantRole", user=name, role=name + "s")
            for one in permissions:
                side.ask("", "RoleGrantPermission", name=name + "s", perm=one)
        side.ask("", "AuthEnable")
        side.log_in("root", "r")
        for name in USERS:
            side.log_in(name, name)


def operations(key: bytes, range_end: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """What can be done with an interval, alone and in transactions, that 3.5.1 checks as etcd does now."""
    reading = pb.RangeRequest(key=key, range_end=range_end)
    deleting = pb.DeleteRangeRequest(key=key, range_end=range_end)
    compare = pb.Compare(key=key, range_end=range_end, target=0, result=1, version=0)
    yield "Range", {"key": key, "range_end": range_end}
    yield "Range", {"key": key, "range_end": range_end, "serializable": True, "count_only": True}
    yield "Txn", {"compare": [compare], "success": [], "failure": []}
    yield "Txn", {"success": [pb.RequestOp(request_range=reading)]}
    yield "Txn", {"failure": [pb.RequestOp(request_range=reading)]}
    for previous in (False, True):
        deleting = pb.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=previous)
        yield "DeleteRange", {"key": key, "range_end": range_end, "prev_kv": previous}
        yield "Txn", {"failure": [pb.RequestOp(request_delete_range=deleting)]}
        yield "Txn", {"success": [pb.RequestOp(request_delete_range=deleting)]}
    if not range_end:
        yield "Put", {"key": key, "value": b"v"}
        yield "Put", {"key": key, "value": b"v", "prev_kv": True}
        yield "Txn", {"compare": [compare], "success": [pb.RequestOp(request_put=pb.PutRequest(key=key))]}
        yield "Txn", {"failure": [pb.RequestOp(request_put=pb.PutRequest(key=key))]}


@LATER_THAN_3_5_1
def test_permissions(sides: Sides) -> None:
    """All users with all intervals, operation by operation; and a watch of each."""
    settle(sides)
    for user in ("", "root", *USERS):
        for key, range_end in RANGES:
            for method, fields in operations(key, range_end):
                if method == "Txn" and not user and not any(fields.values()):
                    continue
                sides.same(user, method, **fields)
            if range_end != b"\0":
                theirs, ours = (side.watch(user, key, range_end) for side in sides.both())
                # 3.5.1 cancels with the first free id and always says that permission is denied.
                assert ours[: len("True True")] == theirs[: len("True True")], (user, key, range_end)
                assert ours.startswith(("True False 0", "True True -1 rpc error: code = "))


def nested(operation: Any) -> dict[str, Any]:
    return {"success": [pb.RequestOp(request_txn=pb.TxnRequest(failure=[operation]))]}


@LATER_THAN_3_5_1
def test_what_was_open_in_3_5_1_and_is_closed(sides: Sides) -> None:
    """etcd's advisories of 2026 (and what changed before), as etcd answers since; 3.5.1 lets most of these through."""
    settle(sides)
    for side in sides.both():
        side.ask("root", "LeaseGrant", ID=7, TTL=1000)
        side.ask("root", "Put", key=b"a", value=b"v", lease=7)
    ours = sides.ours
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
    read = pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))
    previous = pb.RequestOp(request_put=pb.PutRequest(key=b"b", prev_kv=True))
    leased = pb.RequestOp(request_put=pb.PutRequest(key=b"b", lease=7))
    for user, method, fields in (
        # CVE-2026-33343
        ("both", "Txn", nested(put)),
        ("both", "Txn", nested(read)),
        ("both", "Txn", nested(pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a")))),
        ("both", "Txn", {"failure": [pb.RequestOp(request_txn=pb.TxnRequest(compare=[pb.Compare(key=b"a")]))]}),
        # pull requests 21681 and 21685
        ("writer", "Txn", {"success": [previous]}),
        ("both", "Txn", {"success": [leased]}),
        # read permission on the keys of a lease
        ("both", "LeaseTimeToLive", {"ID": 7, "keys": True}),
        # root's
        ("both", "Compact", {"revision": 1}),
        ("both", "Alarm", {"action": 1, "alarm": 1}),
        ("both", "MoveLeader", {"targetID": 1}),
        ("both", "Hash", {}),
        ("both", "HashKV", {}),
        ("both", "Defragment", {}),
    ):
        assert ours.outcome(user, method, **fields) == DENIED, (method, fields)
    # CVE-2026-33413
    for method in ("LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases", "MemberList", "Status", "Alarm"):
        assert ours.outcome("", method) == NO_NAME, method
    for method in ("Compact", "Hash", "HashKV", "Defragment", "MoveLeader"):
        assert ours.outcome("", method) == NO_NAME, method
    # GHSA-xg4h-6gfc-h4m8
    for key in (b"b", b"c", b"", b"\0"):
        assert DENIED.split(" ", 1)[1] in ours.watch("both", key, b"\0")
    assert ours.watch("tail", b"c", b"\0").startswith("True False")
    assert ours.watch("all", b"", b"\0").startswith("True False")
    # etcd 3.7: whether to log in can be asked before logging in
    assert ours.ask("", "AuthStatus").enabled


@LATER_THAN_3_5_1
def test_permissions_that_mean_nothing_are_refused(sides: Sides) -> None:
    for one in (permission(READ, b""), permission(READ, b"", b"\0"), permission(READ, b"b", b"a")):
        outcome = sides.ours.outcome("", "RoleGrantPermission", name="r", perm=one)
        assert outcome == "INVALID_ARGUMENT etcdserver: invalid auth management"


def test_what_ends_a_token(sides: Sides) -> None:
    settle(sides)
    sides.same("both", "Range", key=b"b")
    for side in sides.both():
        side.ask("root", "UserChangePassword", name="both", password="new")
        side.ask("root", "UserDelete", name="all")
    assert sides.same("both", "Range", key=b"b") == "UNAUTHENTICATED etcdserver: invalid auth token"
    sides.same("both", "Put", key=b"b")
    sides.same("all", "Range", key=b"b")
    for side in sides.both():
        side.log_in("both", "new")
        side.ask("root", "RoleRevokePermission", role="boths", key=b"b", range_end=b"c")
    assert sides.same("both", "Range", key=b"b") == DENIED
    assert sides.same("both", "Range", key=b"c").startswith("header")


def test_etcdctl_with_users(sides: Sides) -> None:
    """The commands people type, as etcdctl prints them."""
    pair = Pair(ETCDCTL, *(side.server for side in sides.both()))
    pair.reset()
    for step, stdin in (
        ("user add root --interactive=false", "secret\n"),
        ("user add alice:wonder", None),
        ("user add cert --no-password", None),
        ("role add r", None),
        ("role grant-permission r readwrite a", None),
        ("role grant-permission r read --prefix b", None),
        ("role grant-permission r write --from-key x", None),
        ("role get r", None),
        ("role revoke-permission r a", None),
        ("role revoke-permission r a", None),
        ("role grant-permission r readwrite a c", None),
        ("user grant-role alice r", None),
        ("user grant-role root root", None),
        ("user get alice --detail", None),
        ("user list", None),
        ("role list", None),
        ("put a 1", None),
        ("auth enable", None),
        ("put a 1", None),
        ("--user alice:wonder put a 2", None),
        ("--user alice --password wonder get a", None),
        ("--user alice:wonder get --prefix b", None),
        ("--user alice:wonder get --from-key a", None),
        ("--user alice:wonder put z 1", None),
        ("--user alice:wonder get z", None),
        ("--user alice:wrong get a", None),
        ("--user nobody:x get a", None),
        ("--user cert:x get a", None),
        ("--user alice:wonder user get alice", None),
        ("--user alice:wonder role get r", None),
        ("--user alice:wonder user list", None),
        ("--user alice:wonder user add eve:x", None),
        ("--user alice:wonder txn", 'val("a") = "2"\n\nput b 1\n\nget a\n\n'),
        ("--user alice:wonder txn", 'val("z") = "2"\n\nput b 1\n\nget a\n\n'),
        ("--user alice:wonder del z", None),
        ("--user root:secret user passwd alice --interactive=false", "land\n"),
        ("--user alice:wonder get a", None),
        ("--user alice:land get a", None),
        ("--user root:secret user revoke-role alice r", None),
        ("--user alice:land get a", None),
        ("--user root:secret user delete alice", None),
        ("--user root:secret user delete root", None),
        ("--user root:secret auth status", None),
        ("--user root:secret role delete r", None),
        ("--user root:secret auth disable", None),
        ("auth disable", None),
        ("get a", None),
    ):
        etcd, ours = pair.run(step, stdin)
        assert ours == etcd, step
    pair.close()


# --- JWT -----------------------------------------------------------------------------------------------------------


def test_tokens_of_etcd_are_good_with_us_and_ours_with_etcd(tmp_path: Path) -> None:
    """Both have the key, so each believes what the other has signed."""
    key = rsa.generate_private_key(65537, 2048)
    pem, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    flags = (*CHEAP, f"--auth-token=jwt,pub-key={public},priv-key={pem},sign-method=PS256,ttl=10m")
    with ExitStack() as stack:
        servers = (start_etcd(tmp_path, flags=flags), start_tested(tmp_path, flags=flags))
        sides = Sides(*(Side(stack.enter_context(server)) for server in servers))
        settle(sides)
        sides.etcd.tokens, sides.ours.tokens = sides.ours.tokens, sides.etcd.tokens
        for user in ("root", "reader", "both"):
            for fields in ({"key": b"b"}, {"key": b"a"}):
                sides.same(user, "Range", **fields)
                sides.same(user, "Put", **fields)
        for side in sides.both():
            side.tokens["wrong"] = side.tokens["root"][:-8] + "AAAAAAAA"
        sides.same("wrong", "Range", key=b"b")
        assert sides.same("root", "RoleAdd", name="another").startswith("header")
        assert sides.same("both", "Range", key=b"b") == OLD_REVISION
        assert sides.same("both", "Put", key=b"b") == OLD_REVISION
        assert sides.same("root", "Put", key=b"b") == OLD_REVISION
        for side in sides.both():
            side.close()


# --- Certificates --------------------------------------------------------------------------------------------------


@LATER_THAN_3_5_1
@pytest.mark.skipif(IS_PROXY, reason="a certificate ends at a proxy; test_proxy_identity.py has what becomes of it")
def test_a_certificate_is_a_login(tmp_path: Path) -> None:
    """Over gRPC as in etcd; over JSON too, which etcd refuses, since its gateway comes with its own certificate."""
    tls = make_certificates(tmp_path / "tls")
    with ExitStack() as stack:
        servers = (start_etcd(tmp_path, tls, CHEAP), start_tested(tmp_path, tls, CHEAP))
        sides = Sides(*(Side(stack.enter_context(server), tls) for server in servers))
        for side in sides.both():
            side.ask("", "Put", key=b"k", value=b"v")
            side.ask("", "UserAdd", name="root", password="r")
            side.ask("", "UserGrantRole", user="root", role="root")
            side.ask("", "UserAdd", name="interop-client", options=authpb.UserAddOptions(no_password=True))
            side.ask("", "RoleAdd", name="r")
            side.ask("", "RoleGrantPermission", name="r", perm=permission(READ, b"k"))
            side.ask("", "UserGrantRole", user="interop-client", role="r")
            side.ask("", "AuthEnable")
            side.log_in("root", "r")
        assert "value" in sides.same("", "Range", key=b"k")
        for method, fields in (("Range", {"key": b"j"}), ("Put", {"key": b"k"}), ("UserList", {})):
            assert sides.same("", method, **fields) == DENIED
        sides.same("", "UserGet", name="interop-client")
        assert "root" in sides.same("root", "UserList")
        for side in sides.both():
            side.ask("root", "UserDelete", name="interop-client")
        for method, fields in (("Range", {"key": b"k"}), ("Put", {"key": b"k"}), ("UserList", {})):
            sides.same("", method, **fields)
        sides.ours.ask("root", "UserAdd", name="interop-client", options=authpb.UserAddOptions(no_password=True))
        sides.ours.ask("root", "UserGrantRole", user="interop-client", role="r")
        context = tls.client_context()
        status, answer = post(sides.ours.server, "/v3/kv/range", {"key": "aw=="}, context)
        assert (status, answer["kvs"][0]["value"]) == (200, "dg==")
        status, answer = post(sides.ours.server, "/v3/kv/put", {"key": "aw=="}, context)
        assert (status, answer["message"]) == (403, "etcdserver: permission denied")
        for side in sides.both():
            side.close()


def post(
    server: Server, path: str, body: Any, context: ssl.SSLContext | None = None, **headers: str
) -> tuple[int, Any]:
    split = urlsplit(server.url)
    assert split.hostname is not None
    if context is None:
        connection = http.client.HTTPConnection(split.hostname, split.port, timeout=10)
    else:
        connection = http.client.HTTPSConnection(split.hostname, split.port, timeout=10, context=context)
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


@LATER_THAN_3_5_1
def test_over_json(sides: Sides) -> None:
    """The paths, and the token in Authorization: bare as in etcd 3.5.1, with Bearer as in later ones."""
    settle(sides)
    server = sides.ours.server
    status, answer = post(server, "/v3/auth/authenticate", {"name": "reader", "password": "reader"})
    assert status == 200
    for text in (answer["token"], "Bearer " + answer["token"]):
        status, found = post(server, "/v3/kv/range", {"key": "Yg=="}, Authorization=text)
        assert (status, found["kvs"][0]["key"]) == (200, "Yg==")
        status, found = post(server, "/v3/kv/put", {"key": "Yg=="}, Authorization=text)
        assert (status, found["code"], found["message"]) == (403, 7, "etcdserver: permission denied")
    status, found = post(server, "/v3/kv/range", {"key": "Yg=="}, Authorization="nonsense")
    assert (status, found["code"], found["message"]) == (401, 16, "etcdserver: invalid auth token")
    status, found = post(server, "/v3/kv/range", {"key": "Yg=="})
    assert (status, found["message"]) == (400, "etcdserver: user name is empty")
    status, found = post(server, "/v3/auth/status", {})
    assert (status, found["enabled"]) == (200, True)


def test_users_outlive_a_restart_and_tokens_do_not(sides: Sides) -> None:
    settle(sides)
    for side in sides.both():
        side.server.stop()
        side.server.start()
    assert sides.same("root", "UserList") == "UNAUTHENTICATED etcdserver: invalid auth token"
    for side in sides.both():
        side.log_in("root", "r")
    assert sides.same("root", "UserList").count("users:") == len(USERS) + 1
    sides.same("root", "RoleGet", role="boths")
    assert sides.same("root", "RoleAdd", name="another").startswith("header")
