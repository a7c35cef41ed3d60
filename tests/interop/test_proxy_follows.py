"""A proxy in front of a cluster whose members come and go: clients notice nothing but a pause."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.interop import proxy_faults
from tests.interop.clusters.cluster import Cluster, eventually
from tests.interop.grpc_client import Client
from tests.interop.processes import ServerProcess, answers_http, free_port
from tests.interop.servers import DUALMODE

pytestmark = pytest.mark.interop


class Proxy:
    """`dualmode proxy`, by its flags."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.port = free_port()
        command = [*DUALMODE, "proxy", f"--listen-client-urls=http://127.0.0.1:{self.port}"]
        command += [f"--data-dir={directory / 'p.proxy'}", *flags]
        port = self.port
        self.process = ServerProcess("proxy", command, directory, lambda: answers_http("127.0.0.1", port, "/version"))

    def __enter__(self) -> Proxy:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


def puts(client: Client, key: str) -> bool:
    """Whether a put comes through."""
    try:
        client.Put(key=key.encode(), value=b"v")
    except grpc.RpcError:
        return False
    return True


def test_members_are_replaced_under_a_proxy(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_new({"e0": "etcd", "e1": "etcd", "d0": "dualmode"})
        cluster.wait_for_leader()
        first = cluster.members["e0"]
        with Proxy(tmp_path, f"--initial-cluster=e0={first.peer_url}", "--proxy-refresh-interval=500") as proxy:
            client = Client(proxy.target)
            eventually(lambda: puts(client, "a"), "the first put")
            for number, (gone, program) in enumerate((("e0", "dualmode"), ("e1", "etcd"), ("d0", "etcd"))):
                cluster.add(f"n{number}", program)
                cluster.remove(gone)
                cluster.wait_for_leader()
                eventually(lambda number=number: puts(client, f"k{number}"), "a put after a replacement")
            client.close()
        # Nobody of those it was told of is left; what it remembers brings it back.
        with Proxy(tmp_path, f"--initial-cluster=e0={first.peer_url}") as proxy:
            client = Client(proxy.target)
            eventually(lambda: puts(client, "z"), "a put after a restart")
            found = {kv.key for kv in client.Range(key=b"k", range_end=b"l").kvs}
            assert found == {b"k0", b"k1", b"k2"}
            client.close()


def test_an_endpoint_that_is_frozen_is_left(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_new({"e0": "etcd", "e1": "etcd", "e2": "etcd"})
        cluster.wait_for_leader()
        flags = f"--endpoints={cluster.endpoints()}"
        with Proxy(tmp_path, flags) as proxy:
            client = Client(proxy.target)
            eventually(lambda: puts(client, "a"), "the first put")
            for name in list(cluster.members):
                with cluster.paused(name):
                    eventually(lambda name=name: puts(client, f"during-{name}"), "a put while a member is frozen")
                cluster.wait_for_leader()
            client.close()


def test_a_read_only_proxy(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_new({"e0": "etcd"})
        cluster.ctl("put", "a", "1")
        with Proxy(tmp_path, f"--endpoints={cluster.endpoints()}", "--proxy=readonly") as proxy:
            client = Client(proxy.target)
            assert client.Range(key=b"a").kvs[0].value == b"1"
            assert client.Txn(success=[]).succeeded
            for call in (lambda: client.Put(key=b"a", value=b"2"), lambda: client.LeaseGrant(TTL=5)):
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]
            client.close()
        assert cluster.ctl("get", "a", "--print-value-only").stdout.strip() == "1"


@pytest.mark.parametrize("program", ["etcd", "dualmode"])
def test_faults_behind_a_proxy(tmp_path: Path, program: str) -> None:
    """One round; `python -m tests.interop.proxy_faults` runs more."""
    counted = proxy_faults.run(tmp_path, program, 1)
    assert counted["acknowledged"] > 100
    assert counted["watches resumed"] > 0
