"""Does: the write-ahead log's files: segments that are locked, preallocated, appended to, synced, cut and released.

The order that makes it durable: `append` writes, `sync` makes it last, and only then may anything that was appended
be acknowledged to a client or a peer. `append`, `cut_if_full` and `save_snapshot` belong to one thread at a time;
`sync` may run in another one beside `append`.

A sync that failed once is never tried again: the kernel may have dropped the pages and call the next sync a success
(the PostgreSQL "fsyncgate" of 2018). From then on every call raises, and the process has to stop.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from dualmode import limits
from dualmode.errors import NoSpaceError, StorageError
from dualmode.storage.raft_entries import EntryLike
from dualmode.storage.wal.files import (
    Segment,
    list_segments,
    made_aside,
    new_segment,
    open_locked,
    preallocate,
    segments_from,
    sync_directory,
    write_all,
)
from dualmode.storage.wal.records import (
    SNAPSHOT,
    STATE,
    Encoder,
    HardState,
    LogEntry,
    encode_hard_state,
    encode_snapshot,
    segment_name,
)
from dualmode.storage.wal.recovery import replay_segments
from dualmode.storage.wal.replay import Replay

#: A full disk is the operator's to mend while we run; everything else that a write says is final.
_OUT_OF_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True)
class Recovered:
    """What a log held when it was opened."""

    metadata: bytes
    hard_state: HardState | None  #: term, vote, commit
    entries: list[LogEntry] = field(default_factory=list)  #: behind the snapshot, consecutive
    repaired: str | None = None  #: what was cut off because a crash tore it, for the log


class WriteAheadLog:
    """One open log. Made by `create` or `open`."""

    def __init__(
        self, directory: Path, metadata: bytes, segments: list[Segment], encoder: Encoder, segment_bytes: int
    ) -> None:
        self.directory = directory
        self.metadata = metadata
        self.last_index = 0  #: of the last entry appended
        self.written_bytes = 0  #: since it was opened
        self._segments = segments
        #: Older ones that the start did not read, and that nobody has released yet.
        self._unread: list[Path] = []
        self._descriptor = segments[-1].descriptor
        self._encoder = encoder
        self._segment_bytes = segment_bytes
        self._offset = 0
        self._state: HardState | None = None
        self._failure: str | None = None

    # --- Opening ---------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls, directory: str | os.PathLike[str], metadata: bytes, segment_bytes: int = limits.WAL_SEGMENT_BYTES
    ) -> WriteAheadLog:
        """A new log with its first segment, made under another name first, so that a half-made one is never opened.

        Raises `StorageError` when there is one already, or the disk does not take it.
        """
        path = Path(directory)
        if list_segments(path):
            raise StorageError(f"there is a write-ahead log in {path} already")
        with made_aside(path, ".tmp") as making:
            making.mkdir(mode=0o700, parents=True)
            first = making / segment_name(0, 0)
            descriptor = new_segment(first, segment_bytes)
            encoder = Encoder()
            head = encoder.segment_head(metadata, None) + encoder.record(SNAPSHOT, encode_snapshot(0, 0, None))
            write_all(descriptor, head, 0)
            os.fsync(descriptor)
            sync_directory(making)
        log = cls(path, metadata, [Segment(0, 0, path / first.name, descriptor)], encoder, segment_bytes)
        log._offset = len(head)
        return log

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        snapshot_index: int = 0,
        snapshot_term: int = 0,
        segment_bytes: int = limits.WAL_SEGMENT_BYTES,
    ) -> tuple[WriteAheadLog, Recovered]:
        """Opens the log for appending and gives what it holds behind the snapshot.

        A torn tail is copied to `<segment>.broken` and cut off. Raises `StorageError`, naming file and offset, when
        anything else is not as it was written, when segments are missing, when the snapshot is not in the log, or when
        another process holds it.
        """
        path = Path(directory)
        names = segments_from(path, snapshot_index)
        segments: list[Segment] = []
        try:
            for sequence, index, name in names:
                segments.append(Segment(sequence, index, name, open_locked(name)))
            replay, repaired = replay_segments(segments, Replay(snapshot_index, snapshot_term))
            metadata = replay.metadata
            if metadata is None:
                raise StorageError(f"{segments[0].path}: no metadata record")
            if (snapshot_index, snapshot_term) not in replay.snapshots:
                raise StorageError(f"{path}: no record of a snapshot at index {snapshot_index}, term {snapshot_term}")
            log = cls(path, metadata, segments, Encoder(replay.crc or 0), segment_bytes)
            log._unread = [one for _, _, one in list_segments(path) if one.name < segments[0].path.name]
            log._state = replay.hard_state
            log.last_index = replay.last_index
            log._offset = replay.end
            log._prepare_tail(replay)
        except BaseException:
            for segment in segments:
                os.close(segment.descriptor)
            raise
        return log, Recovered(metadata, replay.hard_state, replay.entries, repaired)

    def _prepare_tail(self, replay: Replay) -> None:
        """Behind the last good record there must be zeros, and room."""
        try:
            if not replay.head_complete:  # a crash tore the head of the new segment: begin it again
                os.ftruncate(self._descriptor, 0)
                self._encoder.crc = replay.crc or 0
                head = self._encoder.segment_head(self.metadata, self._state)
                write_all(self._descriptor, head, 0)
                self._offset = len(head)
            os.ftruncate(self._descriptor, self._offset)
            preallocate(self._descriptor, self._segment_bytes)
            os.fsync(self._descriptor)
        except OSError as error:
            raise StorageError(f"cannot write to {self._segments[-1].path}: {error}") from error

    # --- Writing ---------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[EntryLike], hard_state: HardState | None = None) -> bool:
        """Writes entries, then the hard state, without syncing. Returns whether `sync` is needed before going on.

        A hard state of which only the commit index moved needs none. Raises `StorageError`; when the disk is full the
        log is as it was before the call and the caller may try again later.
        """
        if self._failure:
            raise StorageError(self._failure)
        crc_before = self._encoder.crc
        pieces = self._encoder.entries(entries)
        must_sync = bool(entries)
        state = self._state
        if hard_state is not None and hard_state != state and hard_state != (0, 0, 0):
            pieces.append(self._encoder.record(STATE, encode_hard_state(hard_state)))
            must_sync = must_sync or state is None or state[:2] != hard_state[:2]
            state = hard_state
        if not pieces:
            return False
        self._write(b"".join(pieces), crc_before)
        self._state = state
        if entries:
            self.last_index = entries[-1].index
        return must_sync

    def save_snapshot(self, index: int, term: int, conf_state: bytes | None = None) -> None:
        """Records that a snapshot was saved, and syncs. Raises as `append` and `sync` do."""
        if self._failure:
            raise StorageError(self._failure)
        crc_before = self._encoder.crc
        self._write(self._encoder.record(SNAPSHOT, encode_snapshot(index, term, conf_state)), crc_before)
        self.last_index = max(self.last_index, index)
        self.sync()

    def sync(self) -> None:
        """Blocks until what was appended is on the disk. After one `StorageError` from here the log is dead."""
        if self._failure:
            raise StorageError(self._failure)
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._fail("sync", error)

    @property
    def is_full(self) -> bool:
        """Whether `cut_if_full` would begin a new segment."""
        return self._offset >= self._segment_bytes

    def cut_if_full(self) -> bool:
        """Begins a new segment when the last one has its size; returns whether it did. Blocks, and syncs both.

        Raises `StorageError`; when the disk is full the old segment goes on being used and this may be called again.
        """
        if not self.is_full:
            return False
        if self._failure:
            raise StorageError(self._failure)
        last = self._segments[-1]
        crc_before = self._encoder.crc
        making = self.directory / "0.tmp"
        descriptor = -1
        try:
            descriptor = new_segment(making, self._segment_bytes)
            head = self._encoder.segment_head(self.metadata, self._state)
            write_all(descriptor, head, 0)
            os.fsync(descriptor)
            os.ftruncate(last.descriptor, self._offset)
        except OSError as error:
            self._encoder.crc = crc_before
            if descriptor >= 0:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                making.unlink()
            if error.errno in _OUT_OF_SPACE:
                raise NoSpaceError(f"no room for a new segment in {self.directory}") from error
            self._fail("cut", error)
        path = self.directory / segment_name(last.sequence + 1, self.last_index + 1)
        try:
            os.fsync(last.descriptor)
            making.rename(path)
            sync_directory(self.directory)
        except OSError as error:
            self._fail("cut", error)
        self._segments.append(Segment(last.sequence + 1, self.last_index + 1, path, descriptor))
        self._descriptor = descriptor
        self._offset = len(head)
        return True

    def release(self, index: int, keep: int = limits.WAL_SEGMENTS_KEPT) -> list[str]:
        """Deletes segments that a start from the snapshot at `index` does not read, but keeps the newest `keep` ones.

        Returns the names of what it deleted. Call it once the backend has flushed everything up to `index`.
        """
        needed = 0
        for number, segment in enumerate(self._segments):
            if segment.index <= index:
                needed = number
        unread = len(self._unread)
        count = min(unread + needed, unread + len(self._segments) - keep)
        deleted = []
        for _ in range(count):
            path = self._unread.pop(0) if self._unread else self._let_go_of_oldest()
            path.unlink(missing_ok=True)
            deleted.append(path.name)
        return deleted

    def _let_go_of_oldest(self) -> Path:
        segment = self._segments.pop(0)
        os.close(segment.descriptor)
        return segment.path

    def close(self) -> None:
        """Syncs and lets go of the files. A log that failed is let go of without a sync."""
        try:
            if not self._failure and self._segments:
                self.sync()
        finally:
            for segment in self._segments:
                os.close(segment.descriptor)
            self._segments = []
            self._failure = self._failure or "the write-ahead log is closed"

    def _write(self, data: bytes, crc_before: int) -> None:
        try:
            write_all(self._descriptor, data, self._offset)
        except OSError as error:
            self._encoder.crc = crc_before
            if error.errno not in _OUT_OF_SPACE:
                self._fail("write", error)
            try:  # take away what was written of it, so that the file ends with a whole record again
                os.ftruncate(self._descriptor, self._offset)
            except OSError as second:
                self._fail("write", second)
            raise NoSpaceError(f"no room on the disk to append to {self._segments[-1].path}") from error
        self._offset += len(data)
        self.written_bytes += len(data)

    def _fail(self, doing: str, error: OSError) -> NoReturn:
        path = self._segments[-1].path
        self._failure = f"cannot {doing} the write-ahead log {path}: {error}; what is on the disk is unknown: stop"
        raise StorageError(self._failure) from error
