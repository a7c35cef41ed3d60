"""What stands beside the replica of a cluster: announcements, comparing data, calls to the leader, going on alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.edge.outbox import Outbox
from dualmode.errors import PeerError, RpcError, StartError
from dualmode.member.apply import requests
from dualmode.member.apply.alarms import CORRUPT
from dualmode.member.cluster.announcing import Announcer
from dualmode.member.cluster.corruption import CorruptionChecks
from dualmode.member.lease.cluster_leader import ClusterLeader
from dualmode.member.opening import Bootstrap, open_member
from dualmode.member.options import MemberOptions
from dualmode.member.server import MemberServer
from dualmode.peer.client import PeerClient
from dualmode.peer.interface import KvHash
from tests.member.cluster.group import Group, ask, running, until


def put(key: bytes) -> pb.PutRequest:
    return pb.PutRequest(key=key, value=b"v")


# --- Announcing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "3.4.0", "3.6.0"])
async def test_members_announce_themselves_in_the_form_that_all_understand(tmp_path: Path, version: str | None) -> None:
    async with running(tmp_path) as group:
        leader = await group.leader()
        if version is not None:
            await Announcer(leader.replica, leader.request_ids.next).announce_version(version)
        for name, member in group.members.items():
            with trio.fail_after(20):
                await Announcer(member.replica, member.request_ids.next).publish(name, [f"http://{name}:2379"])
        await group.check_equal()
        for member in group.members.values():
            found = {one.name: one.client_urls for one in member.replica.applier.membership.members()}
            assert found == {name: (f"http://{name}:2379",) for name in group.members}
            assert member.replica.applier.membership.cluster_version == version


async def test_a_name_of_every_kind_arrives(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader = await group.leader()
        with trio.fail_after(20):
            await Announcer(leader.replica, leader.request_ids.next).publish('ü"\\/', [])
        found = leader.replica.applier.membership.get(leader.replica.node.id)
        assert found is not None
        assert (found.name, found.client_urls) == ('ü"\\/', ())


# --- Comparing data ---------------------------------------------------------------------------------------------


class Hashes:
    """A PeerClient that hears all hashes of the group; some may be tampered with."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.tampered: dict[int, Callable[[KvHash], KvHash]] = {}
        self.silent: set[int] = set()

    async def hash_kv(self, url: str, revision: int, cluster_id: int) -> KvHash:
        name = url.removeprefix("http://").partition(":")[0]
        member = self._group.members[name]
        own_id = member.replica.node.id
        if own_id in self.silent:
            raise PeerError("no answer")
        checksum, compacted, current = await member.maintenance.hash_by_revision(revision)
        found = KvHash(current, checksum, compacted)
        return self.tampered.get(own_id, lambda same: same)(found)


def checks(member: MemberServer, hashes: Hashes) -> CorruptionChecks:
    return CorruptionChecks(
        member.replica,
        cast(PeerClient, hashes),
        member.opened.cluster_id,
        member.maintenance.hash_by_revision,
        interval_seconds=0,
        compaction_interval_seconds=0,
    )


def other_hash(found: KvHash) -> KvHash:
    return KvHash(found.revision, found.hash ^ 1, found.compact_revision)


async def test_members_with_the_same_data_are_found_to_be_so(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader = await group.leader()
        await ask(leader, requests.PUT, put(b"a"))
        await ask(leader, requests.COMPACTION, pb.CompactionRequest(revision=2))
        await group.check_equal()
        hashes = Hashes(group)
        with trio.fail_after(20):
            await checks(leader, hashes).check()
            await checks(leader, hashes).check_compaction()
            await checks(leader, hashes).check_at_start()
        assert not any(leader.replica.applier.alarms.has(one, CORRUPT) for one in leader.replica.conf_state.voters)


async def test_who_differs_gets_the_alarm_and_writes_end(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader, follower = await group.leader(), await group.follower()
        await ask(leader, requests.PUT, put(b"a"))
        await group.check_equal()
        hashes = Hashes(group)
        hashes.tampered[follower.replica.node.id] = other_hash
        with trio.fail_after(20):
            await checks(leader, hashes).check()
        await group.check_equal()
        for member in group.members.values():
            assert member.replica.applier.alarms.has(follower.replica.node.id, CORRUPT)
            with pytest.raises(RpcError) as caught:
                await ask(member, requests.PUT, put(b"b"))
            assert caught.value == errors.CORRUPT


async def test_a_member_that_differs_does_not_start(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader, follower = await group.leader(), await group.follower()
        await ask(leader, requests.PUT, put(b"a"))
        await group.check_equal()
        hashes = Hashes(group)
        for member in group.members.values():
            if member is not follower:
                hashes.tampered[member.replica.node.id] = other_hash
        with pytest.raises(StartError, match="data inconsistency with peers"):
            await checks(follower, hashes).check_at_start()
        hashes.silent = {member.replica.node.id for member in group.members.values()}
        await checks(follower, hashes).check_at_start()  # nobody says anything


# --- Leases at the leader -----------------------------------------------------------------------------------------


class LeaseCalls:
    """A PeerClient for leases: what each call to a URL gives, in order."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.urls: list[str] = []

    async def keep_alive(self, url: str, lease_id: int) -> int:
        await trio.lowlevel.checkpoint()
        self.urls.append(url)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)


async def test_lease_calls_find_the_leader_and_go_on_until_it_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader, follower = await group.leader(), await group.follower()
        calls = LeaseCalls(PeerError("cut"), errors.NOT_LEADER, errors.TIMEOUT_WAIT_APPLIED, 60)
        with trio.fail_after(20):
            assert await ClusterLeader(follower.replica, cast(PeerClient, calls), 0.5).keep_alive(5) == 60
        assert set(calls.urls) == {f"http://{group.name_of(leader)}:2380"}
        gone = LeaseCalls(errors.LEASE_NOT_FOUND)
        with pytest.raises(RpcError) as caught:
            await ClusterLeader(follower.replica, cast(PeerClient, gone), 0.5).keep_alive(5)
        assert caught.value == errors.LEASE_NOT_FOUND
        with pytest.raises(RpcError) as caught:
            await ClusterLeader(leader.replica, cast(PeerClient, gone), 0.5).keep_alive(5)
        assert caught.value == errors.LEADER_CHANGED


async def test_a_leader_is_confirmed_by_a_majority_and_not_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader, follower = await group.leader(), await group.follower()
        at_leader = ClusterLeader(leader.replica, PeerClient(None), 1000.0)
        assert not at_leader.is_confirmed
        with trio.fail_after(20):
            await at_leader.confirm()
        assert at_leader.is_confirmed
        assert not ClusterLeader(leader.replica, PeerClient(None), 0.0).is_confirmed
        with pytest.raises(RpcError) as caught:
            await ClusterLeader(follower.replica, PeerClient(None), 1000.0).confirm()
        assert caught.value == errors.LEADER_CHANGED
        leader.replica.transfer_leadership(follower.replica.node.id)
        await until(lambda: not leader.replica.is_leader)
        assert not at_leader.is_confirmed


# --- Going on alone -----------------------------------------------------------------------------------------------


async def test_a_member_whose_majority_is_lost_goes_on_alone(tmp_path: Path) -> None:
    async with running(tmp_path, snapshot_count=10) as group:
        for number in range(25):
            await ask(await group.leader(), requests.PUT, put(b"k%d" % number))
        await group.check_equal()
    member_dir = tmp_path / "two" / "member"
    nobody = Bootstrap("", {}, "")
    for urls in (("http://two:2380",), None):  # the second time it is started as usual
        opened = open_member(member_dir, member_dir / "wal", nobody, urls)
        try:
            options = MemberOptions(tmp_path / "two", free_space_bytes=0, heartbeat_seconds=0.05, election_seconds=0.5)
            member = MemberServer(options, opened, Outbox())
            async with trio.open_nursery() as nursery:
                await nursery.start(member.run)
                await until(lambda member=member: member.replica.is_leader)
                await ask(member, requests.PUT, put(b"alone"))
                assert member.replica.has_sole_voter
                assert [one.id for one in member.replica.applier.membership.members()] == [opened.member_id]
                assert len(member.replica.applier.membership.removed) == 2
                assert all(member.store.get(b"k%d" % number) is not None for number in range(25))
                nursery.cancel_scope.cancel()
        finally:
            opened.close()
