"""Does: puts this member among its peers: the transport follows the membership, Raft's messages find their way, and
whoever needs another member can ask it.

Made when there are peer listeners. Tools, and tests of a member alone, do without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

import dualmode
from dualmode import limits, log
from dualmode.edge.tls import ClientTls
from dualmode.errors import RpcError
from dualmode.http.routing import Mux
from dualmode.member.cluster.announcing import Announcer
from dualmode.member.cluster.autopilot_task import AutopilotTask
from dualmode.member.cluster.corruption import CorruptionChecks
from dualmode.member.cluster.peer_answers import PeerAnswers
from dualmode.member.cluster.versions import VersionMonitor
from dualmode.member.server import MemberServer
from dualmode.member.snapshots.sender import SnapshotSender
from dualmode.peer.interface import PeerIdentity
from dualmode.peer.member import Member
from dualmode.peer.routes import peer_mux
from dualmode.peer.transport import PeerTransport
from dualmode.raft import Message

_log = log.get("member")


class Peering:
    """One member's dealings with the others. `run` owns its tasks; `removed` is set when it is no member any more."""

    def __init__(
        self,
        member: MemberServer,
        peer_urls: tuple[str, ...],
        snapshot_dir: Path,
        *,
        stream_tls: ClientTls | None = None,
        call_tls: ClientTls | None = None,
        remotes: tuple[Member, ...] = (),
        make_transport: Callable[..., PeerTransport] = PeerTransport,
    ) -> None:
        """`remotes` are the members of a cluster that is being joined: they are spoken to before the log says who they
        are. A simulation makes another transport."""
        self.removed = trio.Event()
        self._member = member
        self._replica = member.replica
        opened = member.opened
        identity = PeerIdentity(opened.member_id, opened.cluster_id, peer_urls, dualmode.ETCD_VERSION)
        self.client = member.peer_client
        self.transport = make_transport(
            identity,
            self,
            snapshot_dir=snapshot_dir,
            stream_tls=stream_tls,
            call_tls=call_tls,
            read_seconds=member.options.peer_read_seconds,
            write_seconds=member.options.peer_write_seconds,
        )
        self.announcer = Announcer(self._replica, member.request_ids.next)
        self.versions = VersionMonitor(
            self._replica, self.client, self.announcer, member.options.highest_cluster_version
        )
        self.checks = CorruptionChecks(
            self._replica,
            self.client,
            opened.cluster_id,
            member.maintenance.hash_by_revision,
            interval_seconds=member.options.corrupt_check_seconds,
            compaction_interval_seconds=member.options.compact_hash_check_seconds,
        )
        self._sender = SnapshotSender(
            self._replica, member.snapshot_files, member.surroundings.run_blocking, self.transport.send_snapshot
        )
        self._wire_up(remotes)

    def _wire_up(self, remotes: tuple[Member, ...]) -> None:
        replica, member = self._replica, self._member
        replica.exchange.peers = self.transport
        replica.leadership.is_connected_since = self._is_connected_since
        member.log_compactor.needed_index = lambda: self._sender.needed_index
        member.cluster.connected_since = self.transport.active_since
        member.cluster.promote_there = self.client.promote
        membership = replica.applier.membership
        membership.on_change = self._on_member_change
        member.on_members_replaced = self._on_members_replaced
        for one in (*remotes, *membership.members()):
            self.transport.add_peer(one.id, one.peer_urls)

    def mux(self) -> Mux:
        """Of the peer listener."""
        member = self._member
        answers = PeerAnswers(self._replica, member.cluster, member.lease, member.maintenance.hash_by_revision)
        return peer_mux(self.transport, answers)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Works until cancelled."""
        member = self._member
        async with trio.open_nursery() as nursery:
            await nursery.start(self.transport.run)
            nursery.start_soon(self._sender.run)
            nursery.start_soon(self.versions.run)
            nursery.start_soon(self.checks.run)
            if member.options.autopilot.is_wanted:
                since = self.transport.active_since
                pilot = AutopilotTask(member.options.autopilot, self._replica, member.cluster, since)
                nursery.start_soon(pilot.run)
            nursery.start_soon(self._hurry_first_election)
            task_status.started()

    async def announce(self, name: str, client_urls: list[str]) -> None:
        """Tells the cluster who this member is; a member alone settles the cluster's version too. Client listeners open
        after this: what answers a client is known to the cluster by name and URLs."""
        await self.announcer.publish(name, client_urls)
        membership = self._replica.applier.membership
        while membership.cluster_version is None and len(membership) == 1:
            with suppress(RpcError):
                await self.announcer.announce_version(f"{self._member.options.highest_cluster_version}.0")
        _log.info("enabled capabilities for version", cluster_version=membership.cluster_version)

    async def hand_over(self) -> None:
        """Before a leader stops, the voter that has been connected for longest becomes leader, so that nobody waits
        for an election timeout; given up when that takes longer than one."""
        replica, since = self._replica, self.transport.active_since
        if not replica.is_leader or replica.has_sole_voter:
            return
        connected = ((since(voter), voter) for voter in replica.conf_state.voters)
        others = [(at, voter) for at, voter in connected if at is not None]
        if not others:
            return
        successor = min(others)[1]
        _log.info("handing over the leadership", to=f"{successor:x}")
        replica.transfer_leadership(successor)
        with trio.move_on_after(self._member.options.election_seconds):
            while replica.is_leader:  # noqa: ASYNC110 - nobody tells of every change of leader
                await trio.sleep(limits.LEADER_RETRY_SECONDS)

    async def _hurry_first_election(self) -> None:
        """Nobody leads yet, or the leader is about to be heard: not much is left of the first election timeout once
        peers are connected (etcd `adjustTicks`)."""
        options = self._member.options
        if not options.initial_tick_advance or self._replica.has_sole_voter:
            return
        with trio.move_on_after(limits.TICK_ADVANCE_WAIT_SECONDS):
            while all(peer.active_since is None for peer in self.transport.peers.values()):  # noqa: ASYNC110
                await trio.sleep(limits.LEADER_RETRY_SECONDS)
        ticks = round(options.election_seconds / options.heartbeat_seconds)
        if not self._replica.has_leader:
            self._replica.hurry(max(0, ticks - 2))

    # --- peer.interface.RaftReceiver -------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """See RaftReceiver."""
        if not self._replica.applier.membership.is_removed(message.sender):
            self._replica.exchange.receive(message)

    def report_unreachable(self, member_id: int) -> None:
        """See RaftReceiver."""
        self._replica.exchange.report_unreachable(member_id)

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        """See RaftReceiver."""
        self._replica.exchange.report_snapshot(member_id, ok)

    def is_removed(self, member_id: int) -> bool:
        """See RaftReceiver."""
        return self._replica.applier.membership.is_removed(member_id)

    def on_removed(self) -> None:
        """See RaftReceiver."""
        if not self.removed.is_set():
            _log.error(
                "the member has been permanently removed from the cluster: the data-dir used by it must be removed"
            )
            self.removed.set()

    async def receive_snapshot(self, message: Message, file: Path) -> None:
        """See RaftReceiver."""
        await self._member.snapshot_receiver.receive(message, file)

    # --- The membership --------------------------------------------------------------------------------------

    def _on_member_change(self, member_id: int) -> None:
        membership = self._replica.applier.membership
        member = membership.get(member_id)
        if member is not None:
            self.transport.add_peer(member_id, member.peer_urls)
        elif member_id != self._replica.node.id:
            self.transport.remove_peer(member_id)
        else:
            self.transport.start_soon(self._leave)

    async def _leave(self) -> None:
        """The others still have to hear of the entry that removed us, if we lead, and whoever asked for it too."""
        await trio.sleep(limits.REMOVED_STOP_SECONDS)
        self.on_removed()

    def _on_members_replaced(self) -> None:
        membership = self._replica.applier.membership
        self.transport.set_peers((one.id, one.peer_urls) for one in membership.members())
        if membership.is_removed(self._replica.node.id):
            self.transport.start_soon(self._leave)

    def _is_connected_since(self, since: float) -> bool:
        """To the leader; the leader itself to a majority of the voters."""
        replica, own_id = self._replica, self._replica.node.id
        if replica.node.leader != own_id:
            active = self.transport.active_since(replica.node.leader)
            return active is not None and active <= since
        voters = replica.conf_state.voters
        connected = sum(
            voter == own_id or ((active := self.transport.active_since(voter)) is not None and active <= since)
            for voter in voters
        )
        return connected >= len(voters) // 2 + 1
