"""Three members in one process: what clients see of proposals, reads, changes and snapshots on any of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import trio

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.cluster.conf_changes import add_change, promote_change, remove_change
from dualmode.member.concurrency.local_watch import LocalWatch
from dualmode.member.server import MemberServer
from dualmode.peer.member import Member
from dualmode.raft import ConfChange, ConfChangeType, Message, MessageType
from dualmode.rpc.local import AwaitableReply
from tests.member.cluster.group import Group, ask, outcome, running, until


def put(key: bytes, value: bytes = b"v") -> pb.PutRequest:
    return pb.PutRequest(key=key, value=value)


def propose(member: MemberServer, key: bytes) -> AwaitableReply:
    reply, request = AwaitableReply(), put(key)
    member.replica.intake.propose(requests.PUT, request.SerializeToString(), request, reply)
    return reply


async def change(member: MemberServer, wanted: ConfChange) -> None:
    reply = AwaitableReply()
    member.replica.intake.propose_change(wanted, reply)
    with trio.fail_after(20):
        await reply.result()


async def test_what_is_proposed_anywhere_is_answered_there_and_applied_everywhere(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        revisions = []
        for number in range(5):
            for member in group.members.values():
                answer = await ask(member, requests.PUT, put(b"k%d" % number, group.name_of(member).encode()))
                revisions.append(pb.PutResponse.FromString(answer).header.revision)
        assert revisions == list(range(2, 17))
        await group.check_equal()


async def test_a_read_anywhere_sees_what_was_acknowledged_anywhere(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        members = list(group.members.values())
        for number in range(10):
            await ask(members[number % 3], requests.PUT, put(b"k", b"%d" % number))
            for reader in members:
                with trio.fail_after(20):
                    await reader.replica.intake.wait_until_readable()
                found = reader.store.get(b"k")
                assert found is not None
                assert mvccpb.KeyValue.FromString(found).value == b"%d" % number


async def test_a_hundred_reads_on_a_follower_cost_few_messages(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        follower = await group.follower()
        await follower.replica.intake.wait_until_readable()
        asked = 0

        def note(message: Message) -> bool:
            nonlocal asked
            asked += message.type is MessageType.READ_INDEX
            return True

        group.passes = note
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(follower.replica.intake.wait_until_readable)
        assert 1 <= asked <= 4


async def test_a_lost_answer_to_a_read_is_asked_for_again(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        follower = await group.follower()
        lost = 0

        def lose_one(message: Message) -> bool:
            nonlocal lost
            if message.type is MessageType.READ_INDEX_RESPONSE and not lost:
                lost += 1
                return False
            return True

        group.passes = lose_one
        with trio.fail_after(20):
            await follower.replica.intake.wait_until_readable()
        assert lost == 1


async def test_a_leader_that_is_cut_off_answers_no_reads_and_loses_what_it_took(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        former = await group.leader()
        await ask(former, requests.PUT, put(b"before"))
        group.cut(former)
        lost = [propose(former, b"lost%d" % number) for number in range(3)]
        read = AwaitableReply()
        former.replica.intake.when_readable(lambda: read.reply(b"stale"), read)
        leader = await group.leader(but=former)
        for number in range(5):
            await ask(leader, requests.PUT, put(b"new%d" % number))
        group.heal()
        told = [await outcome(reply) for reply in lost]
        assert all(isinstance(one, RpcError) for one in told), told
        assert told[0] == errors.LEADER_CHANGED, "another entry stands in its place"
        assert await outcome(read) == b"stale"  # answered after it was in touch again, with what is true then
        await group.check_equal()
        assert former.store.get(b"lost0") is None
        assert former.store.get(b"new4") is not None


async def test_the_leadership_moves_in_the_middle_of_batches(tmp_path: Path) -> None:
    """Whatever was acknowledged is there; what was refused for good is not."""
    async with running(tmp_path) as group:
        acknowledged: list[bytes] = []
        refused: list[bytes] = []

        async def write(member: MemberServer, number: int) -> None:
            for turn in range(40):
                key = b"%d/%d" % (number, turn)
                told = await outcome(propose(member, key))
                if isinstance(told, bytes):
                    acknowledged.append(key)
                elif told == errors.LEADER_CHANGED:
                    refused.append(key)

        async with trio.open_nursery() as nursery:
            for number, member in enumerate(group.members.values()):
                for worker in range(4):
                    nursery.start_soon(write, member, number * 4 + worker)
            for _ in range(3):
                leader = await group.leader()
                target = next(one for one in group.members.values() if one is not leader)
                enough = len(acknowledged) + 20
                await until(lambda enough=enough: len(acknowledged) > enough)
                leader.replica.transfer_leadership(target.replica.node.id)
        assert len(acknowledged) > 100
        await group.check_equal()
        store = (await group.leader()).store
        assert all(store.get(key) is not None for key in acknowledged)
        assert all(store.get(key) is None for key in refused)


async def test_changes_that_do_not_hold_change_nothing_and_block_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader, follower = await group.leader(), await group.follower()
        before = leader.replica.applier.membership.members()
        known = before[0]
        refusals = [
            (add_change(1, known), errors.MEMBER_EXISTS),
            (add_change(2, Member(77, known.peer_urls)), errors.PEER_URL_EXISTS),
            (remove_change(3, 77), errors.MEMBER_NOT_FOUND),
            (promote_change(4, known.id), errors.MEMBER_NOT_LEARNER),
            (promote_change(5, 77), errors.MEMBER_NOT_FOUND),
            (ConfChange(ConfChangeType.ADD_NODE, 77, b"rubbish", 6), errors.BAD_MEMBER_URLS),
            (ConfChange(ConfChangeType.ADD_NODE, 77, b'{"peerURLs":[]}', 7), errors.BAD_MEMBER_URLS),
            (ConfChange(ConfChangeType.ADD_NODE, 77, b'{"id":78,"peerURLs":[]}', 8), errors.BAD_MEMBER_URLS),
        ]
        change_ids = count(100)  # as members give them: no two are the same
        for wanted, refusal in refusals:
            for asked in (leader, follower):
                with pytest.raises(RpcError) as caught:
                    await change(asked, replace(wanted, id=next(change_ids)))
                assert caught.value == refusal
        assert leader.replica.applier.membership.members() == before
        learner = Member(77, ("http://learner:1",), is_learner=True)
        await change(follower, add_change(20, learner))
        assert leader.replica.conf_state.learners == (77,)
        with pytest.raises(RpcError) as caught:
            await change(leader, add_change(21, Member(78, ("http://other:1",), is_learner=True)))
        assert caught.value == errors.TOO_MANY_LEARNERS
        await change(leader, remove_change(22, 77))
        with pytest.raises(RpcError) as caught:
            await change(leader, add_change(23, learner))
        assert caught.value == errors.MEMBER_NOT_FOUND  # its id is never used again
        await ask(follower, requests.PUT, put(b"a"))
        await group.check_equal()


async def test_refused_changes_are_refused_again_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader = await group.leader()
        with pytest.raises(RpcError):
            await change(leader, add_change(2, Member(77, leader.replica.applier.membership.members()[0].peer_urls)))
        await change(leader, add_change(3, Member(78, ("http://learner:1",), is_learner=True)))
        await group.check_equal()
        for name in list(group.members):
            await group.stop(name)
            await group.start(name)
            await group.leader()
        for member in group.members.values():
            assert member.replica.conf_state.learners == (78,)
            assert 77 not in member.replica.conf_state.voters


async def _leave_behind(group: Group, leader: MemberServer, count: int) -> None:
    for number in range(count):
        await ask(leader, requests.PUT, put(b"away/%d" % number))
        await leader.log_compactor.wait_until_taken()


async def test_a_follower_gets_a_snapshot_while_it_is_watched(tmp_path: Path) -> None:
    async with running(tmp_path, snapshot_count=10, snapshot_catch_up_entries=2) as group:
        leader, follower = await group.leader(), await group.follower()
        await ask(leader, requests.PUT, put(b"here"))
        await group.check_equal()
        create = pb.WatchCreateRequest(key=b"away/", range_end=b"away0")
        with LocalWatch(follower.watch_hub, create) as watch:
            group.cut(follower)
            await _leave_behind(group, leader, 40)
            group.heal()
            seen: list[bytes] = []
            with trio.fail_after(30):
                while len(seen) < 40:
                    seen += [event.kv.key for event in (await watch.next()).events]
            assert seen == [b"away/%d" % number for number in range(40)]
            await until(lambda: group.snapshots_sent)
            await ask(follower, requests.PUT, put(b"away/after"))
            with trio.fail_after(30):
                assert [event.kv.key for event in (await watch.next()).events] == [b"away/after"]
        await group.check_equal()
        name = group.name_of(follower)
        await group.stop(name)
        assert len(list((tmp_path / name / "member").glob("store*"))) == 1
        restarted = await group.start(name)
        assert restarted.store.get(b"away/39") is not None
        await group.check_equal()


async def test_a_member_that_restarts_far_behind_gets_a_snapshot(tmp_path: Path) -> None:
    async with running(tmp_path, snapshot_count=10, snapshot_catch_up_entries=2) as group:
        name = group.name_of(await group.follower())
        await group.stop(name)
        await _leave_behind(group, await group.leader(), 40)
        await group.start(name)
        await group.check_equal()
        assert group.snapshots_sent
        await ask(group.members[name], requests.PUT, put(b"after"))
        await group.check_equal()


async def test_without_a_majority_nothing_is_decided_and_clients_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader = await group.leader()
        for name in list(group.members):
            if group.members[name] is not leader:
                await group.stop(name)
        reply, read = propose(leader, b"a"), AwaitableReply()
        leader.replica.intake.when_readable(lambda: read.reply(b""), read)
        for told in (await outcome(reply), await outcome(read)):
            assert told in (errors.TIMEOUT, errors.TIMEOUT_CONNECTION_LOST, errors.TIMEOUT_LEADER_FAIL)
