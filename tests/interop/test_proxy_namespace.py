"""`dualmode proxy --namespace` in front of real etcd and of our member, used by etcdctl, grpcio and JSON. Where etcd's
own `grpc-proxy --namespace` is right, what it answers is what is expected."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.api import v3electionpb, v3lockpb
from tests.interop.grpc_client import Client, RequestFeed, connect, stream_call
from tests.interop.processes import ServerProcess, free_port
from tests.interop.servers import ETCD, ETCDCTL, Server, start_dualmode, start_etcd, start_proxy

pytestmark = pytest.mark.interop

NAMESPACE = "team/"
#: Outside, close to it, and the prefix itself.
FOREIGN = ("a", "team", "team.", "team0", "z")
TIMEOUT_SECONDS = 20.0
FAST = ("--unsafe-no-fsync",)


@dataclass
class Way:
    """A namespace and the member behind it."""

    proxy: Server
    member: Server

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        return ctl(self.proxy, *arguments, stdin=stdin)


def ctl(server: Server, *arguments: str, stdin: str = "") -> str:
    """What etcdctl says, log lines left out."""
    command = [str(ETCDCTL), f"--endpoints={server.url}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + "".join(line for line in done.stderr.splitlines(True) if not line.startswith("{"))


def start_etcd_proxy(directory: Path, member: Server) -> Server:
    """etcd's own."""
    port = free_port()
    data_directory = directory / "etcd-proxy"
    command = [str(ETCD), "grpc-proxy", "start", f"--endpoints={member.target}", f"--namespace={NAMESPACE}"]
    command += [f"--listen-addr=127.0.0.1:{port}", f"--data-dir={data_directory}"]

    def is_ready() -> bool:
        with Client(f"127.0.0.1:{port}") as client:
            try:
                return client.Range(key=b"x") is not None
            except grpc.RpcError:
                return False

    process = ServerProcess("etcd-proxy", command, directory, is_ready)
    server = Server("etcd-proxy", f"http://127.0.0.1:{port}", data_directory, process, None)
    server.start()
    return server


@pytest.fixture(scope="module")
def etcds_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    directory = tmp_path_factory.mktemp("etcds-own")
    with ExitStack() as stack:
        member = stack.enter_context(start_etcd(directory, flags=FAST))
        yield Way(stack.enter_context(start_etcd_proxy(directory, member)), member)


@pytest.fixture(scope="module", params=["etcd", "etcd, no sharing", "dualmode"])
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    directory = tmp_path_factory.mktemp("ours")
    start = start_dualmode if request.param == "dualmode" else start_etcd
    flags = (f"--namespace={NAMESPACE}", *(("--share-watches=false",) if "no sharing" in request.param else ()))
    with ExitStack() as stack:
        member = stack.enter_context(start(directory, flags=FAST))
        yield Way(stack.enter_context(start_proxy(directory, member.url, flags=flags)), member)


@pytest.fixture
def way(ours: Way) -> Way:
    """With nothing in the namespace, and foreign keys around it."""
    begin(ours)
    return ours


def begin(way: Way) -> None:
    with connect(way.member) as client:
        client.DeleteRange(key=b"\0", range_end=b"\0")
        for key in FOREIGN:
            client.Put(key=key.encode(), value=b"foreign")


def keys_at_member(way: Way) -> list[str]:
    """Without the foreign ones, which are all there."""
    with connect(way.member) as client:
        keys = [kv.key.decode() for kv in client.Range(key=b"\0", range_end=b"\0").kvs]
    assert set(FOREIGN) <= set(keys)
    return [key for key in keys if key not in FOREIGN]


# --- etcdctl ---------------------------------------------------------------------------------------------------

COMMANDS = [
    ("put", "a", "1"),
    ("put", "b", "2"),
    ("put", "b1", "3"),
    ("put", "team/x", "4"),
    ("get", "a"),
    ("get", "b", "--prefix"),
    ("get", "", "--prefix", "--keys-only"),
    ("get", "b", "--from-key"),
    ("get", "", "--from-key", "--keys-only"),
    ("get", "a", "b1"),
    ("get", "team0"),
    ("put", "a", "5", "--prev-kv"),
    ("del", "b", "--prefix", "--prev-kv"),
    ("del", "team", "--prev-kv"),
    ("put", "", "1"),
    ("role", "add", "r"),
    ("role", "grant-permission", "r", "readwrite", "k", "--prefix"),
    ("role", "grant-permission", "r", "read", "one"),
    ("role", "revoke-permission", "r", "one"),
    ("role", "delete", "r"),
    ("del", "", "--prefix", "--prev-kv"),
    ("del", "", "--from-key"),
]


def test_commands_print_what_they_print_with_etcds_own(way: Way, etcds_own: Way) -> None:
    begin(etcds_own)
    for command in COMMANDS:
        assert way.ctl(*command) == etcds_own.ctl(*command), command
    assert keys_at_member(way) == []


def test_keys_are_under_the_prefix_at_the_member_and_nowhere_else(way: Way) -> None:
    for key in ("a", "team", "team/", "team0", "z"):
        assert way.ctl("put", key, "inside") == "OK\n"
    assert keys_at_member(way) == [f"team/{key}" for key in ("a", "team", "team/", "team0", "z")]
    assert way.ctl("get", "", "--prefix", "--keys-only").split() == ["a", "team", "team/", "team0", "z"]


def test_a_transaction(way: Way, etcds_own: Way) -> None:
    begin(etcds_own)
    told = 'value("a") = "1"\nver("z") = "0"\n\nput a 2 --prev-kv\nget a z\ndel b --prev-kv\n\nput a 3\nget a\n\n'
    for _ in range(2):
        for side in (way, etcds_own):
            side.ctl("put", "a", "1")
            side.ctl("put", "b", "4")
        assert way.ctl("txn", stdin=told) == etcds_own.ctl("txn", stdin=told)
    assert way.ctl("get", "", "--prefix") == "a\n2\n"


def test_a_transaction_that_puts_and_deletes_all(way: Way, etcds_own: Way) -> None:
    """To etcd "all keys" has no end that it would compare with what is put; in a namespace it has."""
    begin(etcds_own)
    told = '\nput a 1\ndel --prefix ""\n\n\n'
    assert "duplicate key" in way.ctl("txn", stdin=told)
    assert way.ctl("txn", stdin=told) == etcds_own.ctl("txn", stdin=told)


def test_the_keys_of_a_lease(way: Way) -> None:
    lease = re.findall(r"lease (\w+) granted", way.ctl("lease", "grant", "60"))[0]
    way.ctl("put", "mine", "1", f"--lease={lease}")
    ctl(way.member, "put", "z", "1", f"--lease={lease}")
    assert way.ctl("lease", "timetolive", lease, "--keys").endswith("attached keys([mine])\n")
    assert f"lease {lease} keepalived with TTL(60)" in way.ctl("lease", "keep-alive", "--once", lease)
    way.ctl("lease", "revoke", lease)
    assert way.ctl("get", "mine") == ""


def test_a_role_shows_its_permissions_within(way: Way) -> None:
    way.ctl("role", "add", "mixed")
    ctl(way.member, "role", "grant-permission", "mixed", "readwrite", "z")
    way.ctl("role", "grant-permission", "mixed", "readwrite", "", "--prefix")
    way.ctl("role", "grant-permission", "mixed", "read", "one")
    shown = way.ctl("role", "get", "mixed")
    assert "one" in shown
    assert "<open ended>" in shown
    assert "z" not in shown
    assert "team" not in shown
    assert "[team/, team0)" in ctl(way.member, "role", "get", "mixed").replace("\0", "")
    way.ctl("role", "revoke-permission", "mixed", "", "--prefix")
    assert "open ended" not in way.ctl("role", "get", "mixed")
    way.ctl("role", "delete", "mixed")


def test_a_snapshot_is_refused(way: Way, tmp_path: Path) -> None:
    assert "a snapshot holds the keys of all" in way.ctl("snapshot", "save", str(tmp_path / "s"))


def test_what_has_no_keys_is_the_members(way: Way) -> None:
    assert way.ctl("member", "list") == ctl(way.member, "member", "list")
    assert "is healthy" in way.ctl("endpoint", "health")
    assert way.ctl("user", "add", "u", "--no-password") == "User u created\n"
    assert ctl(way.member, "user", "list") == "u\n"
    way.ctl("user", "delete", "u")


def test_etcdctl_locks_and_elects(way: Way) -> None:
    look = (str(ETCDCTL), f"--endpoints={way.member.url}", "get", "team/l/", "--prefix", "--keys-only")
    assert way.ctl("lock", "l", "--", *look).startswith("team/l/")
    with subprocess.Popen(
        [str(ETCDCTL), f"--endpoints={way.proxy.url}", "elect", "e", "me"], stdout=subprocess.PIPE, text=True
    ) as elect:
        assert elect.stdout is not None
        assert [elect.stdout.readline()[:2], elect.stdout.readline()] == ["e/", "me\n"]
        assert keys_at_member(way)[0].startswith("team/e/")
        elect.terminate()


# --- gRPC ------------------------------------------------------------------------------------------------------


def watch(client: Client, feed: RequestFeed) -> Any:
    call = stream_call(client.channel, "/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse")
    return call(feed, timeout=TIMEOUT_SECONDS)


@pytest.mark.parametrize(
    ("key", "range_end", "heard"),
    [
        (b"w", b"", [b"w"]),
        (b"w", b"x", [b"w", b"w1"]),
        (b"w", b"\0", [b"w", b"w1", b"x"]),
        (b"\0", b"\0", [b"b", b"w", b"w1", b"x"]),
        (b"", b"\0", [b"b", b"w", b"w1", b"x"]),
    ],
)
def test_watches(way: Way, key: bytes, range_end: bytes, heard: list[bytes]) -> None:
    """Two clients that ask for the same, and what is outside changes too."""
    with connect(way.proxy) as one, connect(way.proxy) as other, connect(way.member) as outside:
        feeds = [RequestFeed(), RequestFeed()]
        streams = [watch(client, feed) for client, feed in zip((one, other), feeds, strict=True)]
        for feed, stream in zip(feeds, streams, strict=True):
            feed.send(pb.WatchRequest(create_request={"key": key, "range_end": range_end, "prev_kv": True}))
            assert next(stream).created
        for name in (b"b", b"w", b"w1", b"x"):
            one.Put(key=name, value=b"1")
            outside.Put(key=name, value=b"foreign")
        one.Put(key=heard[-1], value=b"2")
        for stream in streams:
            events: list[Any] = []
            while len(events) <= len(heard):
                events += next(stream).events
            assert [event.kv.key for event in events] == [*heard, heard[-1]]
            assert events[-1].prev_kv.key == heard[-1]
            assert events[-1].prev_kv.value == b"1"
        for feed in feeds:
            feed.close()
        for name in (b"b", b"w", b"w1", b"x"):
            outside.DeleteRange(key=name)


def unary(client: Client, path: str, request: Any, response: Any) -> Any:
    call = client.channel.unary_unary(
        path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
    )
    return call(request, timeout=TIMEOUT_SECONDS)


def test_the_lock_service(way: Way) -> None:
    with connect(way.proxy) as client:
        held = unary(client, "/v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l"), v3lockpb.LockResponse)
        assert held.key.startswith(b"l/")
        assert keys_at_member(way) == ["team/" + held.key.decode()]
        unary(client, "/v3lockpb.Lock/Unlock", v3lockpb.UnlockRequest(key=held.key), v3lockpb.UnlockResponse)
        assert keys_at_member(way) == []


def test_the_election_service(way: Way) -> None:
    pb_election, service = v3electionpb, "/v3electionpb.Election/"
    with connect(way.proxy) as client:
        campaign = pb_election.CampaignRequest(name=b"e", value=b"1")
        leader = unary(client, service + "Campaign", campaign, pb_election.CampaignResponse).leader
        assert leader.name == b"e"
        assert leader.key.startswith(b"e/")
        assert keys_at_member(way) == ["team/" + leader.key.decode()]
        proclaim = pb_election.ProclaimRequest(leader=leader, value=b"2")
        unary(client, service + "Proclaim", proclaim, pb_election.ProclaimResponse)
        asked = pb_election.LeaderRequest(name=b"e")
        found = unary(client, service + "Leader", asked, pb_election.LeaderResponse).kv
        assert (found.key, found.value) == (leader.key, b"2")
        observe = client.channel.unary_stream(
            service + "Observe",
            request_serializer=pb_election.LeaderRequest.SerializeToString,
            response_deserializer=pb_election.LeaderResponse.FromString,
        )(asked, timeout=TIMEOUT_SECONDS)
        assert next(observe).kv.key == leader.key
        observe.cancel()
        unary(client, service + "Resign", pb_election.ResignRequest(leader=leader), pb_election.ResignResponse)
        assert keys_at_member(way) == []


def test_an_unknown_method_is_refused(way: Way) -> None:
    with connect(way.proxy) as client, pytest.raises(grpc.RpcError) as raised:
        unary(client, "/etcdserverpb.KV/RangeBackwards", pb.RangeRequest(key=b"a"), pb.RangeResponse)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


# --- JSON ------------------------------------------------------------------------------------------------------


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def post(way: Way, path: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(way.proxy.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_json(way: Way) -> None:
    for prefix in ("/v3", "/v3beta", "/v3alpha"):
        assert post(way, f"{prefix}/kv/put", {"key": text("j"), "value": text("1")})[0] == 200
        found = post(way, f"{prefix}/kv/range", {"key": text("\0"), "range_end": text("\0")})[1]
        assert [kv["key"] for kv in found["kvs"]] == [text("j")]
    assert keys_at_member(way) == ["team/j"]
    get = {"request_range": {"key": text("j"), "range_end": text("k")}}
    answer = post(way, "/v3/kv/txn", {"compare": [{"key": text("j"), "version": "3"}], "success": [get]})[1]
    assert answer["succeeded"]
    assert answer["responses"][0]["response_range"]["kvs"][0]["key"] == text("j")
    assert post(way, "/v3/kv/put", {"value": text("1")})[0] == 400
    assert post(way, "/v3/maintenance/snapshot", {})[0] == 403
    assert post(way, "/v3/kv/nothing", {})[0] == 404
    assert post(way, "/v3/maintenance/status", {})[1]["version"]


def test_a_watch_in_json(way: Way) -> None:
    with connect(way.proxy) as client:
        revision = client.Put(key=b"j", value=b"1").header.revision
    create = {"create_request": {"key": text("j"), "start_revision": str(revision)}}
    request = urllib.request.Request(way.proxy.url + "/v3/watch", json.dumps(create).encode())
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        assert json.loads(response.readline())["result"]["created"]
        (event,) = json.loads(response.readline())["result"]["events"]
    assert event["kv"]["key"] == text("j")


# --- together with other options --------------------------------------------------------------------------------


def test_a_read_only_namespace(way: Way, tmp_path: Path) -> None:
    way.ctl("put", "a", "1")
    with start_proxy(tmp_path, way.member.url, flags=(f"--namespace={NAMESPACE}", "--proxy=readonly")) as proxy:
        looking = Way(proxy, way.member)
        assert looking.ctl("get", "", "--prefix") == "a\n1\n"
        assert "read-only" in looking.ctl("put", "a", "2")
        assert looking.ctl("txn", stdin='ver("a") > "0"\n\nget a\n\n\n').split() == ["SUCCESS", "a", "1"]
        assert "read-only" in looking.ctl("txn", stdin="\nput a 2\n\n\n")
        assert "snapshot" in looking.ctl("snapshot", "save", str(tmp_path / "s"))
        assert post(looking, "/v3/kv/range", {"key": text("a")})[1]["kvs"][0]["key"] == text("a")
        request = urllib.request.Request(proxy.url + "/v3/kv/put", json.dumps({"key": text("a")}).encode())
        with pytest.raises(urllib.error.HTTPError, match="501"):
            urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    assert way.ctl("get", "a") == "a\n1\n"


def test_users_have_their_rights(tmp_path: Path) -> None:
    """A token goes along, over gRPC and JSON."""
    with (
        start_etcd(tmp_path) as member,
        start_proxy(tmp_path, member.url, flags=(f"--namespace={NAMESPACE}",)) as proxy,
    ):
        way = Way(proxy, member)
        for command in (
            ("user", "add", "root:r"),
            ("user", "grant-role", "root", "root"),
            ("user", "add", "u:p"),
            ("role", "add", "reader"),
            ("role", "grant-permission", "reader", "read", "mine/", "--prefix"),
            ("user", "grant-role", "u", "reader"),
            ("put", "mine/a", "1"),
            ("put", "other", "2"),
            ("auth", "enable"),
        ):
            assert "Error" not in way.ctl(*command), command
        assert way.ctl("get", "mine/", "--prefix", "--user=u:p") == "mine/a\n1\n"
        assert "permission denied" in way.ctl("get", "other", "--user=u:p")
        assert "permission denied" in way.ctl("put", "mine/a", "2", "--user=u:p")
        token = post(way, "/v3/auth/authenticate", {"name": "u", "password": "p"})[1]["token"]
        status, found = post(way, "/v3/kv/range", {"key": text("mine/a")}, Authorization=token)
        assert (status, found["kvs"][0]["value"]) == (200, text("1"))
        assert post(way, "/v3/kv/range", {"key": text("other")}, Authorization=token)[0] == 403
        assert post(way, "/v3/kv/range", {"key": text("mine/a")})[0] == 400
