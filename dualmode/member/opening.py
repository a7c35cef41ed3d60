"""Does: opens, or makes, what a member keeps on its disk, and brings log, store and Raft node to one point.

The write-ahead log is the truth; the store is a consistent prefix of its effects and says how far it got. A start reads
the log from the newest log snapshot that the store knows of, hands all entries behind it to Raft, and lets the replica
apply those the store has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.errors import StartError
from dualmode.member import identity
from dualmode.member.cluster.conf_changes import add_member_entry
from dualmode.member.cluster.joining import JoinedCluster
from dualmode.member.cluster.starting_anew import lone_member_entries
from dualmode.member.log_snapshot import LogSnapshot
from dualmode.member.snapshots import places
from dualmode.peer.member import Member
from dualmode.raft import Config, Entry, EntryType, HardState, MemoryStorage, RawNode, Snapshot, SnapshotMetadata
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import Recovered, WriteAheadLog
from dualmode.storage.wal.files import list_segments, made_aside

_log = log.get("member")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Whom a new cluster starts with: name -> peer URLs, and which of them we are."""

    name: str
    members: dict[str, tuple[str, ...]]
    cluster_token: str
    #: The cluster that lets us in, in place of one that is made: its log comes from its members.
    joined: JoinedCluster | None = None


@dataclass(slots=True)
class OpenMember:
    """Everything that was opened; `close` lets go of it."""

    member_id: int
    cluster_id: int
    store: Store
    wal: WriteAheadLog
    raft_storage: MemoryStorage
    log_snapshot: LogSnapshot
    is_new: bool

    @property
    def backend(self) -> Backend:
        """Of the store as it is now: another than was opened, once a snapshot has taken its place."""
        return self.store.backend

    def close(self) -> None:
        """Log first, so that nothing can be appended any more; then the store, which flushes. It may stand on another
        backend by now, that of a snapshot from the leader."""
        try:
            self.wal.close()
        finally:
            self.store.backend.close()


def open_member(
    member_dir: Path,
    wal_dir: Path,
    bootstrap: Bootstrap,
    alone_at: tuple[str, ...] | None = None,
    segment_bytes: int = limits.WAL_SEGMENT_BYTES,
) -> OpenMember:
    """Opens the member in `member_dir`, made from `bootstrap` when there is none yet. With `alone_at` (its peer URLs)
    it forgets all other members of its cluster.

    The log is cut into segments of `segment_bytes`: other than by default only where many small ones are wanted.
    Raises `StorageError` for what is damaged, locked or not writable; `StartError` when the bootstrap does not fit.
    """
    is_new = not list_segments(wal_dir)
    if is_new:
        _make_log(wal_dir, bootstrap, segment_bytes)
    backend = Backend.open(places.settle(member_dir, wal_dir))
    try:
        store = Store(backend)
        log_snapshot = LogSnapshot.read(store)
        wal, recovered = WriteAheadLog.open(wal_dir, log_snapshot.index, log_snapshot.term, segment_bytes)
        try:
            if recovered.repaired:
                _log.warning("repaired the write-ahead log", detail=recovered.repaired)
            _check_fits(store, recovered, log_snapshot)
            if alone_at is not None and not is_new:
                recovered = _forget_others(wal, recovered, log_snapshot, alone_at)
        except BaseException:
            wal.close()
            raise
    except BaseException:
        backend.close()
        raise
    metadata = etcdserverpb.Metadata.FromString(recovered.metadata)
    storage = _raft_storage(recovered, log_snapshot, store.applied_index)
    return OpenMember(metadata.NodeID, metadata.ClusterID, store, wal, storage, log_snapshot, is_new)


def _members(bootstrap: Bootstrap) -> list[Member]:
    """The members of the bootstrap with their ids, in the order in which they enter the log."""
    members = [
        Member(identity.member_id(urls, bootstrap.cluster_token), tuple(sorted(urls)), name)
        for name, urls in bootstrap.members.items()
    ]
    return sorted(members, key=lambda member: member.id)


def _make_log(wal_dir: Path, bootstrap: Bootstrap, segment_bytes: int) -> None:
    """A log with what a new member begins with. It gets its name when that is all in it and synced: a log that is found
    without entries is that of a member which has joined and has heard nothing yet."""
    if bootstrap.joined is not None:
        joined = bootstrap.joined
        WriteAheadLog.create(wal_dir, _metadata(joined.member_id, joined.cluster_id), segment_bytes).close()
        return
    members = _members(bootstrap)
    ours = [member.id for member in members if member.name == bootstrap.name]
    if not ours:
        raise StartError(f'couldn\'t find local name "{bootstrap.name}" in the initial cluster configuration')
    with made_aside(wal_dir, ".new") as making:
        cluster_id = identity.cluster_id([member.id for member in members])
        WriteAheadLog.create(making, _metadata(ours[0], cluster_id), segment_bytes).close()
        _write_bootstrap(making, members, segment_bytes)


def _metadata(member_id: int, cluster_id: int) -> bytes:
    return bytes(etcdserverpb.Metadata(NodeID=member_id, ClusterID=cluster_id).SerializeToString())


def _write_bootstrap(directory: Path, members: list[Member], segment_bytes: int) -> None:
    """The same synthetic log on every first member: one conf change for each, term 1, all committed (reference
    4.10)."""
    wal, _ = WriteAheadLog.open(directory, segment_bytes=segment_bytes)
    try:
        entries = [add_member_entry(index, 1, member) for index, member in enumerate(members, 1)]
        wal.append(entries, HardState(term=1, vote=0, commit=len(entries)))
        wal.sync()
    finally:
        wal.close()


def _forget_others(
    wal: WriteAheadLog, recovered: Recovered, log_snapshot: LogSnapshot, peer_urls: tuple[str, ...]
) -> Recovered:
    own_id = etcdserverpb.Metadata.FromString(recovered.metadata).NodeID
    term, vote, _ = recovered.hard_state or (log_snapshot.term, 0, 0)
    entries = [Entry(EntryType(one.type), one.term, one.index, one.data) for one in recovered.entries]
    last_index = entries[-1].index if entries else log_snapshot.index
    added = lone_member_entries(own_id, peer_urls, log_snapshot.conf_state, entries, term, last_index)
    _log.warning("forcing a new cluster: this member forgets all others", changes=len(added), last_index=last_index)
    state = HardState(term, vote, last_index + len(added))
    wal.append(added, state)
    wal.sync()
    return Recovered(recovered.metadata, state, [*entries, *added], recovered.repaired)  # type: ignore[list-item]


def _check_fits(store: Store, recovered: Recovered, log_snapshot: LogSnapshot) -> None:
    last = recovered.entries[-1].index if recovered.entries else log_snapshot.index
    if store.applied_index > last:
        raise StartError(
            f"the store has applied entry {store.applied_index} but the write-ahead log ends at {last}: log files are "
            "missing; put them back, or restore this member from a snapshot"
        )


def _raft_storage(recovered: Recovered, log_snapshot: LogSnapshot, applied_index: int) -> MemoryStorage:
    storage = MemoryStorage()
    if log_snapshot.index:
        point = SnapshotMetadata(log_snapshot.conf_state, log_snapshot.index, log_snapshot.term)
        storage.apply_snapshot(Snapshot(b"", point))
    storage.append([Entry(EntryType(one.type), one.term, one.index, one.data) for one in recovered.entries])
    if recovered.hard_state is not None:
        term, vote, commit = recovered.hard_state
        # A commit index alone is written without a sync, so a crash may have lost it; what was applied was committed.
        storage.set_hard_state(HardState(term, vote, max(commit, applied_index, log_snapshot.index)))
    return storage


def make_node(opened: OpenMember, election_ticks: int, pre_vote: bool, random_timeout: Callable[[int], int]) -> RawNode:
    """The Raft node on what was opened. It starts behind the log snapshot, not behind what the store has applied: the
    configuration changes in between must be heard again."""
    config = Config(
        id=opened.member_id,
        election_ticks=election_ticks,
        heartbeat_ticks=1,
        applied=opened.log_snapshot.index,
        max_message_bytes=limits.APPEND_BYTES,
        max_inflight_messages=512,
        check_quorum=True,
        pre_vote=pre_vote,
    )
    return RawNode(config, opened.raft_storage, _RaftLogger(), random_timeout)


class _RaftLogger:
    """The core's reports in our log; its debug lines are not worth their formatting."""

    def __init__(self) -> None:
        self._log = log.get("raft")

    def debug(self, text: str, /) -> None:
        self._log.debug(text)

    def info(self, text: str, /) -> None:
        self._log.info(text)

    def warning(self, text: str, /) -> None:
        self._log.warning(text)

    def error(self, text: str, /) -> None:
        self._log.error(text)

    def fatal(self, text: str, /) -> None:
        self._log.error(text)
