"""A snapshot made into a store: what is no use leaves nothing behind, and two may come at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from dualmode.api import etcdserverpb as pb
from dualmode.errors import StorageError
from dualmode.member.apply import requests
from dualmode.member.server import MemberServer
from dualmode.member.snapshots import places
from dualmode.member.snapshots.receiver import make_incoming
from dualmode.member.snapshots.sender import SnapshotSender, Source
from dualmode.raft import ConfState, Message, MessageType, Snapshot, SnapshotMetadata
from tests.member.conftest import StartMember, ask

PEER = 0xF00


async def made(member: MemberServer, file: Path) -> Message:
    """A snapshot of this member as it is, as if for a peer."""
    sent: list[tuple[Message, Source]] = []
    run_blocking = member.surroundings.run_blocking
    sender = SnapshotSender(member.replica, member.snapshot_files, run_blocking, lambda *one: sent.append(one))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        member.replica.exchange.send_snapshot(Message(MessageType.SNAPSHOT, to=PEER, sender=1, snapshot=Snapshot()))
        with trio.fail_after(20):
            while not sent:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.005)
        assert sender.needed_index == member.store.applied_index
        member.replica.exchange.report_snapshot(PEER, True)
        assert sender.needed_index is None
        nursery.cancel_scope.cancel()
    [(message, source)] = sent
    file.write_bytes(b"".join([piece async for piece in source.chunks()]))  # noqa: ASYNC240 - a test
    source.close()
    return message


def ahead(message: Message, index: int) -> Message:
    """The same snapshot, said to be of a later index."""
    assert message.snapshot is not None
    metadata = SnapshotMetadata(message.snapshot.metadata.conf_state, index, message.snapshot.metadata.term)
    return Message(MessageType.SNAPSHOT, to=1, sender=PEER, term=2, snapshot=Snapshot(message.snapshot.data, metadata))


def left(member_dir: Path) -> set[str]:
    return {path.name for path in member_dir.iterdir()} - {"wal", "store"}


@pytest.mark.parametrize("size", [0, 1, 4096, -1, -5000])
async def test_a_database_that_is_cut_is_refused(tmp_path: Path, start_member: StartMember, size: int) -> None:
    async with start_member(tmp_path) as member:
        for number in range(50):
            await ask(member, requests.PUT, pb.PutRequest(key=b"k%d" % number, value=bytes(500)))
        file = tmp_path / "db"
        message = await made(member, file)
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(StorageError):
            await member.snapshot_receiver.receive(ahead(message, 1000), file)
        assert not file.exists()
        assert left(tmp_path / "member") == set()


@pytest.mark.parametrize("data", [b"{}", b"rubbish", b'{"Root":3}'])
async def test_a_snapshot_whose_membership_is_rubbish_is_refused(
    tmp_path: Path, start_member: StartMember, data: bytes
) -> None:
    async with start_member(tmp_path) as member:
        file = tmp_path / "db"
        message = ahead(await made(member, file), 1000)
        assert message.snapshot is not None
        message.snapshot = Snapshot(data, message.snapshot.metadata)
        with pytest.raises(StorageError, match="v2 store"):
            await member.snapshot_receiver.receive(message, file)
        assert not file.exists()
        assert left(tmp_path / "member") == set()


async def test_one_that_is_older_than_what_is_there_is_passed_over(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path) as member:
        file = tmp_path / "db"
        message = await made(member, file)
        await member.snapshot_receiver.receive(message, file)
        assert not file.exists()
        assert left(tmp_path / "member") == set()


async def test_two_that_come_at_once_are_loaded_one_after_the_other(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_member(tmp_path) as member:
        for number in range(200):
            await ask(member, requests.PUT, pb.PutRequest(key=b"k%d" % number, value=bytes(500)))
        files = [tmp_path / "first", tmp_path / "second"]
        messages = [ahead(await made(member, file), 1000 + number) for number, file in enumerate(files)]
        arrived: list[Message] = []
        filling: list[int] = [0]
        receiver, run_blocking = member.snapshot_receiver, member.surroundings.run_blocking

        async def counted(function: Any, *arguments: Any) -> Any:
            filling.append(filling[-1] + (function is make_incoming))
            try:
                return await run_blocking(function, *arguments)
            finally:
                filling.append(filling[-1] - (function is make_incoming))

        monkeypatch.setattr(receiver, "_run_blocking", counted)
        monkeypatch.setattr(member.replica.exchange, "receive", arrived.append)
        async with trio.open_nursery() as nursery:
            for message, file in zip(messages, files, strict=True):
                nursery.start_soon(receiver.receive, message, file)
        assert len(arrived) == 2
        assert max(filling) == 1, "both are filled in the same folder"
        assert left(tmp_path / "member") == {places.incoming(tmp_path, 1000 + number).name for number in range(2)}


async def test_stores_that_nobody_took_do_not_heap_up(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_member(tmp_path) as member:
        monkeypatch.setattr(member.replica.exchange, "receive", lambda message: None)  # Raft has no use for it
        message = await made(member, tmp_path / "db")
        index = member.store.applied_index + 1
        await member.snapshot_receiver.receive(ahead(message, index), tmp_path / "db")
        assert left(tmp_path / "member") == {places.incoming(tmp_path, index).name}
        for number in range(3):
            await ask(member, requests.PUT, pb.PutRequest(key=b"k%d" % number))
        message = await made(member, tmp_path / "db")
        await member.snapshot_receiver.receive(ahead(message, 1000), tmp_path / "db")
        assert left(tmp_path / "member") == {places.incoming(tmp_path, 1000).name}


async def test_raft_never_takes_a_snapshot_whose_database_is_not_there(
    tmp_path: Path, start_member: StartMember
) -> None:
    async with start_member(tmp_path) as member:
        snapshot = Snapshot(b"", SnapshotMetadata(ConfState((1,)), 1000, 5))
        ready: Any = None
        with pytest.raises(StorageError, match="is not there"):
            await member.replica.install(ready, snapshot)
