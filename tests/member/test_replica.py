"""The replica on real files: batches, restarts, a full disk, the end."""

from pathlib import Path

import pytest
import trio

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import NoSpaceError, RpcError
from dualmode.member.apply import requests
from dualmode.rpc.local import AwaitableReply
from tests.member.conftest import StartMember, ask


def put(key: bytes, value: bytes = b"v") -> pb.PutRequest:
    return pb.PutRequest(key=key, value=value)


async def test_what_is_proposed_together_is_synced_and_applied_together(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_member(tmp_path) as member:
        syncs = 0
        sync = member.opened.wal.sync

        def counted() -> None:
            nonlocal syncs
            syncs += 1
            sync()

        monkeypatch.setattr(member.opened.wal, "sync", counted)
        replies = [AwaitableReply() for _ in range(50)]
        for number, reply in enumerate(replies):
            request = put(b"%d" % number)
            member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, reply)
        revisions = [pb.PutResponse.FromString(await reply.result()).header.revision for reply in replies]
        assert revisions == list(range(2, 52))
        assert syncs == 1


async def test_a_restart_finds_what_was_acknowledged(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path) as member:
        for number in range(20):
            await ask(member, requests.PUT, put(b"k%d" % number))
        hashed = member.opened.store.hash_by_revision(0)
        first_id = member.opened.member_id
    async with start_member(tmp_path) as member:
        assert member.opened.member_id == first_id
        assert member.opened.store.revision == 21
        assert member.opened.store.hash_by_revision(0) == hashed
        answer = pb.PutResponse.FromString(await ask(member, requests.PUT, put(b"k0")))
        assert answer.header.revision == 22
        assert answer.header.raft_term > 2


async def test_a_restart_reads_the_log_from_its_last_snapshot_only(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path, snapshot_count=10) as member:
        for number in range(35):
            await ask(member, requests.PUT, put(b"k%d" % number))
            await member.log_compactor.wait_until_taken()
        await ask(member, requests.PUT, put(b"last"))
    async with start_member(tmp_path, snapshot_count=10) as member:
        assert member.opened.log_snapshot.index >= 30
        assert member.opened.raft_storage.first_index() == member.opened.log_snapshot.index + 1
        assert member.opened.store.get(b"last") is not None
        assert member.opened.store.revision == 37
        assert [one.id for one in member.replica.applier.membership.members()] == [member.opened.member_id]


async def test_a_full_disk_holds_writes_up_and_room_lets_them_through(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DISK_FULL_RETRY_SECONDS", 0.01)
    async with start_member(tmp_path) as member:
        append, refusals = member.opened.wal.append, 3

        def full_at_first(*args: object) -> bool:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise NoSpaceError("no room")
            return append(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(member.opened.wal, "append", full_at_first)
        answer = pb.PutResponse.FromString(await ask(member, requests.PUT, put(b"a")))
        assert refusals == 0
        assert answer.header.revision == 2


async def test_writes_are_refused_while_space_is_short_and_deletions_are_not(
    tmp_path: Path, start_member: StartMember
) -> None:
    async with start_member(tmp_path) as member:
        await ask(member, requests.PUT, put(b"a"))
        member.replica.free_space.has_space = False
        with pytest.raises(RpcError) as caught:
            await ask(member, requests.PUT, put(b"b"))
        assert caught.value == errors.NO_SPACE
        await ask(member, requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"a"))
        member.replica.free_space.has_space = True
        await ask(member, requests.PUT, put(b"b"))


async def test_a_request_that_is_too_large_is_refused_before_the_log(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path) as member:
        with pytest.raises(RpcError) as caught:
            await ask(member, requests.PUT, put(b"a", bytes(limits.MAX_REQUEST_BYTES)))
        assert caught.value == errors.REQUEST_TOO_LARGE


def no_room(*args: object) -> bool:
    raise NoSpaceError("no room")


async def test_whoever_waits_at_the_end_is_told_so(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = AwaitableReply()
    async with start_member(tmp_path) as member:
        monkeypatch.setattr(member.opened.wal, "append", no_room)
        request = put(b"a")
        member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, reply)
    with pytest.raises(RpcError) as caught:
        await reply.result()
    assert caught.value == errors.STOPPED
    with pytest.raises(RpcError) as caught:
        member.replica.intake.propose(requests.PUT, b"", request, reply)
    assert caught.value == errors.STOPPED


async def test_a_proposal_that_does_not_get_through_times_out(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with start_member(tmp_path) as member:
        with monkeypatch.context() as patch:
            patch.setattr(member.opened.wal, "append", no_room)
            reply = AwaitableReply()
            request = put(b"a")
            member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, reply)
            with pytest.raises(RpcError) as caught:
                await reply.result()
            assert caught.value == errors.TIMEOUT
        assert trio.current_time() >= 7


class Answers:
    """A Reply that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def reply(self, message: bytes) -> None:
        self.messages.append(message)

    def fail(self, error: RpcError) -> None:
        raise error


async def test_who_is_alone_is_answered_before_the_read_ends(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INLINE_SYNC_SECONDS", float("inf"))
    request, answers = put(b"a"), Answers()
    async with start_member(tmp_path) as member:
        await trio.testing.wait_all_tasks_blocked()
        with member.outbox:
            member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, answers)
        assert pb.PutResponse.FromString(answers.messages.pop()).header.revision == 2
        member.outbox.reader = "another connection"
        with member.outbox:
            member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, answers)
        assert answers.messages == []
        await trio.testing.wait_all_tasks_blocked()
        assert pb.PutResponse.FromString(answers.messages.pop()).header.revision == 3


async def test_who_is_alone_with_a_full_disk_waits_for_room(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INLINE_SYNC_SECONDS", float("inf"))
    monkeypatch.setattr(limits, "DISK_FULL_RETRY_SECONDS", 0.01)
    async with start_member(tmp_path) as member:
        await trio.testing.wait_all_tasks_blocked()
        with monkeypatch.context() as patch:
            patch.setattr(member.opened.wal, "append", no_room)
            request, reply = put(b"a"), AwaitableReply()
            with member.outbox:
                member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, reply)
        with trio.fail_after(20):
            assert pb.PutResponse.FromString(await reply.result()).header.revision == 2
        assert pb.PutResponse.FromString(await ask(member, requests.PUT, put(b"b"))).header.revision == 3
