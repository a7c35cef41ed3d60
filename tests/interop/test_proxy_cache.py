"""Answers that a proxy keeps, in front of real members: served while nothing changes, and never for somebody else."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from dualmode.api import authpb
from tests.interop.clusters.cluster import eventually
from tests.interop.grpc_client import Client
from tests.interop.servers import Server, start_dualmode, start_etcd, start_proxy
from tests.interop.test_auth import Side

pytestmark = pytest.mark.interop


@pytest.fixture(params=[start_etcd, start_dualmode], ids=["etcd", "dualmode"])
def member(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    start: Callable[..., Server] = request.param
    with start(tmp_path, flags=("--bcrypt-cost=4",)) as server:
        yield server


@pytest.fixture
def proxy(tmp_path: Path, member: Server) -> Iterator[Server]:
    with start_proxy(tmp_path, member.url, flags=("--cache-bytes=1000000",)) as server:
        yield server


def counted(proxy: Server, name: str) -> int:
    host, _, port = proxy.target.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/proxy/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.search(rf"^{name} (\d+)", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def test_reads_are_served_from_what_is_kept_until_it_changes(member: Server, proxy: Server) -> None:
    with Client(member.target) as direct, Client(proxy.target) as client:
        direct.Put(key=b"a", value=b"1")
        for _ in range(3):
            assert client.Range(key=b"a", serializable=True).kvs[0].value == b"1"
            assert client.Range(key=b"a", range_end=b"c", serializable=True).count == 1
        assert counted(proxy, "etcd_grpc_proxy_cache_hits_total") == 4
        assert counted(proxy, "etcd_grpc_proxy_cache_keys_total") == 2
        direct.Put(key=b"a", value=b"2")
        assert client.Range(key=b"a").kvs[0].value == b"2"  # linearizable: never from what is kept
        eventually(lambda: client.Range(key=b"a", serializable=True).kvs[0].value == b"2", "the change is heard of")
        direct.Put(key=b"b", value=b"1")
        eventually(lambda: client.Range(key=b"a", range_end=b"c", serializable=True).count == 2, "the change is heard")
        direct.DeleteRange(key=b"a", range_end=b"c")
        eventually(lambda: client.Range(key=b"a", range_end=b"c", serializable=True).count == 0, "the change is heard")


def test_what_is_kept_goes_with_the_endpoint(member: Server, proxy: Server) -> None:
    with Client(member.target) as direct, Client(proxy.target) as client:
        direct.Put(key=b"a", value=b"1")
        assert client.Range(key=b"a", serializable=True).kvs[0].value == b"1"
        assert counted(proxy, "etcd_grpc_proxy_cache_keys_total") == 1
        member.stop()
        eventually(lambda: counted(proxy, "etcd_grpc_proxy_cache_keys_total") == 0, "nothing is kept")
        with pytest.raises(grpc.RpcError) as raised:
            client.Range(key=b"a", serializable=True)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_nobody_is_given_the_answer_of_another(member: Server, proxy: Server) -> None:
    side = Side(member)
    side.ask("", "Put", key=b"a", value=b"secret")
    for name in ("root", "alice", "bob"):
        side.ask("", "UserAdd", name=name, password="p")
    side.ask("", "UserGrantRole", user="root", role="root")
    side.ask("", "RoleAdd", name="reader")
    side.ask("", "RoleGrantPermission", name="reader", perm=authpb.Permission(key=b"a"))
    side.ask("", "UserGrantRole", user="alice", role="reader")
    side.ask("", "AuthEnable")
    through = Side(proxy)
    for name in ("alice", "bob"):
        through.log_in(name, "p")
    for _ in range(3):
        assert through.ask("alice", "Range", key=b"a", serializable=True).kvs[0].value == b"secret"
        assert through.outcome("bob", "Range", key=b"a", serializable=True).startswith("PERMISSION_DENIED")
        assert through.outcome("", "Range", key=b"a", serializable=True).startswith("INVALID_ARGUMENT")
    assert counted(proxy, "etcd_grpc_proxy_cache_hits_total") == 2
    side.close()
    through.close()
