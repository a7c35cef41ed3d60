"""Members found by DNS, with answers of the test's own; and in another etcd, a real one."""

from pathlib import Path

import pytest
import trio

from dualmode.client.channel import open_channel
from dualmode.client.etcd import EtcdClient
from dualmode.config.settings import DiscoverySettings
from dualmode.errors import PeerError, StartError
from dualmode.member.cluster.discovery import Members, members_by_service, members_by_srv
from dualmode.urls import parse_url
from tests.interop.servers import start_dualmode, start_etcd

HOSTS = {"a.example": "10.0.0.1", "b.example": "10.0.0.2", "c.example": "10.0.0.3"}


def settings(**fields: object) -> DiscoverySettings:
    defaults: dict[str, object] = {
        "url": "",
        "http_proxy": "",
        "falls_back_to_proxy": False,
        "srv_domain": "example",
        "srv_name": "",
        "token": "t",
        "endpoints": (),
        "dial_timeout_seconds": 2.0,
        "request_timeout_seconds": 5.0,
        "keepalive_time_seconds": 2.0,
        "keepalive_timeout_seconds": 6.0,
        "is_insecure": True,
        "skip_verify": False,
        "cert_file": "",
        "key_file": "",
        "trusted_ca_file": "",
        "user": "",
        "password": "",
    }
    return DiscoverySettings(**(defaults | fields))  # type: ignore[arg-type]


async def resolve(host: str, port: int) -> set[tuple[str, int]]:
    return {(HOSTS.get(host, host), port)}


async def by_srv(records: dict[str, list[tuple[str, int]]], own: str, **fields: object) -> Members:
    async def lookup(name: str) -> list[tuple[str, int]]:
        if name not in records:
            raise PeerError(f"error querying DNS SRV records for {name}: no such name")
        return records[name]

    return await members_by_srv("me", [parse_url(own)], settings(**fields), lookup, resolve)


HTTP = "_etcd-server._tcp.example"
HTTPS = "_etcd-server-ssl._tcp.example"


async def test_our_own_record_is_found_by_its_address() -> None:
    records = {HTTP: [("a.example", 2380), ("b.example", 2380), ("c.example", 2380)]}
    assert await by_srv(records, "http://10.0.0.2:2380") == {
        "0": ("http://a.example:2380",),
        "me": ("http://b.example:2380",),
        "1": ("http://c.example:2380",),
    }


async def test_secure_records_come_first_and_a_suffix_keeps_clusters_apart() -> None:
    records = {
        "_etcd-server-ssl-one._tcp.example": [("a.example", 2380)],
        "_etcd-server-one._tcp.example": [("b.example", 2380)],
        HTTP: [("c.example", 2380)],
    }
    found = await by_srv(records, "https://10.0.0.1:2380", srv_name="one")
    assert found == {"me": ("https://a.example:2380",), "0": ("http://b.example:2380",)}


@pytest.mark.parametrize(
    ("records", "own", "told"),
    [
        ({}, "http://10.0.0.1:2380", "error querying DNS SRV records for _etcd-server-ssl._tcp.example"),
        ({HTTP: []}, "http://10.0.0.1:2380", "error querying DNS"),
        ({HTTP: [], HTTPS: []}, "http://10.0.0.1:2380", "there are no SRV records of members for example"),
        ({HTTP: [("b.example", 1)]}, "http://10.0.0.1:2380", 'cannot find local etcd member "me" in SRV records'),
        ({HTTPS: [("a.example", 2380)]}, "http://10.0.0.1:2380", "is of https"),
    ],
)
async def test_what_cannot_be_said_clearly(records: dict[str, list[tuple[str, int]]], own: str, told: str) -> None:
    with pytest.raises(StartError, match=told):
        await by_srv(records, own)


@pytest.mark.interop
@pytest.mark.parametrize("start", [start_etcd, start_dualmode])
async def test_three_members_find_each_other_in_another_etcd(start: object, tmp_path: Path) -> None:
    with start(tmp_path) as server:  # type: ignore[operator]
        told = settings(endpoints=(parse_url(server.url),), token="abc")
        with pytest.raises(StartError, match="size key not found"):
            await members_by_service("m0", 1, ["http://10.0.0.1:2380"], told)
        async with open_channel(server.url) as channel:
            await EtcdClient(channel).put(b"/_etcd/registry/abc/_config/size", b"3")
        found: list[Members] = []

        async def join(number: int) -> None:
            urls = [f"http://10.0.0.{number}:2380"]
            found.append(await members_by_service(f"m{number}", number, urls, told))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for number in (1, 2, 3):
                    nursery.start_soon(join, number)
        assert found[0] == found[1] == found[2] == {f"m{n}": (f"http://10.0.0.{n}:2380",) for n in (1, 2, 3)}
        # Again is the same; a fourth is too many.
        assert await members_by_service("m2", 2, ["http://10.0.0.2:2380"], told) == found[0]
        with pytest.raises(StartError, match="cluster is full"):
            await members_by_service("m4", 4, ["http://10.0.0.4:2380"], told)


@pytest.mark.interop
async def test_a_size_that_is_none(tmp_path: Path) -> None:
    with start_dualmode(tmp_path) as server:
        async with open_channel(server.url) as channel:
            await EtcdClient(channel).put(b"/_etcd/registry/abc/_config/size", b"many")
        told = settings(endpoints=(parse_url(server.url),), token="abc")
        with pytest.raises(StartError, match="size key is bad"):
            await members_by_service("m0", 1, ["http://10.0.0.1:2380"], told)
