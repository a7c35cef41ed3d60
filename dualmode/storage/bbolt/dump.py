"""Decides: etcd's buckets, made from the rows of our store as a view of it shows them.

Revision rows and the rows of small buckets are etcd's records byte for byte; only `meta` is put together here.

A snapshot for an operator names itself of etcd 3.5 (no `storageVersion`, a lower `clusterVersion`): 3.6 reads it, and
raises the cluster's version by itself, while a server that finds a cluster's version above its own ends itself. One for
a member of the same cluster must not say anything else than that cluster does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.backend import View
from dualmode.storage.bbolt.writer import BucketWriter, Writer
from dualmode.storage.mvcc import rows

_CLUSTER_VERSION: Final = (b"cluster", b"clusterVersion")
#: etcd 3.6 wants to be told how its database is written; there is no such row before.
_FIRST_WITH_STORAGE_VERSION: Final = (3, 6)


def dump(
    view: View,
    conf_state: bytes,
    writer: Writer,
    breathe: Callable[[], None] = lambda: None,
    readable_by: tuple[int, int] | None = (3, 5),
) -> rows.State:
    """Writes all buckets; gives the store's state in the view. `breathe` is called every few hundred rows.

    `conf_state` is etcd's JSON of who votes, as of the applied index. `readable_by` is the release (major, minor) that
    the result names at most; None leaves the cluster's version as it is, for members of the same cluster.
    Raises `StorageError` when the view cannot be read or is of no store.
    """
    stored = view.get(rows.STATE)
    if stored is None:
        raise StorageError(f"the store in {view.directory} has no state row: nothing was ever applied to it")
    state = rows.State.decode(stored)
    stored_version = view.get(rows.bucket_prefix(_CLUSTER_VERSION[0]) + _CLUSTER_VERSION[1])
    version = None if stored_version is None else _lowered(stored_version, readable_by)
    for name in rows.ETCD_BUCKETS:
        with writer.bucket(name) as bucket:
            if name == b"key":
                _copy(view, rows.REVISION, rows.REVISION_END, bucket, breathe)
            elif name == b"meta":
                for key, value in meta_rows(state, conf_state, version):
                    bucket.put(key, value)
            else:
                prefix = rows.bucket_prefix(name)
                changed = {_CLUSTER_VERSION[1]: version} if name == _CLUSTER_VERSION[0] and version else {}
                _copy(view, prefix, rows.prefix_end(prefix), bucket, breathe, changed)
    writer.finish()
    return state


def meta_rows(state: rows.State, conf_state: bytes, cluster_version: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    """The items of `meta`, in order."""
    yield b"confState", conf_state
    yield b"consistent_index", state.applied_index.to_bytes(8, "big")
    if state.compaction_finished >= 0:
        yield b"finishedCompactRev", rows.revision_row(state.compaction_finished, 0)[1:]
    if state.compacted >= 0:
        yield b"scheduledCompactRev", rows.revision_row(state.compacted, 0)[1:]
    if cluster_version is not None and _release(cluster_version) >= _FIRST_WITH_STORAGE_VERSION:
        yield b"storageVersion", cluster_version
    yield b"term", state.applied_term.to_bytes(8, "big")


def _copy(
    view: View,
    low: bytes,
    high: bytes,
    bucket: BucketWriter,
    breathe: Callable[[], None],
    changed: Mapping[bytes, bytes] = MappingProxyType({}),
) -> None:
    """Copies rows into a bucket, their prefix taken off (a revision row's is one letter). `changed` are values to write
    in place of what the rows hold."""
    start = len(low)
    put = bucket.put
    while True:
        piece = view.rows(low, high, limits.SNAPSHOT_PIECE_ROWS)
        for row, value in piece:
            key = row[start:]
            put(key, changed.get(key, value) if changed else value)
        breathe()
        if len(piece) < limits.SNAPSHOT_PIECE_ROWS:
            return
        low = piece[-1][0] + b"\x00"


def _lowered(version: bytes, readable_by: tuple[int, int] | None) -> bytes:
    if readable_by is None or _release(version) <= readable_by:
        return version
    return b"%d.%d.0" % readable_by


def _release(version: bytes) -> tuple[int, int]:
    """(major, minor) of a version's text; (0, 0) of one that is none."""
    parts = version.split(b".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and all(part.isdigit() for part in parts[:2]) else (0, 0)
