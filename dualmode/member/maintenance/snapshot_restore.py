"""Does: makes the data dir of a new cluster's member from a snapshot, etcd's or ours, as `etcdutl snapshot restore`.

Keys with all their revisions, leases, alarms, users and roles come from the file; who the members are comes from the
caller, and every member of the new cluster is restored from the same file. The log begins anew, with one entry for each
member, and the store counts as having applied them. A data dir that is half made has no mark of ours, so nothing ever
starts on it; when restoring fails it is removed again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dualmode import datadir
from dualmode.config.option import Mode
from dualmode.errors import StartError, StorageError
from dualmode.member.cluster.membership import Membership
from dualmode.member.opening import Bootstrap, OpenMember, open_member
from dualmode.peer.member import Member
from dualmode.raft import decode_change
from dualmode.storage.bbolt.check import check
from dualmode.storage.bbolt.files import MappedFile, open_mapped
from dualmode.storage.bbolt.load import Loaded, load
from dualmode.storage.mvcc.store import Store

#: Hears what is being done, and how far it has come (None: it begins).
Tell = Callable[[str, int | None], None]


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What is wanted. `wal_dir` None is the data dir's own; `bump_revision` 0 leaves revisions as they are."""

    data_dir: Path
    name: str
    initial_cluster: Mapping[str, Sequence[str]]
    cluster_token: str
    advertise_peer_urls: Sequence[str]
    wal_dir: Path | None = None
    skip_hash_check: bool = False
    bump_revision: int = 0


def restore_snapshot(source: Path, plan: RestorePlan, tell: Tell = lambda doing, count: None) -> Loaded:
    """Raises StartError for a plan that cannot be followed, StorageError for a file that is damaged or a disk that is
    full; nothing is left behind then."""
    check_members(plan)
    wal_dir = plan.wal_dir or plan.data_dir / Mode.MEMBER / "wal"
    check_is_free(plan.data_dir, wal_dir)
    with open_mapped(source) as mapped:
        if not plan.skip_hash_check:
            tell("comparing the hash", None)
            mapped.check_hash()
        check_file(mapped, tell)
        with made_or_removed(plan.data_dir, wal_dir) as member_dir:
            members = {name: tuple(urls) for name, urls in plan.initial_cluster.items()}
            opened = open_member(member_dir, wal_dir, Bootstrap(plan.name, members, plan.cluster_token))
            try:
                return _fill(opened, mapped, plan.bump_revision, tell)
            finally:
                opened.close()


def check_members(plan: RestorePlan) -> None:
    """That the member is one of its cluster, with the URLs that it advertises. Raises StartError in etcd's words."""
    ours = plan.initial_cluster.get(plan.name)
    if ours is None:
        raise StartError(f'couldn\'t find local name "{plan.name}" in the initial cluster configuration')
    advertised = sorted(plan.advertise_peer_urls)
    missing = [f"{plan.name}={url}" for url in sorted(ours) if url not in advertised]
    if missing:
        raise StartError(
            f"--initial-cluster has {','.join(missing)} but missing from "
            f"--initial-advertise-peer-urls={','.join(advertised)}"
        )
    unknown = [url for url in advertised if url not in ours]
    if unknown:
        raise StartError(
            f"--initial-advertise-peer-urls has {','.join(unknown)} but missing from "
            f"--initial-cluster={','.join(f'{plan.name}={url}' for url in sorted(ours))}"
        )


def check_is_free(data_dir: Path, wal_dir: Path) -> None:
    """That nothing would be written over. Raises StartError in etcd's words."""
    try:
        is_empty = not os.listdir(data_dir)
    except FileNotFoundError:
        is_empty = True
    except OSError:
        is_empty = False
    if not is_empty:
        raise StartError(f'data-dir "{data_dir}" not empty or could not be read')
    if wal_dir.exists():
        raise StartError(f'wal-dir "{wal_dir}" exists')


def check_file(mapped: MappedFile, tell: Tell) -> None:
    """That the whole file is as bbolt writes one. Raises StorageError."""
    tell("checking the file", None)
    try:
        check(mapped.bbolt, lambda count: tell("checking the file", count))
    except StorageError as error:
        raise StorageError(f"snapshot file integrity check failed: {mapped.path}: {error}") from None


@contextmanager
def made_or_removed(data_dir: Path, wal_dir: Path) -> Iterator[Path]:
    """Makes the member's directory and, at the end, its mark; when something fails, what was made is removed."""
    made = data_dir / Mode.MEMBER if data_dir.exists() else data_dir
    member_dir = data_dir / Mode.MEMBER
    try:
        member_dir.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StartError(f"cannot make {member_dir}: {error.strerror}") from error
    try:
        yield member_dir
        datadir.claim(data_dir, Mode.MEMBER)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(wal_dir, ignore_errors=True)
        raise


def _fill(opened: OpenMember, mapped: MappedFile, bump_revision: int, tell: Tell) -> Loaded:
    tell("restoring records", None)
    loaded = load(mapped.bbolt, opened.backend, bump_revision, lambda count: tell("restoring records", count))
    log = opened.raft_storage
    entries = log.entries(log.first_index(), log.last_index() + 1)
    index, term = entries[-1].index, entries[-1].term
    loaded.write_state(opened.backend, index, term)
    store = Store(opened.backend)
    store.begin_pass()
    membership = Membership(store)
    for entry in entries:
        membership.put(Member.from_json(json.loads(decode_change(entry).context)))
    store.end_pass(index, term)
    opened.backend.flush()
    return loaded
