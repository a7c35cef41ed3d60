"""What a member finds out before it starts, from members that answer over loopback sockets and ones that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dualmode.errors import StartError
from dualmode.member import identity
from dualmode.member.cluster.joining import check_is_new, join, match_members
from dualmode.peer.client import PeerClient
from dualmode.peer.member import Member
from tests.peer.fakes import CLUSTER, End, Service, speaking

ONE, TWO = Member(1, ("http://a:1", "http://a:2"), "a"), Member(2, ("http://b:1",))
NOBODY = "http://127.0.0.1:1"


def test_members_are_found_by_their_peer_urls() -> None:
    found = match_members("new", {"old": ("http://a:2", "http://a:1"), "new": ("http://b:1",)}, [ONE, TWO], 9)
    assert (found.member_id, found.cluster_id, found.members) == (2, 9, (ONE, TWO))


@pytest.mark.parametrize(
    ("initial", "fault"),
    [
        ({"old": ONE.peer_urls}, "couldn't find local name"),
        ({"new": ("http://b:1",)}, "member count is unequal"),
        ({"old": ("http://a:1",), "new": ("http://b:1",)}, "unmatched member"),
        ({"old": ONE.peer_urls, "new": ("http://c:1",)}, "unmatched member"),
    ],
)
def test_who_is_not_among_them_is_told_why(initial: dict[str, tuple[str, ...]], fault: str) -> None:
    with pytest.raises(StartError, match=fault):
        match_members("new", initial, [ONE, TWO], 9)


@pytest.fixture
async def end(tmp_path: Path) -> AsyncIterator[End]:
    async with speaking(1, tmp_path) as end:
        yield end


def answering(end: End, monkeypatch: pytest.MonkeyPatch, members: list[Member], version: str = "3.6.0") -> None:
    monkeypatch.setattr(Service, "members", lambda self: members)
    monkeypatch.setattr(Service, "versions", lambda self: {"etcdserver": version, "etcdcluster": version})


async def test_joining_asks_the_next_one_when_one_does_not_answer(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Member(1, (NOBODY, end.url), "old"), Member(2, ("http://new:1",))
    answering(end, monkeypatch, [old, new])
    joined = await join("new", {"old": old.peer_urls, "new": new.peer_urls}, PeerClient(None))
    assert (joined.member_id, joined.cluster_id) == (2, CLUSTER)


async def test_joining_when_nobody_answers() -> None:
    with pytest.raises(StartError, match="cannot fetch cluster info from peer urls"):
        await join("new", {"old": (NOBODY,), "new": ("http://new:1",)}, PeerClient(None))
    with pytest.raises(StartError, match="names nobody else"):
        await join("new", {"new": ("http://new:1",)}, PeerClient(None))


@pytest.mark.parametrize("version", ["3.7.0", "4.0.0", "2.3.0", "not_decided", ""])
async def test_joining_a_cluster_of_another_version(end: End, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    old, new = Member(1, (end.url,), "old"), Member(2, ("http://new:1",))
    answering(end, monkeypatch, [old, new], version)
    with pytest.raises(StartError, match="incompatible with current running cluster"):
        await join("new", {"old": old.peer_urls, "new": new.peer_urls}, PeerClient(None))


async def test_a_member_that_lost_its_data_is_not_new(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("http://new:1",)
    own_id = identity.member_id(urls, "token")
    initial = {"old": (end.url, NOBODY), "new": urls}
    answering(end, monkeypatch, [Member(own_id, urls)])
    await check_is_new("new", initial, "token", PeerClient(None))  # it has never published anything
    answering(end, monkeypatch, [Member(own_id, urls, "new", ("http://new:2",))])
    with pytest.raises(StartError, match="has already been bootstrapped"):
        await check_is_new("new", initial, "token", PeerClient(None))
    await check_is_new("new", {"old": (NOBODY,), "new": urls}, "token", PeerClient(None))
