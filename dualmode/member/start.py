"""Does: the life of `dualmode member`: open, elect, publish, serve, and the same backwards.

Ready means that the member has joined its cluster and answers clients. The end has an order: listeners first, so that
calls in flight can finish; then the replica; then the store.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import trio

from dualmode import limits, log
from dualmode.config.option import Mode
from dualmode.config.settings import MemberSettings
from dualmode.datadir import claim
from dualmode.edge.outbox import Outbox
from dualmode.errors import StartError
from dualmode.member.auth.assembly import AuthOptions
from dualmode.member.opening import Bootstrap, OpenMember, open_member
from dualmode.member.options import MemberOptions
from dualmode.member.publish import publish
from dualmode.member.routes import MemberRoutes
from dualmode.member.server import MemberServer
from dualmode.serving import Serving, until_cancelled

_log = log.get("member")


async def run(settings: MemberSettings, *, ready: Callable[[], None]) -> None:
    """Runs a member until cancelled. `ready` is called once, when clients are served.

    Raises StartError and StorageError with nothing half-started; later, whatever ended the member first.
    """
    outbox = Outbox()
    serving = Serving(settings.serving, settings.data_dir, outbox)
    try:
        opened = _open(settings)
    except BaseException:
        serving.abandon()
        raise
    try:
        member = MemberServer(_options(settings), opened, outbox)
    except BaseException:
        serving.abandon()
        opened.close()
        raise
    try:
        await until_cancelled(lambda stopping: _live(settings, member, serving, ready, stopping))
    finally:
        opened.close()


def _open(settings: MemberSettings) -> OpenMember:
    cluster = settings.cluster
    if cluster.is_existing or len(cluster.initial_cluster) != 1 or cluster.discovery.is_wanted:
        raise StartError(
            "this release runs members alone: clusters of several members, and joining one, are not there yet; "
            "start with an initial cluster of this member only"
        )
    members = {name: tuple(map(str, urls)) for name, urls in cluster.initial_cluster.items()}
    claim(settings.data_dir, Mode.MEMBER)
    return open_member(settings.member_dir, settings.storage.wal_dir, Bootstrap(settings.name, members, cluster.token))


def _options(settings: MemberSettings) -> MemberOptions:
    raft, calls = settings.raft, settings.calls
    return MemberOptions(
        settings.data_dir,
        heartbeat_seconds=raft.heartbeat_milliseconds / 1000,
        election_seconds=raft.election_milliseconds / 1000,
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
        strict_reconfig_check=settings.cluster.strict_reconfig_check,
        initial_tick_advance=raft.initial_tick_advance,
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
    serving: Serving,
    ready: Callable[[], None],
    stopping: trio.Event,
) -> None:
    routes = MemberRoutes(settings, member)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_close_when, stopping, serving, nursery.cancel_scope)
        await nursery.start(member.run)
        cluster = settings.cluster
        await publish(member.replica, settings.name, [str(url) for url in cluster.advertise_client_urls])
        _log.info("ready to serve client requests")
        await nursery.start(serving.run, routes.client_mux(), routes.metrics_mux(), (routes.deadlines.tick,))
        _settle_memory()
        ready()


async def _close_when(stopping: trio.Event, serving: Serving, everything: trio.CancelScope) -> None:
    await stopping.wait()
    _log.info("closing member")
    await serving.close()
    everything.cancel()


def _settle_memory() -> None:
    """What start-up made stays for ever: the collector need not look at it again, and may look less often at the rest,
    since the hot path makes no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(limits.COLLECTOR_THRESHOLD, 20, 50)
