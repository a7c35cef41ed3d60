"""Decides: etcd's buckets, made from the rows of our store as a view of it shows them.

Revision rows and the rows of small buckets are etcd's records byte for byte; only `meta` is put together here. The
result names itself of etcd 3.5 (no `storageVersion`): 3.6 reads it, and raises the cluster's version by itself, while
3.5 refuses what says 3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.storage.backend import View
from dualmode.storage.bbolt.writer import BucketWriter, Writer
from dualmode.storage.mvcc import rows

#: All buckets that etcd 3.5 makes at its start, in the order of their names; those of rows beside the keys.
_BUCKETS: Final = (
    b"alarm",
    b"auth",
    b"authRoles",
    b"authUsers",
    b"cluster",
    b"key",
    b"lease",
    b"members",
    b"members_removed",
    b"meta",
)
_CLUSTER_VERSION: Final = (b"cluster", b"clusterVersion")
_READABLE_BY: Final = b"3.5.0"


def dump(view: View, conf_state: bytes, writer: Writer, breathe: Callable[[], None] = lambda: None) -> rows.State:
    """Writes all buckets; gives the store's state in the view. `breathe` is called every few hundred rows.

    `conf_state` is etcd's JSON of who votes, as of the applied index.
    Raises `StorageError` when the view cannot be read or is of no store.
    """
    stored = view.get(rows.STATE)
    if stored is None:
        raise StorageError(f"the store in {view.directory} has no state row: nothing was ever applied to it")
    state = rows.State.decode(stored)
    for name in _BUCKETS:
        with writer.bucket(name) as bucket:
            if name == b"key":
                _copy(view, rows.REVISION, rows.REVISION_END, bucket, breathe)
            elif name == b"meta":
                for key, value in meta_rows(state, conf_state):
                    bucket.put(key, value)
            else:
                prefix = rows.bucket_prefix(name)
                _copy(view, prefix, rows.prefix_end(prefix), bucket, breathe, name)
    writer.finish()
    return state


def meta_rows(state: rows.State, conf_state: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The items of `meta`, in order."""
    yield b"confState", conf_state
    yield b"consistent_index", state.applied_index.to_bytes(8, "big")
    if state.compaction_finished >= 0:
        yield b"finishedCompactRev", rows.revision_row(state.compaction_finished, 0)[1:]
    if state.compacted >= 0:
        yield b"scheduledCompactRev", rows.revision_row(state.compacted, 0)[1:]
    yield b"term", state.applied_term.to_bytes(8, "big")


def _copy(
    view: View, low: bytes, high: bytes, bucket: BucketWriter, breathe: Callable[[], None], name: bytes = b""
) -> None:
    """Copies rows into a bucket, their prefix taken off (a revision row's is one letter)."""
    start = len(low)
    put = bucket.put
    while True:
        piece = view.rows(low, high, limits.SNAPSHOT_PIECE_ROWS)
        for row, value in piece:
            key = row[start:]
            put(key, _readable(value) if (name, key) == _CLUSTER_VERSION else value)
        breathe()
        if len(piece) < limits.SNAPSHOT_PIECE_ROWS:
            return
        low = piece[-1][0] + b"\x00"


def _readable(version: bytes) -> bytes:
    """The cluster's version, lowered to one that every reader of the file takes."""
    numbers = [int(part) for part in version.split(b".") if part.isdigit()]
    return _READABLE_BY if numbers > [int(part) for part in _READABLE_BY.split(b".")] else version
