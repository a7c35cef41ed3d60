"""Does: the life of `dualmode member`: open, elect, publish, serve, and the same backwards.

Ready means that the member has joined its cluster and answers clients. The end has an order: listeners first, so that
calls in flight can finish; then the replica; then the store.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import trio

from dualmode import limits, log
from dualmode.config.option import Mode
from dualmode.config.settings import MemberSettings
from dualmode.datadir import claim
from dualmode.edge.outbox import Outbox
from dualmode.errors import StartError, StorageError
from dualmode.member.auth.assembly import AuthOptions
from dualmode.member.cluster.autopilot import AutopilotRules
from dualmode.member.cluster.discovery import members_by_service, members_by_srv
from dualmode.member.cluster.joining import check_is_new, join
from dualmode.member.cluster.peering import Peering
from dualmode.member.identity import member_id
from dualmode.member.opening import Bootstrap, open_member
from dualmode.member.options import MemberOptions
from dualmode.member.routes import MemberRoutes
from dualmode.member.server import MemberServer
from dualmode.peer.client import PeerClient
from dualmode.peer.tls import peer_client_tls
from dualmode.serving import Serving, until_cancelled
from dualmode.storage.wal.files import list_segments

_log = log.get("member")


async def run(settings: MemberSettings, *, ready: Callable[[], None]) -> None:
    """Runs a member until cancelled, or until it is removed from its cluster. `ready` is called once, when clients are
    served.

    Raises StartError and StorageError with nothing half-started; later, whatever ended the member first.
    """
    cluster, outbox = settings.cluster, Outbox()
    serving = Serving(settings.serving, settings.data_dir, outbox, cluster.peer_urls, cluster.peer_tls)
    try:
        urls = (*cluster.peer_urls, *(url for urls in cluster.initial_cluster.values() for url in urls))
        stream_tls, call_tls = peer_client_tls(
            cluster.peer_tls, settings.data_dir / "fixtures" / "peer", urls, lambda text: _log.warning(text)
        )
        client = PeerClient(call_tls)
        bootstrap = await _bootstrap(settings, client)
        claim(settings.data_dir, Mode.MEMBER)
        urls_alone = tuple(map(str, cluster.advertise_peer_urls)) if cluster.force_new_cluster else None
        opened = open_member(settings.member_dir, settings.storage.wal_dir, bootstrap, urls_alone)
    except BaseException:
        serving.abandon()
        raise
    try:
        member = MemberServer(_options(settings), opened, outbox, peer_client=client)
        remotes = bootstrap.joined.members if bootstrap.joined is not None else ()
        peering = Peering(
            member,
            tuple(map(str, cluster.advertise_peer_urls)),
            _snapshot_dir(settings),
            stream_tls=stream_tls,
            call_tls=call_tls,
            remotes=tuple(one for one in remotes if one.id != opened.member_id),
        )
    except BaseException:
        serving.abandon()
        opened.close()
        raise
    try:
        await until_cancelled(lambda stopping: _live(settings, member, peering, serving, ready, stopping))
    finally:
        opened.close()


async def _bootstrap(settings: MemberSettings, client: PeerClient) -> Bootstrap:
    """What a new member begins with; one that has a log already needs nothing."""
    cluster = settings.cluster
    if list_segments(settings.storage.wal_dir):
        return Bootstrap("", {}, "")
    members = {name: tuple(map(str, urls)) for name, urls in cluster.initial_cluster.items()}
    discovery, advertised = cluster.discovery, tuple(map(str, cluster.advertise_peer_urls))
    if discovery.url:
        raise StartError(
            "--discovery asks for etcd's v2 discovery service, which nobody runs any more: use --discovery-endpoints "
            "with --discovery-token (v3), --discovery-srv, or --initial-cluster"
        )
    if discovery.srv_domain:
        members = await members_by_srv(settings.name, cluster.advertise_peer_urls, discovery)
    if discovery.endpoints and not cluster.is_existing:
        own_id = member_id(advertised, discovery.token)
        members = await members_by_service(settings.name, own_id, advertised, discovery)
        return Bootstrap(settings.name, members, discovery.token)
    if cluster.is_existing:
        joined = await join(settings.name, members, client)
        return Bootstrap(settings.name, members, cluster.token, joined)
    if len(members) > 1:
        await check_is_new(settings.name, members, cluster.token, client)
    return Bootstrap(settings.name, members, cluster.token)


def _snapshot_dir(settings: MemberSettings) -> Path:
    """Where snapshots from the leader arrive; what a crash left there is of no use."""
    path = settings.member_dir / "snap"
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(f"cannot make {path}: {error.strerror}") from error
    return path


def _options(settings: MemberSettings) -> MemberOptions:
    raft, calls = settings.raft, settings.calls
    return MemberOptions(
        settings.data_dir,
        heartbeat_seconds=raft.heartbeat_milliseconds / 1000,
        election_seconds=raft.election_milliseconds / 1000,
        peer_read_seconds=raft.read_timeout_seconds,
        peer_write_seconds=raft.write_timeout_seconds,
        pre_vote=raft.pre_vote,
        snapshot_count=raft.snapshot_entries,
        snapshot_catch_up_entries=raft.catchup_entries,
        max_request_bytes=settings.serving.max_request_bytes,
        max_txn_operations=calls.max_txn_operations,
        quota_bytes=settings.storage.quota_bytes,
        slow_apply_seconds=calls.slow_apply_seconds,
        fsync=settings.storage.fsync,
        compaction_step_rows=settings.storage.compaction_step_rows,
        compaction_pause_seconds=settings.storage.compaction_pause_seconds,
        wal_segments_kept=settings.storage.wal_segments_kept,
        auto_compaction_mode=settings.storage.compaction_mode,
        auto_compaction_seconds=settings.storage.retention_seconds,
        auto_compaction_revisions=settings.storage.retention_revisions,
        max_learners=settings.cluster.max_learners,
        highest_cluster_version=settings.cluster.highest_version,
        strict_reconfig_check=settings.cluster.strict_reconfig_check,
        autopilot=AutopilotRules(settings.cluster.promote_after_seconds, settings.cluster.remove_after_seconds),
        initial_tick_advance=raft.initial_tick_advance,
        initial_corrupt_check=settings.checks.initial_corrupt_check,
        corrupt_check_seconds=settings.checks.corrupt_check_seconds,
        compact_hash_check_seconds=(
            settings.checks.compact_hash_check_seconds if settings.checks.compact_hash_check else 0.0
        ),
        lease_checkpoint=settings.checks.lease_checkpoint,
        lease_checkpoint_persist=settings.checks.lease_checkpoint_persist,
        watch_progress_seconds=settings.serving.watch_progress_seconds,
        auth=AuthOptions(
            settings.auth.token,
            settings.auth.token_ttl_seconds,
            settings.auth.bcrypt_cost,
            trusts_certificates=settings.serving.tls.client_cert_auth,
        ),
    )


async def _live(
    settings: MemberSettings,
    member: MemberServer,
    peering: Peering,
    serving: Serving,
    ready: Callable[[], None],
    stopping: trio.Event,
) -> None:
    routes = MemberRoutes(settings, member, peering.transport, serving.bindings())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_close_when, stopping, peering, serving, nursery.cancel_scope)
        nursery.start_soon(_close_when, peering.removed, peering, serving, nursery.cancel_scope)
        await nursery.start(peering.run)
        await nursery.start(serving.run_peers, peering.mux())
        if member.options.initial_corrupt_check:
            await peering.checks.check_at_start()
        await nursery.start(member.run)
        urls = [str(url) for url in settings.cluster.advertise_client_urls]
        await peering.announce(settings.name, urls)
        _log.info("ready to serve client requests")
        await nursery.start(serving.run, routes.client_mux(), routes.metrics_mux(), (routes.deadlines.tick,))
        _settle_memory()
        ready()


async def _close_when(stopping: trio.Event, peering: Peering, serving: Serving, everything: trio.CancelScope) -> None:
    await stopping.wait()
    _log.info("closing member")
    await serving.close()
    await peering.hand_over()
    everything.cancel()


def _settle_memory() -> None:
    """What start-up made stays for ever: the collector need not look at it again, and may look less often at the rest,
    since the hot path makes no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(limits.COLLECTOR_THRESHOLD, 20, 50)
