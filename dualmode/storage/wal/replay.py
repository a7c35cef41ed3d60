"""Decides: what the segments of a log add up to: metadata, the last hard state, and the entries behind a snapshot.

An entry replaces the one of the same index and everything behind it, as a follower does when a new leader overrules it.
"""

from __future__ import annotations

from dualmode.storage.wal.records import CRC, ENTRY, METADATA, STATE, HardState, LogEntry
from dualmode.storage.wal.scan import (
    Damage,
    Record,
    chained_crc,
    decode_entry,
    decode_hard_state,
    decode_snapshot,
    scan,
)


class Replay:
    """Takes segments in order; afterwards its attributes say what they hold."""

    def __init__(self, snapshot_index: int = 0, snapshot_term: int = 0, keep_entries: bool = True) -> None:
        self.snapshot_index = snapshot_index
        self.snapshot_term = snapshot_term
        self.metadata: bytes | None = None
        self.hard_state: HardState | None = None
        self.entries: list[LogEntry] = []  #: with indexes snapshot_index + 1, + 2, ...
        self.snapshots: list[tuple[int, int]] = []  #: (index, term) of every snapshot record
        self.crc: int | None = None  #: running checksum; None until the first record of the first segment
        self.last_index = 0
        self.end = 0  #: where the records of the segment taken last end
        self.head_complete = False  #: whether that segment has its checksum and metadata records
        self._keep_entries = keep_entries
        #: An entry has been taken. Before, a snapshot record says nothing about the first one: it may be older than the
        #: segment that it stands in, as it is written when the store has flushed.
        self._has_begun = False

    def take(self, segment: bytes) -> None:
        """Takes one segment. Raises `Damage`; everything before its offset (which is `end` then) has been taken."""
        self.end = 0
        self.head_complete = False
        for record in scan(segment):
            if (record.offset == 0) != (record.type == CRC):
                raise Damage(record.offset, "a checksum record where none belongs, or none where one does", record.end)
            crc = chained_crc(record, self.crc)
            if record.type not in (CRC, METADATA) and not self.head_complete:
                raise Damage(record.offset, "the segment does not begin with metadata", record.end)
            self._take(record)
            self.crc = crc
            self.end = record.end

    def _take(self, record: Record) -> None:
        if record.type == CRC:
            return
        if record.type == METADATA:
            if self.metadata is not None and record.data != self.metadata:
                raise Damage(record.offset, "metadata differs from that of earlier segments", record.end)
            self.metadata = record.data
            self.head_complete = True
        elif record.type == ENTRY:
            self._take_entry(decode_entry(record), record)
        elif record.type == STATE:
            state = decode_hard_state(record)
            if self.hard_state is not None and state[0] < self.hard_state[0]:
                raise Damage(record.offset, "the term of the hard state goes backwards", record.end)
            self.hard_state = state
        else:
            index, term = decode_snapshot(record)
            if index == self.snapshot_index and term != self.snapshot_term:
                raise Damage(record.offset, f"snapshot record {index} has term {term}", record.end)
            self.snapshots.append((index, term))
            self.last_index = max(self.last_index, index)

    def _take_entry(self, entry: LogEntry, record: Record) -> None:
        if self._has_begun and entry.index > self.last_index + 1:
            raise Damage(record.offset, f"entry {entry.index} follows entry {self.last_index}", record.end)
        self._has_begun = True
        self.last_index = entry.index
        if not self._keep_entries or entry.index <= self.snapshot_index:
            return
        keep = entry.index - self.snapshot_index - 1
        entries = self.entries
        if keep > len(entries):
            raise Damage(record.offset, f"entry {entry.index} is not next to the snapshot", record.end)
        if keep < len(entries):
            del entries[keep:]
        if entries and entries[-1].term > entry.term:
            raise Damage(record.offset, f"entry {entry.index} has an older term than the one before it", record.end)
        entries.append(entry)
