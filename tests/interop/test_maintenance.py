"""Quota, alarms and maintenance: the tested server and etcd side by side."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from dualmode.api import etcdserverpb as pb
from tests.interop.clusters.cluster import eventually
from tests.interop.conftest import Farm, start_tested
from tests.interop.grpc_client import Client, connect, start_afresh
from tests.interop.servers import ETCDCTL, Server, start_etcd

pytestmark = pytest.mark.interop

#: etcd's empty file has some 20 KiB; a megabyte is passed by a few puts on both sides.
QUOTA_BYTES = 1 << 20

NO_SPACE = (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")
GET, ACTIVATE, DEACTIVATE = range(3)
NOSPACE, CORRUPT = 1, 2


def call(client: Client, method: str, **fields: Any) -> Any:
    """A method of Maintenance."""
    stub = client.channel.unary_unary(
        f"/etcdserverpb.Maintenance/{method}",
        request_serializer=getattr(pb, f"{method}Request").SerializeToString,
        response_deserializer=getattr(pb, f"{method}Response").FromString,
    )
    return stub(getattr(pb, f"{method}Request")(**fields), timeout=10)


def status_of(method: Any, **fields: Any) -> Any:
    """Code and text that a call fails with, None when it does not."""
    try:
        method(**fields)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return None


def is_served(client: Client) -> bool:
    """Whether somebody answers, whatever it is."""
    outcome = status_of(client.Range, key=b"0")
    return outcome is None or outcome[0] is not grpc.StatusCode.UNAVAILABLE


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """(etcd, the tested server) with a small quota."""
    flags = (f"--quota-backend-bytes={QUOTA_BYTES}",)
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(start_etcd(_made(tmp_path / "etcd"), flags=flags))
        yield etcd, stack.enter_context(start_tested(_made(tmp_path / "tested"), flags=flags))


def until_full(client: Client) -> Any:
    """Puts until one is refused; gives how. (etcd notices late: its file grows with every tenth of a second.)"""
    for number in range(400):
        refusal = status_of(client.Put, key=b"%d" % number, value=b"v" * 50_000)
        if refusal is not None:
            return refusal
    return None


def test_a_full_store_is_refused_emptied_and_restored(small: tuple[Server, Server]) -> None:
    outcomes = []
    for server in small:
        with connect(server) as client:
            outcome: list[Any] = [until_full(client)]
            alarms = call(client, "Alarm", action=GET).alarms
            outcome.append([one.alarm for one in alarms])
            outcome.append(len(call(client, "Status").errors))
            put = pb.RequestOp(request_put=pb.PutRequest(key=b"a"))
            outcome += [
                status_of(client.Put, key=b"a"),
                status_of(client.Txn, failure=[put]),
                status_of(client.LeaseGrant, TTL=5),
                # A Txn that only reads is not asked: etcd 3.5.1 refuses it, later ones do not.
                status_of(client.Range, key=b"0"),
                status_of(client.DeleteRange, key=b"\0", range_end=b"\0"),
            ]
            client.Compact(revision=client.Range(key=b"0").header.revision, physical=True)
            call(client, "Defragment")
        server.stop()
        server.launch()  # with an alarm raised it never says that it is healthy
        with connect(server) as client:
            eventually(lambda: is_served(client), "it serves")  # behind a proxy the channel says nothing of that
            outcome.append(status_of(client.Put, key=b"a"))
            answer = call(client, "Alarm", action=DEACTIVATE, memberID=alarms[0].memberID, alarm=NOSPACE)
            outcome.append([one.alarm for one in answer.alarms])
            outcome.append(status_of(client.Put, key=b"a", value=b"v" * 50_000))
            outcome.append(status_of(client.LeaseGrant, TTL=5))
        outcomes.append(outcome)
    assert outcomes[0][0] == NO_SPACE
    assert outcomes[1] == outcomes[0]


def etcdctl(server: Server, *arguments: str) -> str:
    command = [str(ETCDCTL), f"--endpoints={server.url}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def test_etcdctl_shows_and_takes_back_alarms(small: tuple[Server, Server]) -> None:
    outputs = []
    for server in small:
        with connect(server) as client:
            until_full(client)
            own_id = client.Status().header.member_id
        listed = [etcdctl(server, "alarm", step) for step in ("list", "disarm", "list")]
        outputs.append([text.replace(str(own_id), "ID") for text in listed])
    assert "NOSPACE" in outputs[0][0]
    assert outputs[1] == outputs[0]


@pytest.fixture
def clients(farm: Farm) -> Iterator[tuple[Client, Client]]:
    with connect(farm.etcd()) as etcd, connect(farm.tested()) as tested:
        start_afresh(etcd, tested)
        yield etcd, tested


def test_a_corrupt_cluster_changes_nothing(clients: tuple[Client, Client]) -> None:
    outcomes = []
    for client in clients:
        client.Put(key=b"a", value=b"1")
        client.LeaseGrant(ID=7, TTL=60)
        call(client, "Alarm", action=ACTIVATE, memberID=5, alarm=CORRUPT)
        try:
            outcomes.append(
                [
                    status_of(client.Put, key=b"a"),
                    status_of(client.DeleteRange, key=b"a"),
                    status_of(client.Txn, success=[pb.RequestOp(request_put=pb.PutRequest(key=b"a"))]),
                    status_of(client.Compact, revision=1),
                    status_of(client.LeaseGrant, TTL=60),
                    status_of(client.LeaseRevoke, ID=7),
                    status_of(client.Range, key=b"a"),
                    status_of(client.Txn, success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))]),
                    list(call(client, "Status").errors),
                ]
            )
        finally:
            call(client, "Alarm", action=DEACTIVATE, memberID=5, alarm=CORRUPT)
        outcomes[-1].append(status_of(client.Put, key=b"a"))
    assert outcomes[0][0] == (grpc.StatusCode.DATA_LOSS, "etcdserver: corrupt cluster")
    assert outcomes[1] == outcomes[0]


def test_leadership_cannot_be_handed_to_nobody(clients: tuple[Client, Client]) -> None:
    outcomes = []
    for client in clients:
        own_id = client.Status().header.member_id
        move = partial(call, client, "MoveLeader")
        outcomes.append([status_of(move, targetID=target) for target in (0, own_id + 1)])
        answer = call(client, "MoveLeader", targetID=own_id)
        outcomes[-1].append(answer.HasField("header"))
    assert outcomes[1] == outcomes[0]


def test_defragmentation_and_hash_answer(clients: tuple[Client, Client]) -> None:
    for client in clients:
        client.Put(key=b"a", value=b"1")
        assert not call(client, "Defragment").HasField("header")
        assert call(client, "Hash").hash == call(client, "Hash").hash


def test_hashes_by_revision_agree(clients: tuple[Client, Client]) -> None:
    first_revision = clients[0].Range(key=b"a").header.revision
    for client in clients:
        for number in range(60):
            client.Put(key=b"%d" % (number % 9), value=b"v" * number)
            if number % 10 == 9:
                client.DeleteRange(key=b"3", range_end=b"5")
    last_revision = clients[0].Range(key=b"a").header.revision
    assert clients[1].Range(key=b"a").header.revision == last_revision
    for revision in (0, first_revision + 20, first_revision + 50):
        etcd, tested = (client.HashKV(revision=revision) for client in clients)
        assert (tested.hash, tested.compact_revision) == (etcd.hash, etcd.compact_revision)


@pytest.mark.parametrize("version", ["", "x", "3", "2.9", "9.9.9"])
def test_bad_downgrades_are_refused_alike(clients: tuple[Client, Client], version: str) -> None:
    etcd, tested = (status_of(partial(call, client, "Downgrade"), action=0, version=version) for client in clients)
    assert tested == etcd
