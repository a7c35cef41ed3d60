"""Does: rows of bytes in one ordered key space, on disk: the only module that knows RocksDB (through `rocksdict`).

What the rest of storage relies on:

- `write` takes a whole batch or nothing, and batches survive in order: after a crash the store holds a prefix of them.
  RocksDB's own log is off: what a crash takes from its memory is replayed from the write-ahead log, which is synced.
- Scans see the store as it was when they began.
- RocksDB flushes and compacts in threads of its own, outside the interpreter's lock.

Traps of the binding, found by test, decide how rows are read here. Its Python iterators (`items`, `keys`, `values`) end
quietly at a damaged block, which would make a damaged store answer with fewer keys; its cursor has a status to ask. Its
lower bound of iteration sets the upper bound instead. Cursors on its snapshots see later writes. And `compact_range`
does not tell of errors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NoReturn, Protocol

from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from dualmode import limits
from dualmode.errors import StorageError
from dualmode.metrics import Histogram, exponential_buckets

Batch = WriteBatch


def new_batch() -> Batch:
    """An empty batch: `put(key, value)`, `delete(key)`, `delete_range(low, high)`; `Backend.write` consumes it."""
    return WriteBatch(raw_mode=True)


class Reader(Protocol):
    """Point reads and bounded scans, on the store as it is (`Backend`) or as it was (`View`).

    All scans give the rows with low <= key < high in key order. All reads raise `StorageError` when the disk does not
    give back what was written.
    """

    @property
    def directory(self) -> Path: ...

    def get(self, key: bytes) -> bytes | None:
        """The value of one row, None when there is none."""

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows, read as they are asked for."""

    def rows(self, low: bytes, high: bytes, limit: int = 0) -> list[tuple[bytes, bytes]]:
        """The first `limit` rows (0: all)."""

    def keys(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """The keys, read as they are asked for."""


class Backend:
    """One open store. It belongs to one thread, except that `flush`, `compact` and `View` reads may run beside it."""

    def __init__(self, database: Any, directory: Path) -> None:
        self.directory = directory
        self._database = database
        self._database_get = database.get
        #: How long `write` took, with etcd's bounds.
        self.write_seconds = Histogram(exponential_buckets(0.001, 2, 14))

    @classmethod
    def open(cls, directory: str | os.PathLike[str], read_only: bool = False) -> Backend:
        """Opens the store in `directory`, which is made if it is missing (its parent is not).

        Raises `StorageError`, saying what to do, when another process holds it, when it cannot be written, or when
        files are damaged or missing.
        """
        path = Path(directory)
        if read_only and not (path / "CURRENT").exists():
            raise StorageError(f"there is no store in {path}")
        try:
            if not read_only:
                path.mkdir(mode=0o700, exist_ok=True)
            access = AccessType.read_only(False) if read_only else AccessType.read_write()
            database = Rdict(str(path), _options(read_only), access_type=access)
        except Exception as error:
            raise StorageError(f"cannot open the store in {path}: {error}{_advice(str(error))}") from error
        write_options = WriteOptions()
        write_options.disable_wal = True  # type: ignore[method-assign, assignment] # the stub is wrong
        database.set_write_options(write_options)
        return cls(database, path)

    def get(self, key: bytes) -> bytes | None:
        """The value of one row, None when there is none."""
        try:
            return self._database_get(key)  # type: ignore[no-any-return]
        except Exception as error:
            _fail("read", self.directory, error)

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several rows, for less than as many single reads."""
        try:
            return self._database_get(keys)  # type: ignore[no-any-return]
        except Exception as error:
            _fail("read", self.directory, error)

    def scan(self, low: bytes, high: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with low <= key < high, in order or backwards, read as they are asked for."""
        if reverse:
            yield from self._scan_backwards(low, high)
            return
        cursor = self._cursor(low, high)
        valid, key, value, advance = cursor.valid, cursor.key, cursor.value, cursor.next
        while valid():
            yield key(), value()
            advance()
        _check(cursor, self.directory)

    def _scan_backwards(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        cursor = self._database.iter()
        cursor.seek_for_prev(high)
        if cursor.valid() and cursor.key() == high:
            cursor.prev()
        while cursor.valid():
            key = cursor.key()
            if key < low:
                return
            yield key, cursor.value()
            cursor.prev()
        _check(cursor, self.directory)

    def rows(self, low: bytes, high: bytes, limit: int = 0) -> list[tuple[bytes, bytes]]:
        """The first `limit` rows (0: all) with low <= key < high."""
        cursor = self._cursor(low, high)
        valid, key, value, advance = cursor.valid, cursor.key, cursor.value, cursor.next
        found: list[tuple[bytes, bytes]] = []
        while valid():
            found.append((key(), value()))
            if len(found) == limit:
                return found
            advance()
        _check(cursor, self.directory)
        return found

    def values(
        self, low: bytes, high: bytes, limit: int = 0, row_of: Callable[[bytes], bytes] | None = None
    ) -> list[bytes]:
        """The values of the first `limit` rows (0: all) with low <= key < high: the hot path of a Range.

        Where a value tells its row key (`row_of`) they are read at half the price, by the binding's own iterator. It
        may end early at a damaged block and say nothing, so a cursor looks whether there is more behind its last row.
        """
        if row_of is not None:
            bounds = ReadOptions()
            bounds.set_iterate_upper_bound(high)
            if limit >= limits.STORE_PAGE_ROWS:
                # Who reads page by page does not come back soon: it is read in larger pieces, and past the cache.
                bounds.fill_cache(False)  # type: ignore[call-arg] # the stub is wrong
                bounds.set_readahead_size(limits.STORE_READAHEAD_BYTES)
            iterator = self._database.values(from_key=low, read_opt=bounds)
            found = list(islice(iterator, min(limit or sys.maxsize, sys.maxsize)))
            if (len(found) == limit and limit) or self._is_last(row_of(found[-1]) if found else None, low, high):
                return found
        return self._values_by_cursor(low, high, limit)

    def _is_last(self, row: bytes | None, low: bytes, high: bytes) -> bool:
        """Whether nothing follows `row` (None: whether there is nothing at all), as a cursor sees it."""
        cursor = self._cursor(low if row is None else row, high)
        if row is not None:
            if not cursor.valid() or cursor.key() != row:
                return False
            cursor.next()
        if cursor.valid():
            return False
        _check(cursor, self.directory)
        return True

    def _values_by_cursor(self, low: bytes, high: bytes, limit: int) -> list[bytes]:
        cursor = self._cursor(low, high)
        valid, value, advance = cursor.valid, cursor.value, cursor.next
        found: list[bytes] = []
        append = found.append
        while valid():
            append(value())
            if len(found) == limit:
                return found
            advance()
        _check(cursor, self.directory)
        return found

    def keys(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """The keys with low <= key < high; values are not copied."""
        cursor = self._cursor(low, high)
        valid, key, advance = cursor.valid, cursor.key, cursor.next
        while valid():
            yield key()
            advance()
        _check(cursor, self.directory)

    def count(self, low: bytes, high: bytes) -> int:
        """How many rows have low <= key < high. Read as `values` are; past the cache, since it may be everything."""
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(high)
        bounds.fill_cache(False)  # type: ignore[call-arg] # the stub is wrong
        iterator = self._database.keys(from_key=low, read_opt=bounds)
        number, last = 0, None
        while piece := list(islice(iterator, _PIECE_ROWS)):
            number += len(piece)
            last = piece[-1]
        return number if self._is_last(last, low, high) else sum(1 for _ in self.keys(low, high))

    def write(self, batch: Batch) -> None:
        """Applies the whole batch, atomically. After a `StorageError` the store in memory is not to be trusted."""
        began = perf_counter()
        try:
            self._database.write(batch)
        except Exception as error:
            _fail("write to", self.directory, error)
        self.write_seconds.observe(perf_counter() - began)

    def view(self) -> View:
        """A consistent snapshot of the store as it is now; close it soon, it keeps old versions alive."""
        return View(self._database.iter(), self.directory)

    def flush(self) -> None:
        """Blocks until everything written so far is on the disk and synced. Gives up the interpreter's lock."""
        try:
            self._database.flush(True)
        except Exception as error:
            _fail("flush", self.directory, error)

    def compact(self, low: bytes, high: bytes) -> None:
        """Blocks until RocksDB has dropped what was deleted between the two keys. Gives up the interpreter's lock."""
        options = CompactOptions()
        options.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
        options.set_exclusive_manual_compaction(False)
        try:
            self._database.compact_range(low, high, options)
        except Exception as error:
            _fail("compact", self.directory, error)

    def size_bytes(self) -> int:
        """What RocksDB holds in files and memory, as it estimates it."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(self._database.property_int_value(name) or 0 for name in names)

    def close(self) -> None:
        """Flushes and lets go of the directory."""
        try:
            self._database.close()
        except Exception as error:
            _fail("close", self.directory, error)

    def _cursor(self, low: bytes, high: bytes) -> Any:
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(high)
        try:
            cursor = self._database.iter(bounds)
            cursor.seek(low)
        except Exception as error:
            _fail("read", self.directory, error)
        return cursor


class View:
    """The store as it was when `Backend.view` was called.

    It is one cursor, which sees the store of the moment it was made, wherever it is moved: the snapshots of the
    binding do not serve, because cursors on them see later writes. Scans take rows in pieces, so that one may be begun
    while another is under way. It may be read in another thread.
    """

    def __init__(self, cursor: Any, directory: Path) -> None:
        self.directory = directory
        self._cursor = cursor

    def get(self, key: bytes) -> bytes | None:
        """The value of one row, None when there is none."""
        for _, value in self.rows(key, key + b"\x00", limit=1):
            return value
        return None

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows, read in pieces as they are asked for."""
        while True:
            piece = self.rows(low, high, _PIECE_ROWS)
            yield from piece
            if len(piece) < _PIECE_ROWS:
                return
            low = piece[-1][0] + b"\x00"

    def rows(self, low: bytes, high: bytes, limit: int = 0) -> list[tuple[bytes, bytes]]:
        """The first `limit` rows (0: all)."""
        cursor = self._cursor
        assert cursor is not None, "the view is closed"
        cursor.seek(low)
        found: list[tuple[bytes, bytes]] = []
        while cursor.valid():
            key = cursor.key()
            if key >= high:
                return found
            found.append((key, cursor.value()))
            if len(found) == limit:
                return found
            cursor.next()
        _check(cursor, self.directory)
        return found

    def keys(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """The keys, read in pieces as they are asked for."""
        return (key for key, _ in self.scan(low, high))

    def close(self) -> None:
        """Lets go of the old versions."""
        self._cursor = None


def _check(cursor: Any, directory: Path) -> None:
    """A cursor stops at the end and at damage alike; this tells them apart."""
    try:
        cursor.status()
    except Exception as error:
        _fail("read", directory, error)


def _fail(doing: str, directory: Path, error: Exception) -> NoReturn:
    raise StorageError(f"cannot {doing} the store in {directory}: {error}{_advice(str(error))}") from error


def _options(read_only: bool) -> Options:
    """Tuned for small memory first, then for point reads and short scans; figures in docs/decisions/storage.md."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(limits.STORE_CACHE_BYTES))
    blocks.set_block_size(limits.STORE_BLOCK_BYTES)
    blocks.set_bloom_filter(_BLOOM_BITS, False)
    blocks.set_format_version(5)
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    # Indexes and filters live in the cache, so that memory does not grow with the number of keys, and are cut into
    # small partitions: whole ones (hundreds of KiB) push each other out, and a point read costs 50 us instead of 5.
    blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
    blocks.set_partition_filters(True)
    blocks.set_metadata_block_size(limits.STORE_BLOCK_BYTES)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_top_level_index_and_filter(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.create_if_missing(not read_only)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(limits.STORE_MEMTABLE_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_memtable_prefix_bloom_ratio(_MEMTABLE_BLOOM_RATIO)
    options.set_memtable_whole_key_filtering(True)
    options.set_atomic_flush(True)
    options.set_max_background_jobs(2)
    options.set_bytes_per_sync(1 << 20)
    options.set_compression_per_level([DBCompressionType.none()] * 2 + [DBCompressionType.lz4()] * 5)
    options.set_max_open_files(limits.STORE_OPEN_FILES)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    options.set_stats_dump_period_sec(0)
    options.set_level_compaction_dynamic_level_bytes(True)
    # Lease churn and queues leave runs of deletions that scans must step over: such files are compacted early.
    options.add_compact_on_deletion_collector_factory(
        limits.STORE_DELETION_WINDOW_ROWS, limits.STORE_DELETION_WINDOW_ROWS // 2, 0.0
    )
    return options


#: Rows that a view reads at a time.
_PIECE_ROWS: Final = 256
_BLOOM_BITS: Final = 10  # one false positive in a hundred lookups of a missing key
_MEMTABLE_BLOOM_RATIO: Final = 0.02


def _advice(text: str) -> str:
    """What the operator can do about an error of RocksDB, from its text."""
    if "lock" in text and ("No locks available" in text or "Resource temporarily unavailable" in text):
        return "; another process is using this data directory: stop it, or give this one a data directory of its own"
    if "No space left" in text:
        return "; make room on this file system and start again, nothing that was acknowledged is lost"
    if "Permission denied" in text or "Read-only file system" in text:
        return "; the data directory must be writable by the user this program runs as"
    if "Corruption" in text or "No such file" in text or "checksum" in text:
        return "; do not delete files by hand: restore from a snapshot, or remove this member and add it again"
    return ""
