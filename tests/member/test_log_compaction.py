"""The log is kept short, by entries and by bytes."""

from pathlib import Path

import pytest
import trio

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from dualmode.member.log_compaction import last_beyond
from dualmode.member.server import MemberServer
from dualmode.raft import Entry, EntryType
from tests.member.conftest import ask, running_member


async def put(member: MemberServer, count: int, value_bytes: int) -> None:
    """One put more than `count`, when what they made due is done: where the disk is slow they all come while a snapshot
    is taken, and it is the next entry that finds the log long."""
    for number in range(count):
        await ask(member, requests.PUT, pb.PutRequest(key=b"%d" % number, value=b"v" * value_bytes))
    with trio.fail_after(20):
        await member.log_compactor.wait_until_taken()
        await ask(member, requests.PUT, pb.PutRequest(key=b"0", value=b"v" * value_bytes))
        await member.log_compactor.wait_until_taken()


def entries_in_memory(member: MemberServer) -> int:
    storage = member.opened.raft_storage
    return storage.last_index() - storage.first_index() + 1


async def test_large_entries_are_let_go_of_before_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_SNAPSHOT_BYTES", 100_000)
    async with running_member(tmp_path) as member:
        await put(member, 50, 10_000)
        assert member.log_compactor.newest.index > 30
        assert entries_in_memory(member) < 20
    async with running_member(tmp_path) as member:
        assert member.opened.store.count(b"\0", b"\0") == 50


async def test_small_entries_are_counted(tmp_path: Path) -> None:
    async with running_member(tmp_path, snapshot_count=20) as member:
        await put(member, 50, 1)
        assert member.log_compactor.newest.index >= 40
        assert entries_in_memory(member) < 20


async def test_below_both_bounds_nothing_is_done(tmp_path: Path) -> None:
    async with running_member(tmp_path) as member:
        await put(member, 50, 1)
        assert member.log_compactor.newest.index == 0


@pytest.mark.parametrize(
    ("budget_bytes", "last"), [(0, 14), (9, 14), (10, 13), (25, 12), (30, 11), (49, 10), (50, 9), (1000, 9)]
)
def test_followers_find_the_newest_entries_that_fit(budget_bytes: int, last: int) -> None:
    entries = [Entry(EntryType.NORMAL, 1, index, b"d" * 10) for index in range(10, 15)]
    assert last_beyond(entries, budget_bytes) == last
