"""Decides: which rows a compaction removes, a few at a time, so that nobody waits for it.

Compacting at revision C keeps, of every key, the newest version that is not newer than C; when that one is a deletion
it goes too, unless it was made at C itself (etcd 3.4.34, 3.5.16 and later keep it, so that a watch from C sees it).

The rows to walk are only those written since the last compaction: each of them makes the version of its key before it
unreachable, and that one is the last of its older versions still there, because whatever came before it went when it
was walked, or in an earlier compaction. Each step writes its removals together with the place where it stopped: after a
crash the next step goes on from there.
"""

from __future__ import annotations

from dualmode.errors import StorageError
from dualmode.storage.backend import Backend, Batch, new_batch
from dualmode.storage.mvcc import keyvalue, rows
from dualmode.storage.mvcc.rows import State

_RECORD_KEY_BYTES = 17 + rows.RECORD_OVERHEAD_BYTES
_ANY_SUB = (1 << 64) - 1

Version = tuple[int, int, bool]  #: main, sub, is deletion


def compaction_step(backend: Backend, state: State, budget_rows: int) -> bool:
    """Walks the next `budget_rows` revision rows and writes what that removes; True when nothing is left to do."""
    target = state.compacted
    if state.compaction_finished >= target:
        return True
    start = rows.revision_row(state.compaction_main, state.compaction_sub)
    walked = backend.rows(start, rows.revision_row(target, _ANY_SUB) + b"\xff", budget_rows)
    removed = unreachable(backend, walked, target)
    batch = new_batch()
    _remove(backend, state, batch, removed)
    if len(walked) < budget_rows:
        # The next compaction begins at `target` again: a deletion made at `target` is due then.
        state.compaction_main, state.compaction_sub = target, 0
        state.compaction_finished = target
    else:
        main, sub, _ = rows.revision_of(walked[-1][0])
        state.compaction_main, state.compaction_sub = main, sub + 1
    batch.put(rows.STATE, state.encode())
    backend.write(batch)
    return state.compaction_finished >= target


def unreachable(backend: Backend, walked: list[tuple[bytes, bytes]], target: int) -> list[tuple[bytes, Version]]:
    """(key, version) of what these revision rows, in their order, make unreachable at `target`."""
    removed: list[tuple[bytes, Version]] = []
    survivor: dict[bytes, Version | None] = {}  # the version of a key that these rows have left so far
    for row, record in walked:
        key = keyvalue.key_of(record)
        version = rows.revision_of(row)
        before = survivor[key] if key in survivor else _version_before(backend, key, version)
        if before is not None:
            removed.append((key, before))
        if version[2] and version[0] < target:
            removed.append((key, version))
            survivor[key] = None
        else:
            survivor[key] = version
    return removed


def _version_before(backend: Backend, key: bytes, version: Version) -> Version | None:
    """The next older version of `key` that is still there."""
    start = rows.history_row(key, version[0], version[1])
    for row, mark in backend.rows(start + b"\x00", rows.prefix_end(start[:-16]), limit=1):
        _, main, sub = rows.history_of(row)
        return main, sub, bool(mark)
    return None


def _remove(backend: Backend, state: State, batch: Batch, removed: list[tuple[bytes, Version]]) -> None:
    records = [
        rows.revision_row(main, sub) + (rows.TOMBSTONE_MARK if is_delete else b"")
        for _, (main, sub, is_delete) in removed
    ]
    for (key, (main, sub, is_delete)), row, record in zip(
        removed, records, backend.get_many(records) if records else (), strict=True
    ):
        if record is None:
            raise StorageError(f"damaged store in {backend.directory}: revision row {row!r} is missing")
        batch.delete(row)
        batch.delete(rows.history_row(key, main, sub))
        state.record_count -= 1
        state.record_bytes -= len(record) + _RECORD_KEY_BYTES + is_delete
