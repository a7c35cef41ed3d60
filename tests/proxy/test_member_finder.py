"""Where a proxy takes its endpoints from, and what it remembers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualmode.config.load import load
from dualmode.config.option import Mode
from dualmode.config.settings import ProxySettings
from dualmode.errors import PeerError, StartError
from dualmode.peer.client import PeerClient
from dualmode.peer.member import Member
from dualmode.proxy.cluster_file import ClusterFile, KnownCluster
from dualmode.proxy.member_finder import MemberFinder
from dualmode.urls import Url, parse_url


def settings_of(*flags: str) -> ProxySettings:
    settings = load(Mode.PROXY, list(flags), {}).settings(Mode.PROXY)
    assert isinstance(settings, ProxySettings)
    return settings


class Peers(PeerClient):
    """Members that answer, by peer URL."""

    def __init__(self, answers: dict[str, list[Member]]) -> None:
        super().__init__(None)
        self._answers = answers
        self.asked: list[str] = []

    async def members(self, url: str) -> tuple[int, list[Member]]:
        self.asked.append(url)
        if url not in self._answers:
            raise PeerError(f"{url}: nobody is there")
        return 1, self._answers[url]


ONE = Member(1, ("http://a:2380",), "one", ("http://a:2379", "nonsense", "http://a:2379"))
TWO = Member(2, ("http://b:2380",), "two", ("https://b:2379",))
LISTED = [parse_url("http://a:2379"), parse_url("https://b:2379")]


async def find(
    directory: Path, *flags: str, peers: Peers | None = None, records: dict[str, list[tuple[str, int]]] | None = None
) -> list[Url]:
    async def lookup(name: str) -> list[tuple[str, int]]:
        if records is None or name not in records:
            raise PeerError(f"error querying DNS SRV records for {name}: none")
        return records[name]

    finder = MemberFinder(settings_of(*flags), ClusterFile(directory), peers or Peers({}), lookup)
    return sorted(await finder.start())


async def test_named_endpoints_are_asked_of_nobody(tmp_path: Path) -> None:
    assert await find(tmp_path, "--endpoints=http://x:1,https://y:2") == [
        parse_url("http://x:1"),
        parse_url("https://y:2"),
    ]


async def test_peers_name_the_endpoints_and_are_remembered(tmp_path: Path) -> None:
    peers = Peers({"http://b:2380": [ONE, TWO]})
    assert await find(tmp_path, "--initial-cluster=one=http://a:2380,two=http://b:2380", peers=peers) == LISTED
    assert peers.asked == ["http://a:2380", "http://b:2380"]
    assert json.loads((tmp_path / "cluster").read_text()) == {
        "PeerURLs": ["http://a:2380", "http://b:2380"],
        "ClientURLs": ["http://a:2379", "https://b:2379"],
    }
    assert (tmp_path / "cluster").stat().st_mode & 0o777 == 0o600
    # The next start goes by what is remembered, also when nobody answers.
    later = Peers({})
    assert await find(tmp_path, "--initial-cluster=old=http://old:2380", peers=later) == LISTED
    assert later.asked == ["http://a:2380", "http://b:2380"]


async def test_peers_that_do_not_answer_leave_nothing_for_now(tmp_path: Path) -> None:
    assert await find(tmp_path, "--initial-cluster=one=http://a:2380") == []


async def test_a_cluster_file_of_etcd(tmp_path: Path) -> None:
    (tmp_path / "cluster").write_text('{"PeerURLs":["http://a:2380"]}')
    assert await find(tmp_path, "--proxy=on", peers=Peers({"http://a:2380": [ONE]})) == LISTED[:1]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"PeerURLs":["ftp://a"]}', '{"PeerURLs":[1]}', "[" * 10_000])
async def test_a_cluster_file_that_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster").write_text(text)
    with pytest.raises(StartError, match="remove it"):
        await find(tmp_path, "--proxy=on")


def test_the_file_is_written_when_something_is_new(tmp_path: Path) -> None:
    file, known = ClusterFile(tmp_path), KnownCluster(tuple(LISTED[:1]), tuple(LISTED))
    assert file.read() == KnownCluster()
    file.write(known)
    (tmp_path / "cluster").unlink()
    file.write(known)
    assert not (tmp_path / "cluster").exists()
    file.write(KnownCluster((), tuple(LISTED)))
    assert ClusterFile(tmp_path).read() == KnownCluster((), tuple(LISTED))


SECURE = "_etcd-client-ssl._tcp.example"
PLAIN = "_etcd-client._tcp.example"


async def test_service_records(tmp_path: Path) -> None:
    records = {SECURE: [("a", 1)], PLAIN: [("b", 2)]}
    assert await find(tmp_path, "--discovery-srv=example", records=records) == [parse_url("https://a:1")]
    both = await find(tmp_path, "--discovery-srv=example", "--insecure-discovery", records=records)
    assert both == [parse_url("http://b:2"), parse_url("https://a:1")]
    with pytest.raises(StartError, match="--insecure-discovery takes records of plain HTTP too"):
        await find(tmp_path, "--discovery-srv=example", records={PLAIN: [("b", 2)]})
