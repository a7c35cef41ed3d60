"""The log against a plain list, and its unstable tail case by case."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dualmode.raft import (
    NO_LIMIT,
    BrokenInvariant,
    Compacted,
    MemoryStorage,
    Unavailable,
)
from dualmode.raft.log import Log
from dualmode.raft.types import Entry, entries_size, entry_size, limit_size
from dualmode.raft.unstable import Unstable
from tests.raft.recording import RecordingLogger, entry, snapshot_of


class LogMachine(RuleBasedStateMachine):
    """A follower's log: appends that conflict, writes that end, commits, compaction; beside it a dict of terms."""

    @initialize(start=st.integers(0, 3))
    def create(self, start: int) -> None:
        self.storage = MemoryStorage()
        if start:
            self.storage.apply_snapshot(snapshot_of((1,), index=start))
        self.log = Log(self.storage, RecordingLogger())
        self.terms = {start: 1 if start else 0}
        self.first = start + 1

    def last(self) -> int:
        return max(self.terms)

    @rule(back=st.integers(0, 4), steps=st.lists(st.integers(0, 1), min_size=1, max_size=4), lead=st.integers(0, 2))
    def append(self, back: int, steps: list[int], lead: int) -> None:
        """Entries that follow an entry we have, of terms that only grow."""
        previous = max(self.log.commit, self.last() - back)
        term = self.terms[previous]
        entries = []
        for offset, step in enumerate(steps):
            term += step + (lead if offset == 0 else 0)
            entries.append(entry(previous + 1 + offset, term, b"x"))
        result = self.log.append_after(previous, self.terms[previous], entries, commit=0)
        assert result == previous + len(entries)
        if any(self.terms.get(item.index) != item.term for item in entries):
            self.terms = {index: term for index, term in self.terms.items() if index <= previous}
            self.terms |= {item.index: item.term for item in entries}

    @rule(ahead=st.integers(1, 3), term=st.integers(0, 9))
    def refuse(self, ahead: int, term: int) -> None:
        assert self.log.append_after(self.last() + ahead, term, [], commit=0) is None

    @rule()
    def write(self) -> None:
        """Everything unstable reaches the disk."""
        self.log.unstable.accept_in_progress()
        tail = self.log.unstable.entries
        if tail:
            self.storage.append(list(tail))
            self.log.unstable.stable_to(tail[-1].index, tail[-1].term)

    @rule(ahead=st.integers(0, 3))
    def commit(self, ahead: int) -> None:
        self.log.commit_to(min(self.log.commit + ahead, self.last()))

    @rule(size=st.integers(1, 60))
    def apply(self, size: int) -> None:
        self.log.max_applying_size = size
        entries = self.log.next_committed(allow_unstable=False)
        if entries:
            assert [item.index for item in entries] == list(
                range(self.log.applied + 1, self.log.applied + 1 + len(entries))
            )
            self.log.accept_applying(entries, allow_unstable=False)
            self.log.applied_to(entries[-1].index, entries)
            assert self.log.applying_size == 0

    @precondition(lambda self: self.log.applied >= self.storage.first_index())
    @rule()
    def compact(self) -> None:
        self.storage.compact(self.log.applied)
        self.first = self.log.applied + 1

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "log"):
            return
        assert self.log.last_index() == self.last()
        assert self.log.first_index() == self.first
        assert self.log.last_term() == self.terms[self.last()]
        for index in range(self.first - 1, self.last() + 1):
            assert self.log.term(index) == self.terms[index]
        with pytest.raises(Unavailable):
            self.log.term(self.last() + 1)
        entries = self.log.entries_from(self.first, NO_LIMIT)
        assert [(item.index, item.term) for item in entries] == [
            (index, self.terms[index]) for index in range(self.first, self.last() + 1)
        ]

    @precondition(lambda self: self.last() >= self.first)
    @rule(data=st.data(), size=st.integers(0, 80))
    def slice(self, data: st.DataObject, size: int) -> None:
        """Any slice within any size is the longest prefix that fits, and at least one entry."""
        low = data.draw(st.integers(self.first, self.last()))
        entries = self.log.slice(low, self.last() + 1, size)
        everything = self.log.slice(low, self.last() + 1, NO_LIMIT)
        assert entries == everything[: len(entries)]
        assert len(entries) == 1 or entries_size(entries) <= size
        if len(entries) < len(everything):
            assert entries_size(everything[: len(entries) + 1]) > size

    @rule(index=st.integers(0, 12), term=st.integers(0, 9))
    def search(self, index: int, term: int) -> None:
        """The conflict search against a walk over the dict."""
        expected = (0, 0)
        for candidate in range(index, 0, -1):
            if candidate not in self.terms or candidate < self.first - 1:
                expected = (candidate, 0)
                break
            if self.terms[candidate] <= term:
                expected = (candidate, self.terms[candidate])
                break
        assert self.log.find_not_above_term(index, term) == expected


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=300))))
def test_limiting_counts_encoded_bytes(parts: list[tuple[int, int, bytes]]) -> None:
    entries = [Entry(index=index, term=term, data=data) for index, term, data in parts]
    assert limit_size(entries, NO_LIMIT) == entries
    limited = limit_size(entries, 200)
    assert len(limited) >= min(1, len(entries))
    assert len(limited) <= 1 or sum(map(entry_size, limited)) <= 200


def test_entry_size_is_that_of_the_encoded_message() -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="entry.proto", package="t", syntax="proto2")
    message = file.message_type.add(name="Entry")
    for number, name, kind in ((1, "type", 4), (2, "term", 4), (3, "index", 4), (4, "data", 12)):
        message.field.add(number=number, name=name, type=kind, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Entry"))
    for term, index, data in [(0, 0, b""), (1, 127, b"x"), (128, 2**35, b"y" * 127), (2**64 - 1, 1, b"z" * 128)]:
        encoded = factory(type=0, term=term, index=index, data=data or None)
        assert entry_size(Entry(term=term, index=index, data=data)) == encoded.ByteSize()


# --- the unstable tail --------------------------------------------------------------------------------------------


def _tail(*items: Entry, offset: int = 5) -> tuple[Unstable, RecordingLogger]:
    logger = RecordingLogger()
    tail = Unstable(offset, logger)
    tail.entries = list(items)
    return tail, logger


def test_appending_in_front_of_the_tail_replaces_it() -> None:
    for first in (4, 5):
        tail, logger = _tail(entry(5), entry(6))
        tail.accept_in_progress()
        tail.append([entry(first, 2)])
        assert (tail.offset, tail.in_progress, tail.entries) == (first, first, [entry(first, 2)])
        assert logger.lines == [f"INFO replace the unstable entries from index {first}"]


def test_appending_inside_the_tail_cuts_it() -> None:
    tail, logger = _tail(entry(5), entry(6), entry(7))
    tail.accept_in_progress()
    handed_out = tail.slice(5, 8)
    tail.append([entry(6, 2), entry(7, 2)])
    assert tail.entries == [entry(5), entry(6, 2), entry(7, 2)]
    assert (tail.offset, tail.in_progress) == (5, 6)
    assert tail.next_entries() == [entry(6, 2), entry(7, 2)]
    assert handed_out == [entry(5), entry(6), entry(7)]
    assert logger.lines == ["INFO truncate the unstable entries before index 6"]


def test_acknowledgements_that_do_not_fit_are_ignored() -> None:
    tail, logger = _tail(entry(5, 2), entry(6, 2))
    tail.snapshot = snapshot_of((1,), index=4)
    tail.stable_to(7, 2)
    tail.stable_to(4, 1)
    tail.stable_to(6, 1)
    assert logger.lines == [
        "INFO entry at index 7 missing from unstable log; ignoring",
        "INFO entry at index 4 matched unstable snapshot; ignoring",
        "INFO entry at (index,term)=(6,1) mismatched with entry at (6,2) in unstable log; ignoring",
    ]
    assert tail.entries == [entry(5, 2), entry(6, 2)]
    tail.stable_to(5, 2)
    assert (tail.offset, tail.in_progress, tail.entries) == (6, 6, [entry(6, 2)])


def test_a_snapshot_stays_until_it_is_itself_acknowledged() -> None:
    tail, _ = _tail(entry(5))
    tail.restore(snapshot_of((1,), index=9))
    assert (tail.offset, tail.entries, tail.last_index(), tail.term(9)) == (10, [], 9, 1)
    assert tail.next_snapshot() is not None
    tail.accept_in_progress()
    assert tail.next_snapshot() is None
    tail.stable_snapshot_to(8)
    assert tail.snapshot is not None
    tail.stable_snapshot_to(9)
    assert tail.snapshot is None
    assert tail.last_index() is None


# --- what must never happen ---------------------------------------------------------------------------------------


def _log() -> Log:
    storage = MemoryStorage()
    storage.apply_snapshot(snapshot_of((1,), index=3))
    storage.append([entry(4), entry(5)])
    log = Log(storage, RecordingLogger())
    log.append([entry(6)])
    log.commit_to(5)
    return log


def test_broken_invariants_are_fatal() -> None:
    log = _log()
    for broken in (
        lambda: log.commit_to(9),
        lambda: log.append([entry(5, 2)]),
        lambda: log.append_after(4, 1, [entry(5, 7)], commit=0),
        lambda: log.slice(6, 5, NO_LIMIT),
        lambda: log.slice(5, 9, NO_LIMIT),
        lambda: log.applied_to(6),
        lambda: log.accept_applying([entry(6)], allow_unstable=True),
        lambda: log.unstable.slice(7, 6),
        lambda: log.unstable.slice(5, 6),
        lambda: list(log.scan(1, 4)),
    ):
        with pytest.raises(BrokenInvariant):
            broken()
    assert log.entries_from(4, NO_LIMIT) == [entry(4), entry(5), entry(6)]


def test_below_the_snapshot_nothing_can_be_read() -> None:
    log = _log()
    with pytest.raises(Compacted):
        log.slice(3, 5, NO_LIMIT)
    with pytest.raises(Compacted):
        log.term(2)
    assert log.term(3) == 1
    assert log.term_or_zero(2) == 0


def test_nothing_is_handed_out_beside_an_unstable_snapshot() -> None:
    log = _log()
    assert log.next_committed(allow_unstable=True) == [entry(4), entry(5)]
    log.restore(snapshot_of((1,), index=9))
    assert log.next_committed(allow_unstable=True) == []
    log.unstable.accept_in_progress()
    assert not log.has_next_committed(allow_unstable=True)


def test_handing_out_pauses_until_acknowledged() -> None:
    log = _log()
    log.commit_to(6)
    log.max_applying_size = 2 * entry_size(entry(4))
    first = log.next_committed(allow_unstable=True)
    assert first == [entry(4), entry(5)]
    log.accept_applying(first, allow_unstable=True)
    assert not log.has_next_committed(allow_unstable=True)
    log.applied_to(4, first[:1])
    assert log.next_committed(allow_unstable=False) == []
    assert log.next_committed(allow_unstable=True) == [entry(6)]
