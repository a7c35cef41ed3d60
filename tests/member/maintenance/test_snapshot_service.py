"""The Snapshot call on a whole member: its messages, what is in them, and that nothing stays behind."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.member.apply import requests
from dualmode.member.maintenance.snapshot_service import SnapshotService
from dualmode.member.server import MemberServer
from dualmode.member.snapshots import file as snapshot_file
from dualmode.member.snapshots.file import SnapshotFiles
from dualmode.member.surroundings import run_in_thread
from dualmode.storage.bbolt.check import check
from dualmode.storage.bbolt.reader import BboltFile
from tests.member.conftest import ask, running_member


class Stream:
    """A client that takes everything, or goes after some messages."""

    def __init__(self, goes_after: int | None = None) -> None:
        self.answers: list[Any] = []
        self._goes_after = goes_after

    async def receive(self) -> bytes:
        return b""

    async def send(self, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.answers.append(pb.SnapshotResponse.FromString(message))
        if len(self.answers) == self._goes_after:
            raise RpcError(Code.CANCELLED, "gone")


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def put(member: MemberServer, key: bytes, value: bytes) -> None:
    await ask(member, requests.PUT, pb.PutRequest(key=key, value=value))


async def taken(member: MemberServer) -> list[Any]:
    stream = Stream()
    await member.snapshot.snapshot(stream)  # type: ignore[arg-type]
    return stream.answers


async def test_blobs_count_down_and_the_hash_comes_last(tmp_path: Path) -> None:
    async with running_member(tmp_path) as member:
        await put(member, b"k", b"v" * 100_000)
        names = names_in(tmp_path)
        *blobs, last = await taken(member)
        assert names_in(tmp_path) == names
    data = b"".join(one.blob for one in blobs)
    assert last.blob == hashlib.sha256(data).digest()
    assert last.remaining_bytes == 0
    left = len(data)
    for one in blobs:
        assert len(one.blob) <= limits.SNAPSHOT_BLOB_BYTES
        left -= len(one.blob)
        assert one.remaining_bytes == left
        assert one.version == "3.6.0"
    file = BboltFile(data)
    check(file)
    records = dict(file.items(b"key"))
    assert [record[-100_000:] for record in records.values()] == [b"v" * 100_000]
    meta = dict(file.items(b"meta"))
    assert int.from_bytes(meta[b"consistent_index"], "big") == member.opened.store.applied_index
    assert b'"voters":[' in meta[b"confState"]
    assert list(file.items(b"members"))


async def test_what_is_written_meanwhile_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()
    makes = threading.Event()

    def breathe() -> None:
        makes.set()
        assert may_go_on.wait(5)

    monkeypatch.setattr(snapshot_file, "_breathe", breathe)
    async with running_member(tmp_path) as member:
        await put(member, b"before", b"")
        stream = Stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(member.snapshot.snapshot, stream)
            assert await trio.to_thread.run_sync(makes.wait, 5)
            await put(member, b"meanwhile", b"")
            may_go_on.set()
    file = BboltFile(b"".join(one.blob for one in stream.answers[:-1]))
    assert len(list(file.items(b"key"))) == 1


@pytest.mark.parametrize("goes_after", [1, 3])
async def test_a_client_that_goes_leaves_nothing_behind(tmp_path: Path, goes_after: int) -> None:
    async with running_member(tmp_path) as member:
        await put(member, b"k", b"v" * 100_000)
        names = names_in(tmp_path)
        with pytest.raises(RpcError):
            await member.snapshot.snapshot(Stream(goes_after))  # type: ignore[arg-type]
        assert names_in(tmp_path) == names


async def test_making_the_file_ends_when_the_client_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makes = threading.Event()
    rounds = 0

    def breathe_for_ever() -> None:
        nonlocal rounds
        rounds += 1
        makes.set()
        for _ in range(10_000):
            trio.from_thread.check_cancelled()
            threading.Event().wait(0.001)
        raise AssertionError("it was not cancelled")

    monkeypatch.setattr(snapshot_file, "_breathe", breathe_for_ever)
    with trio.fail_after(5):
        async with running_member(tmp_path) as member, trio.open_nursery() as nursery:
            nursery.start_soon(member.snapshot.snapshot, Stream())
            assert await trio.to_thread.run_sync(makes.wait, 5)
            nursery.cancel_scope.cancel()
    assert rounds == 1


async def test_a_disk_that_does_not_take_the_file(tmp_path: Path) -> None:
    async with running_member(tmp_path) as member:
        service = SnapshotService(member.replica, SnapshotFiles(member.store, tmp_path / "nowhere", run_in_thread))
        with pytest.raises(RpcError, match=r"snapshot: cannot make a snapshot in .*: No such file or directory"):
            await service.snapshot(Stream())  # type: ignore[arg-type]


async def test_the_file_does_not_take_the_room_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_member(tmp_path) as member:
        monkeypatch.setattr(limits, "FREE_SPACE_BYTES", 1 << 60)
        with pytest.raises(RpcError, match="no space left on device"):
            await member.snapshot.snapshot(Stream())  # type: ignore[arg-type]


async def test_one_file_is_made_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = []
    most = 0

    def breathe() -> None:
        nonlocal most
        at_work.append(1)
        most = max(most, len(at_work))
        threading.Event().wait(0.002)
        at_work.pop()

    monkeypatch.setattr(snapshot_file, "_breathe", breathe)
    async with running_member(tmp_path) as member:
        streams = [Stream() for _ in range(4)]
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(member.snapshot.snapshot, stream)
    assert most == 1
    assert len({stream.answers[-1].blob for stream in streams}) == 1
