"""Proxies that announce themselves, ours and etcd's, under one prefix."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.interop.clusters.cluster import eventually
from tests.interop.grpc_client import Client
from tests.interop.processes import ServerProcess, answers_http, free_port
from tests.interop.servers import DUALMODE, ETCD, ETCDCTL, Server, start_etcd

pytestmark = pytest.mark.interop

PREFIX = "___grpc_proxy_endpoint"
HOST = socket.gethostname()


class Proxy:
    """`dualmode proxy`, or etcd's `grpc-proxy`, by the flags they share."""

    def __init__(self, program: str, directory: Path, endpoint: str, *flags: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        if program == "etcd":
            command = [str(ETCD), "grpc-proxy", "start", f"--listen-addr={self.address}"]
        else:
            command = [*DUALMODE, "proxy", f"--listen-client-urls=http://{self.address}"]
        command += [f"--endpoints={endpoint}", f"--data-dir={directory / str(self.port)}", *flags]
        command = [part.replace("OWN", self.address) for part in command]
        port = self.port
        self.process = ServerProcess(
            f"{program}-{port}", command, directory, lambda: answers_http("127.0.0.1", port, "/proxy/health")
        )

    def __enter__(self) -> Proxy:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def members(self) -> Any:
        with Client(self.address) as client:
            return client.MemberList()

    def named(self) -> set[tuple[str, str]]:
        return {(member.name, url) for member in self.members().members for url in member.clientURLs}


def announcing(ttl_seconds: int = 5) -> tuple[str, ...]:
    return f"--resolver-prefix={PREFIX}", f"--resolver-ttl={ttl_seconds}", "--advertise-client-url=OWN"


def written(etcd: Server, prefix: str = PREFIX) -> dict[str, tuple[Any, int]]:
    """address -> (what stands there, its lease)"""
    with Client(etcd.target) as client:
        found = client.Range(key=prefix.encode(), range_end=prefix.encode() + b"\xff").kvs
    return {kv.key.decode().removeprefix(prefix + "/"): (json.loads(kv.value), kv.lease) for kv in found}


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Server]:
    with start_etcd(tmp_path) as server:
        yield server


def test_proxies_of_both_kinds_see_each_other(tmp_path: Path, etcd: Server) -> None:
    with Proxy("etcd", tmp_path, etcd.target, *announcing()) as theirs:
        with (
            Proxy("dualmode", tmp_path, etcd.target, *announcing()) as ours,
            Proxy("dualmode", tmp_path, etcd.target, *announcing()) as second,
        ):
            all_three = {(HOST, one.address) for one in (ours, second, theirs)}
            for one in (ours, second, theirs):
                eventually(lambda one=one: one.named() == all_three, "all proxies in MemberList")
            # Nothing but the address tells the announcements apart.
            found = written(etcd)
            values = [{**value, "Addr": ""} for value, _ in found.values()]
            assert values[0] == values[1] == values[2]
            assert {value["Addr"] for value, _ in found.values()} == found.keys() == {url for _, url in all_three}
            assert not ours.members().HasField("header")
            assert not theirs.members().HasField("header")

            body = {"linearizable": True}
            answers = [
                httpx.post(f"http://{ours.address}{path}/cluster/member/list", json=body).json()
                for path in ("/v3", "/v3beta")
            ]
            expected = [{"name": HOST, "clientURLs": [address]} for address in sorted(found)]
            assert answers == [{"members": expected}] * 2
            told = [
                subprocess.run(
                    [ETCDCTL, f"--endpoints={one.address}", "member", "list"],
                    check=True, capture_output=True, text=True, timeout=20,
                ).stdout.splitlines()
                for one in (ours, theirs)
            ]  # fmt: skip
            assert sorted(told[0]) == sorted(told[1])
            # Everything else is the members' still.
            with Client(ours.address) as client:
                client.Put(key=b"a", value=b"1")
                assert client.Status().version == "3.5.1"
        # Ours take their announcements down at the end; nobody waits for a lease.
        assert written(etcd).keys() == {theirs.address}
    with Proxy("dualmode", tmp_path, etcd.target, *announcing()) as ours:
        eventually(lambda: ours.named() == {(HOST, ours.address)}, "the end of the lease of etcd's proxy")


def test_an_announcement_outlives_what_happens_to_the_member(tmp_path: Path, etcd: Server) -> None:
    with Proxy("dualmode", tmp_path, etcd.target, *announcing(2)) as proxy:
        eventually(lambda: proxy.address in written(etcd), "the announcement")
        _, lease = written(etcd)[proxy.address]
        with Client(etcd.target) as client:
            assert client.LeaseTimeToLive(ID=lease).grantedTTL == 2
            client.LeaseRevoke(ID=lease)
        eventually(lambda: written(etcd).get(proxy.address, (0, lease))[1] != lease, "another lease")
        etcd.stop()
        etcd.start()
        eventually(lambda: proxy.address in written(etcd), "the announcement after a restart")
        metrics = httpx.get(f"http://{proxy.address}/proxy/metrics").text
        assert "dualmode_proxy_announced 1\n" in metrics
    assert proxy.address not in written(etcd)


@pytest.mark.parametrize("program", ["etcd", "dualmode"])
def test_an_address_alone_is_the_member(tmp_path: Path, etcd: Server, program: str) -> None:
    with Proxy(program, tmp_path, etcd.target, "--advertise-client-url=OWN") as proxy:
        assert proxy.named() == {(HOST, proxy.address)}
    assert written(etcd) == {}


def test_without_an_address_the_members_are_told(tmp_path: Path, etcd: Server) -> None:
    with Proxy("dualmode", tmp_path, etcd.target) as proxy:
        assert proxy.named() == {("etcd", etcd.url)}
        assert proxy.members().HasField("header")


def test_the_members_are_found_though_the_proxies_are_named(tmp_path: Path, etcd: Server) -> None:
    flags = (*announcing(), "--endpoints-auto-sync-interval=100ms")
    with Proxy("dualmode", tmp_path, etcd.target, *flags) as proxy:
        file = tmp_path / str(proxy.port) / "proxy" / "cluster"
        eventually(file.exists, "what is remembered of the members")
        assert json.loads(file.read_text())["ClientURLs"] == [etcd.url]
