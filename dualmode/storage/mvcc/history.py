"""Decides: the store at an older revision, read from the history rows (key, newest revision first)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from dualmode.errors import StorageError
from dualmode.storage.backend import Backend, Reader
from dualmode.storage.mvcc import keyvalue, rows
from dualmode.storage.mvcc.interval import contains

_ANY_SUB = (1 << 64) - 1
#: A key with more versions than this is left by a seek instead of being walked through.
_WALK_VERSIONS = 16
#: Records fetched from the backend in one go.
_FETCH_RECORDS = 512


def versions_at(reader: Reader, low: bytes, high: bytes | None, revision: int) -> Iterator[tuple[int, int]]:
    """(main, sub) of the newest version not newer than `revision` of every key in [low, high) that lived then."""
    position = rows.history_prefix(low)
    end = rows.HISTORY_END if high is None else rows.history_prefix(high)
    done_prefix = b""  # the key whose version at `revision` is already known
    walking_prefix, walked = b"", 0
    while position < end:
        scan = reader.scan(position, end)
        position = end
        for row, mark in scan:
            prefix, main, sub = rows.history_of(row)
            if prefix != done_prefix and main <= revision:
                done_prefix = prefix
                if not mark:
                    yield main, sub
                continue
            if prefix != walking_prefix:
                walking_prefix, walked = prefix, 0
            walked += 1
            if walked == _WALK_VERSIONS:
                position = rows.prefix_end(prefix) if prefix == done_prefix else prefix + row_tail(revision)
                walking_prefix = b""
                break


def row_tail(revision: int) -> bytes:
    """What follows a history prefix in the row where versions not newer than `revision` begin."""
    return rows.history_row(b"", revision, _ANY_SUB)[len(rows.history_prefix(b"")) :]


def version_at(reader: Reader, key: bytes, revision: int) -> tuple[int, int, bool] | None:
    """(main, sub, is deletion) of the newest version of `key` not newer than `revision`, None when it has none."""
    prefix = rows.history_prefix(key)
    for row, mark in reader.rows(prefix + row_tail(revision), rows.prefix_end(prefix), limit=1):
        _, main, sub = rows.history_of(row)
        return main, sub, bool(mark)
    return None


def record_before(reader: Reader, key: bytes, main: int) -> bytes | None:
    """The KeyValue of `key` as it was just before revision `main`, None when it did not exist then."""
    version = version_at(reader, key, main - 1)
    if version is None or version[2]:
        return None
    return reader.get(rows.revision_row(version[0], version[1]))


def changed_keys(
    reader: Reader, low: bytes, high: bytes | None, revision: int, now: int, most: int
) -> set[bytes] | None:
    """The keys in [low, high) written or deleted behind `revision`; None when that is more than `most` changes to look
    at, of any keys."""
    if now - revision > most:
        return None
    found = set()
    changes = reader.scan(rows.revision_row(revision + 1, 0), rows.revision_row(now + 1, 0))
    for number, (_, record) in enumerate(changes):
        if number == most:
            return None
        key = keyvalue.key_of(record)
        if contains(low, high, key):
            found.add(key)
    return found


def undo(backend: Backend, newest: list[bytes], changed: set[bytes], revision: int, limit: int) -> list[bytes]:
    """The KeyValues of an interval at `revision`, the first `limit` of them (0: all), from what is there now.

    `changed` has at least the keys of the interval that were written or deleted since; `newest` all KeyValues of now in
    key order, or the first limit + len(changed). It is used up.
    """
    for key in sorted(changed):
        place = bisect_left(newest, key, key=keyvalue.key_of)
        if limit and place >= limit:
            break
        is_there = place < len(newest) and keyvalue.key_of(newest[place]) == key
        version = version_at(backend, key, revision)
        wanted = [] if version is None or version[2] else [rows.revision_row(version[0], version[1])]
        newest[place : place + is_there] = _fetch(backend, wanted)
    return newest[:limit] if limit else newest


def records_at(backend: Backend, low: bytes, high: bytes | None, revision: int, limit: int = 0) -> list[bytes]:
    """The KeyValues of the keys in [low, high) at `revision`, in key order, the first `limit` of them (0: all)."""
    found: list[bytes] = []
    wanted: list[bytes] = []
    for main, sub in versions_at(backend, low, high, revision):
        wanted.append(rows.revision_row(main, sub))
        if len(found) + len(wanted) == limit:
            break
        if len(wanted) == _FETCH_RECORDS:
            found += _fetch(backend, wanted)
            wanted = []
    return found + _fetch(backend, wanted)


def _fetch(backend: Backend, wanted: list[bytes]) -> list[bytes]:
    if not wanted:
        return []
    records = backend.get_many(wanted)
    found = [record for record in records if record is not None]
    if len(found) != len(wanted):
        missing = wanted[records.index(None)]
        raise StorageError(
            f"damaged store in {backend.directory}: history names revision {missing!r}, which is not there"
        )
    return found
