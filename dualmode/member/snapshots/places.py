"""Does: the folders of a member's store, and which of them is the one in use.

    store                   of a member that never took a snapshot
    store-<index>           taken from a snapshot of that index: in use, the newest of them
    store.incoming-<index>  complete; to be taken if the log has recorded a snapshot of that index, else dropped
    store.loading           being filled; of no use to anyone

No folder that is open is ever renamed, since RocksDB finds its files by their path.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from dualmode import log
from dualmode.errors import StorageError
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import read_snapshots
from dualmode.storage.wal.files import sync_directory

_log = log.get("snapshot")
_FIRST: Final = "store"
_TAKEN: Final = "store-"
_INCOMING: Final = "store.incoming-"
_INDEX: Final = re.compile("[0-9a-f]{16}")


def loading(member_dir: Path) -> Path:
    """Where a store is filled."""
    return member_dir / "store.loading"


def incoming(member_dir: Path, index: int) -> Path:
    """Where a complete store waits for Raft's word."""
    return member_dir / f"{_INCOMING}{index:016x}"


def take(member_dir: Path, index: int) -> Path:
    """The log has recorded the snapshot of this index: gives the folder that is in use from now on. Raises
    `StorageError`."""
    taken = member_dir / f"{_TAKEN}{index:016x}"
    try:
        incoming(member_dir, index).rename(taken)
        sync_directory(member_dir)
    except OSError as error:
        raise StorageError(f"cannot put the snapshot in place: {error}") from error
    drop_older(member_dir, index)
    return taken


def drop_older(member_dir: Path, index: int) -> None:
    """Snapshots that came before the one of this index will not be taken any more."""
    for path in _named(member_dir, _INCOMING):
        if _index_of(path) <= index:
            shutil.rmtree(path, ignore_errors=True)


def current(member_dir: Path) -> Path:
    """The folder in use."""
    taken = _named(member_dir, _TAKEN)
    return taken[-1] if taken else member_dir / _FIRST


def settle(member_dir: Path, wal_dir: Path) -> Path:
    """Before a start: takes a store that the log has recorded and a crash left waiting, drops everything else, and
    gives the folder in use. Raises `StorageError`."""
    in_use = current(member_dir)
    waiting = _named(member_dir, _INCOMING)
    if waiting:
        recorded = {index for index, _ in read_snapshots(wal_dir)}
        ready = [_index_of(path) for path in waiting if _index_of(path) in recorded]
        if ready and ready[-1] > _applied_index(in_use):
            _log.warning("a snapshot was recorded and not put in place: doing that now", snapshot_index=ready[-1])
            in_use = take(member_dir, ready[-1])
    others = [loading(member_dir), *_named(member_dir, _INCOMING)]
    others += [path for path in (member_dir / _FIRST, *_named(member_dir, _TAKEN)) if path != in_use]
    for path in others:
        shutil.rmtree(path, ignore_errors=True)
    return in_use


def _named(member_dir: Path, prefix: str) -> list[Path]:
    """By index. Folders of other names are somebody else's and are left alone."""
    found = (path for path in member_dir.glob(f"{prefix}*") if _INDEX.fullmatch(path.name.removeprefix(prefix)))
    return sorted(found, key=_index_of)


def _index_of(path: Path) -> int:
    return int(path.name.rpartition("-")[2], 16)


def _applied_index(directory: Path) -> int:
    if not (directory / "CURRENT").exists():
        return -1
    backend = Backend.open(directory)
    try:
        return Store(backend).applied_index
    finally:
        backend.close()
