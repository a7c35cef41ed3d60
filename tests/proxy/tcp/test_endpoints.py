"""Where the gateway's remotes come from."""

from __future__ import annotations

import pytest

from dualmode.client.srv import SrvRecord
from dualmode.errors import PeerError, StartError
from dualmode.proxy.tcp.endpoints import find_remotes
from dualmode.proxy.tcp.remotes import Remote
from dualmode.urls import parse_url
from tests.proxy.test_start import settings_of

SECURE, PLAIN = "_etcd-client-ssl._tcp.example.org", "_etcd-client._tcp.example.org"


async def find(*flags: str, **records: list[SrvRecord]) -> list[Remote]:
    async def lookup(name: str) -> list[SrvRecord]:
        key = name.split("._tcp")[0].removeprefix("_etcd-client").replace("-", "_")
        if key not in records:
            raise PeerError(f"error querying DNS SRV records for {name}: none")
        return records[key]

    return await find_remotes(settings_of("--mode=tcp", *flags), lookup)


async def test_named_ones_lose_only_their_scheme_when_dialled() -> None:
    found = await find("--endpoints=https://x:1,y:2,unix:///run/z")
    assert [str(one) for one in found] == ["x:1", "y:2", "/run/z"]
    assert {(one.priority, one.weight) for one in found} == {(0, 0)}


async def test_the_default_is_the_member_on_this_machine() -> None:
    assert [str(one) for one in await find()] == ["127.0.0.1:2379"]


async def test_records_bring_priorities_and_weights() -> None:
    records = {"_ssl": [SrvRecord("a.example.org", 2379, 1, 30)], "": [SrvRecord("b.example.org", 2379, 2, 0)]}
    secure = Remote(parse_url("https://a.example.org:2379"), 1, 30)
    assert await find("--discovery-srv=example.org", **records) == [secure]
    plain = Remote(parse_url("http://b.example.org:2379"), 2, 0)
    assert await find("--discovery-srv=example.org", "--insecure-discovery", **records) == [secure, plain]


async def test_a_suffix_keeps_clusters_apart() -> None:
    records = {"_ssl_blue": [SrvRecord("a.example.org", 2379, 0, 0)]}
    found = await find("--discovery-srv=example.org", "--discovery-srv-name=blue", **records)
    assert [str(one) for one in found] == ["a.example.org:2379"]


async def test_no_records() -> None:
    with pytest.raises(StartError, match=rf"{SECURE}: none \(--insecure-discovery takes"):
        await find("--discovery-srv=example.org")
    with pytest.raises(StartError, match=rf"{SECURE}: none; .*{PLAIN}: none$"):
        await find("--discovery-srv=example.org", "--insecure-discovery")
