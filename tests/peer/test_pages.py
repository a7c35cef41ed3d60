"""The plain pages of the peer listener, asked by our own client and by hand: statuses and texts are etcd's."""

import json
from pathlib import Path

import httpx
import pytest

from dualmode import errors
from dualmode.api import etcdserverpb
from dualmode.errors import PeerError, RpcError
from dualmode.peer.client import PeerClient
from dualmode.peer.codec import encode_message
from dualmode.peer.interface import KvHash
from dualmode.peer.member import Member
from dualmode.raft import Message, MessageType
from tests.peer.nodes import CLUSTER, network

HEADERS = {
    "X-Server-From": "2",
    "X-Server-Version": "3.5.1",
    "X-Min-Cluster-Version": "3.0.0",
    "X-Etcd-Cluster-ID": f"{CLUSTER:x}",
}


async def test_our_client_understands_our_pages(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, client = await net.start(1), PeerClient(None)
        assert await client.members(one.url) == (CLUSTER, one.answers.listed)
        assert (await client.version(one.url))["etcdcluster"] == "3.5.0"
        assert await client.is_downgrade_enabled(one.url)
        assert await client.keep_alive(one.url, 7) == 70
        answer = await client.time_to_live(one.url, 7, with_keys=True)
        assert (answer.ID, answer.TTL, answer.grantedTTL, list(answer.keys)) == (7, 5, 9, [b"k"])
        assert await client.hash_kv(one.url, 3, CLUSTER) == KvHash(50, 7, -1, 3)
        assert await client.promote(one.url, 2**64 - 1) == [Member(2**64 - 1, ("http://new:2380",))]


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (errors.LEASE_NOT_FOUND, errors.LEASE_NOT_FOUND),
        (errors.NOT_LEADER, errors.NOT_LEADER),
        (errors.TIMEOUT_WAIT_APPLIED, errors.TIMEOUT_WAIT_APPLIED),
        (errors.NO_LEADER, errors.NOT_LEADER),
    ],
)
async def test_lease_calls_that_fail(tmp_path: Path, told: RpcError, heard: RpcError) -> None:
    async with network(tmp_path) as net:
        one, client = await net.start(1), PeerClient(None)
        one.answers.error = told
        with pytest.raises(RpcError) as caught:
            await client.keep_alive(one.url, 7)
        assert caught.value == heard
        with pytest.raises(RpcError) as caught:
            await client.time_to_live(one.url, 7, with_keys=False)
        assert caught.value == heard


@pytest.mark.parametrize("told", [errors.MEMBER_NOT_FOUND, errors.MEMBER_NOT_LEARNER, errors.LEARNER_NOT_READY])
async def test_promotions_that_fail(tmp_path: Path, told: RpcError) -> None:
    async with network(tmp_path) as net:
        one, client = await net.start(1), PeerClient(None)
        one.answers.error = told
        with pytest.raises(RpcError) as caught:
            await client.promote(one.url, 5)
        assert caught.value == told
        one.answers.error = errors.NOT_ENOUGH_STARTED
        with pytest.raises(PeerError, match="500"):
            await client.promote(one.url, 5)


async def test_hashes_that_cannot_be_given(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, client = await net.start(1), PeerClient(None)
        with pytest.raises(RpcError) as caught:
            await client.hash_kv(one.url, 101, CLUSTER)
        assert caught.value == errors.FUTURE_REVISION
        with pytest.raises(RpcError) as caught:
            await client.hash_kv(one.url, 1, 0xBAD)
        assert caught.value == errors.CLUSTER_ID_MISMATCH


async def test_a_peer_that_is_not_there_and_one_that_answers_something_else(tmp_path: Path) -> None:
    client = PeerClient(None)
    with pytest.raises(PeerError, match=r"attempts to connect|refused"):
        await client.members("http://127.0.0.1:1")
    async with network(tmp_path) as net:
        one = await net.start(1)
        with pytest.raises(PeerError, match="404"):
            await client.members(f"{one.url}/elsewhere")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/nowhere", b"", 404, "404 page not found\n"),
        ("POST", "/members", b"", 405, "Method Not Allowed\n"),
        ("GET", "/leases", b"", 405, "Method Not Allowed\n"),
        ("POST", "/leases", b"\xff", 400, "error unmarshalling request\n"),
        ("POST", "/members/promote/x", b"", 404, "member x not found in cluster\n"),
        ("GET", "/members/hashkv", b"[]", 400, "error unmarshalling request\n"),
        ("GET", "/members/hashkv", b'{"revision":"x"}', 400, "error unmarshalling request\n"),
        ("GET", "/members/hashkv", b'{"revision":101}', 400, "mvcc: required revision is a future revision\n"),
        ("GET", "/downgrade/enabled", b"", 200, "true"),
        ("GET", "/raft", b"", 405, "Method Not Allowed\n"),
        ("POST", "/raft", b"", 412, "incompatible version\n"),
        ("GET", "/raft/stream/message/2", b"", 412, "incompatible version\n"),
        ("GET", "/raft/stream/other/2", b"", 404, "404 page not found\n"),
    ],
)
async def test_answers_to_requests_by_hand(
    tmp_path: Path, method: str, path: str, body: bytes, status: int, text: str
) -> None:
    async with network(tmp_path) as net:
        one = await net.start(1)
        async with httpx.AsyncClient() as http:
            answer = await http.request(method, f"{one.url}{path}", content=body)
        assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize(
    ("path", "changed", "status", "text"),
    [
        ("/raft/stream/message/zz", {}, 404, "invalid from\n"),
        ("/raft/stream/message/2", {"X-Etcd-Cluster-ID": "bad"}, 412, "cluster ID mismatch\n"),
        ("/raft/stream/message/2", {"X-Server-Version": "2.3.8"}, 412, "incompatible version\n"),
        ("/raft/stream/message/2", {"X-Min-Cluster-Version": "4.0.0"}, 412, "incompatible version\n"),
        ("/raft/stream/msgapp/2", {}, 404, "error sender not found\n"),
        ("/raft/stream/msgapp/3", {"X-Raft-To": "9"}, 412, "to field mismatch\n"),
        ("/raft/stream/msgapp/4", {}, 410, "removed member\n"),
    ],
)
async def test_streams_that_are_refused(
    tmp_path: Path, path: str, changed: dict[str, str], status: int, text: str
) -> None:
    async with network(tmp_path) as net:
        one = await net.start(1)
        one.heard.removed.add(4)
        one.transport.add_peer(3, ["http://127.0.0.1:1"])
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{one.url}{path}", headers=HEADERS | changed)
        assert (answer.status_code, answer.text) == (status, text)
        assert answer.headers["x-etcd-cluster-id"] == f"{CLUSTER:x}"
        assert answer.headers["x-server-version"] == "3.6.0"


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/raft", b"\xff\xff", 400, "error unmarshalling raft message\n"),
        (
            "/raft",
            encode_message(Message(MessageType.HEARTBEAT, to=1, sender=4, term=1)),
            403,
            '{"message":"cannot process message from removed member"}',
        ),
        ("/raft", encode_message(Message(MessageType.HEARTBEAT, to=9, sender=2, term=1)), 204, ""),
        ("/raft/snapshot", b"", 400, "failed to decode raft message (unexpected EOF)\n"),
        ("/raft/snapshot", b"\xff" * 8, 400, f"failed to decode raft message (a message of {2**64 - 1} bytes)\n"),
        ("/raft/snapshot", (2).to_bytes(8, "big") + b"\x08\x08", 400, "wrong raft message type"),
    ],
)
async def test_posts_that_are_refused(tmp_path: Path, path: str, body: bytes, status: int, text: str) -> None:
    async with network(tmp_path) as net:
        one = await net.start(1)
        one.heard.removed.add(4)
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{one.url}{path}", headers=HEADERS, content=body)
        assert answer.status_code == status
        assert text in answer.text
        assert not one.heard.messages


async def test_probing_and_members_as_etcd_prints_them(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one = await net.start(1)
        async with httpx.AsyncClient() as http:
            probing = await http.get(f"{one.url}/raft/probing")
            members = await http.get(f"{one.url}/members")
        assert probing.json()["OK"] is True
        assert probing.text.endswith("\n")
        assert members.text == (
            '[{"id":1,"peerURLs":["http://one:2380"],"name":"one","clientURLs":["http://one:2379"]},'
            '{"id":2,"peerURLs":["http://two:2380"]}]\n'
        )
        assert members.headers["content-type"] == "application/json"
        assert json.loads(members.text)[0]["id"] == 1
        assert etcdserverpb.LeaseKeepAliveRequest.FromString(b"") is not None
