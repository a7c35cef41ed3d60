"""The store against its naive twin, with crashes: any sequence of calls, compared after each."""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc import Store
from dualmode.storage.mvcc.changes import Change
from dualmode.storage.mvcc.keyvalue import Fields, fields
from tests.storage.mvcc.model import ChangeSeen, Model

ALL_KEYS = [b"\x00", b"a", b"a\x00", b"a\x00\xff", b"a\x01", b"ab", b"b", b"b\xff", b"\xff\xff"]
KEYS = st.sampled_from(ALL_KEYS)
RANGE_ENDS = st.one_of(st.sampled_from([b"", b"\x00"]), KEYS)
VALUES = st.binary(max_size=3)
LEASES = st.sampled_from([0, 0, 0, 5, 300])
ALL = (b"\x00", b"\x00")
PUTS = st.tuples(st.just("put"), KEYS, VALUES, LEASES)
DELETIONS = st.tuples(st.just("delete"), KEYS, RANGE_ENDS)
TRANSACTIONS = st.tuples(st.just("transaction"), st.lists(st.one_of(PUTS, DELETIONS), max_size=4))
COMPACTIONS = st.tuples(st.just("compact"), st.integers(-1, 4))
WRITES = st.lists(st.one_of(PUTS, PUTS, DELETIONS, TRANSACTIONS, COMPACTIONS), max_size=10)
#: Rules that undo much of what was built up are drawn as often as the others, but mostly do nothing.
SELDOM = st.sampled_from([False] * 6 + [True])


def read(kv: bytes | None) -> Fields | None:
    return None if kv is None else fields(kv)


def seen(change: Change) -> ChangeSeen:
    return change.key, fields(change.kv), change.is_delete, read(change.previous)


def copy_files(before: Path, after: Path) -> None:
    """What a crash at this moment would leave. RocksDB's own threads may be at work: copied again when they were."""
    while True:
        manifest = [path.read_bytes() for path in sorted(before.glob("MANIFEST-*"))]
        with contextlib.suppress(shutil.Error, FileNotFoundError):
            shutil.copytree(before, after, ignore=shutil.ignore_patterns("LOCK"))
            if manifest == [path.read_bytes() for path in sorted(after.glob("MANIFEST-*"))]:
                return
        shutil.rmtree(after, ignore_errors=True)


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.generation = 0
        self.store = Store(Backend.open(self.folder / "0"), head_cache_bytes=2000)
        self.model = Model()
        self.in_pass = False
        self.applied = 0
        self.commits_before_pass = 0
        self.flushed = 0
        #: The model as it was at the end of each pass.
        self.passes: dict[int, Model] = {0: Model()}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.backend.close()
            shutil.rmtree(self.folder)

    # --- Passes and transactions

    @precondition(lambda self: not self.in_pass)
    @rule(writes=WRITES)
    def whole_pass(self, writes: list[tuple[Any, ...]]) -> None:
        self.begin_pass()
        self._write(writes)
        self.end_pass()

    def _write(self, writes: list[tuple[Any, ...]]) -> None:
        for name, *arguments in writes:
            if name == "transaction":
                self.begin_transaction()
                self._write(arguments[0])
                self.commit_transaction()
            else:
                getattr(self, name)(*arguments)

    @precondition(lambda self: not self.in_pass)
    @rule()
    def begin_pass(self) -> None:
        self.store.begin_pass()
        self.in_pass = True
        self.commits_before_pass = self.model.revision

    @precondition(lambda self: self.in_pass and self.model.transaction is None)
    @rule()
    def end_pass(self) -> None:
        self.applied += 1
        commits = self.store.end_pass(self.applied, 3)
        self.in_pass = False
        expected = [commit for commit in self.model.published if commit[0] > self.commits_before_pass]
        assert [(commit.revision, list(map(seen, commit.changes))) for commit in commits] == expected
        self.passes[self.applied] = copy.deepcopy(self.model)

    @precondition(lambda self: self.in_pass and self.model.transaction is None)
    @rule()
    def begin_transaction(self) -> None:
        self.store.begin_transaction()
        self.model.begin()

    @precondition(lambda self: self.model.transaction is not None)
    @rule()
    def commit_transaction(self) -> None:
        self.store.commit_transaction()
        self.model.commit()

    # --- Writes

    @precondition(lambda self: self.in_pass)
    @rule(key=KEYS, value=VALUES, lease=LEASES)
    def put(self, key: bytes, value: bytes, lease: int) -> None:
        assert read(self.store.put(key, value, lease)) == self.model.put(key, value, lease)

    @precondition(lambda self: self.in_pass)
    @rule(key=KEYS, range_end=RANGE_ENDS)
    def delete(self, key: bytes, range_end: bytes) -> None:
        assert list(map(fields, self.store.delete_range(key, range_end))) == self.model.delete_range(key, range_end)

    # --- Reads

    @rule(key=KEYS, range_end=RANGE_ENDS, limit=st.integers(0, 3), back=st.integers(-1, 12))
    def select(self, key: bytes, range_end: bytes, limit: int, back: int) -> None:
        revision = self.model.current_revision - back
        error = self._read_error(revision)
        if error is not None:
            with pytest.raises(RpcError) as raised:
                self.store.select(key, range_end, revision, limit)
            assert raised.value == error
            with pytest.raises(RpcError):
                self.store.count(key, range_end, revision)
            return
        expected = self.model.select(key, range_end, max(revision, 0))
        found = list(map(fields, self.store.select(key, range_end, revision, limit)))
        assert found == (expected[:limit] if limit else expected)
        assert self.store.count(key, range_end, revision) == len(expected)

    def _read_error(self, revision: int) -> RpcError | None:
        if revision <= 0:
            return None
        if revision > self.model.current_revision:
            return errors.FUTURE_REVISION
        return errors.COMPACTED if revision < self.model.compacted else None

    @precondition(lambda self: not self.in_pass)
    @rule(key=KEYS, range_end=RANGE_ENDS, low=st.integers(0, 12), length=st.integers(0, 12))
    def read_changes(self, key: bytes, range_end: bytes, low: int, length: int) -> None:
        while not self.store.compaction_step(7):  # of a compacted revision, what is left depends on how far it has come
            pass
        start = max(self.model.compacted, 0) + low
        commits = self.store.changes(start, start + length, key, range_end, with_previous=True)
        found = [(commit.revision, list(map(seen, commit.changes))) for commit in commits]
        assert found == self.model.changes(start, start + length, key, range_end)

    # --- Compaction and hashes

    @precondition(lambda self: self.in_pass and self.model.transaction is None)
    @rule(back=st.integers(-1, 6))
    def compact(self, back: int) -> None:
        revision = self.model.revision - back
        if revision <= self.model.compacted or revision > self.model.revision:
            with pytest.raises(RpcError) as raised:
                self.store.compact(revision)
            past = revision <= self.model.compacted
            assert raised.value == (errors.COMPACTED if past else errors.FUTURE_REVISION)
        else:
            self.store.compact(revision)
            self.model.compact(revision)

    @precondition(lambda self: not self.in_pass)
    @rule(budget=st.integers(1, 4))
    def compaction_step(self, budget: int) -> None:
        self.store.compaction_step(budget)

    @precondition(lambda self: not self.in_pass)
    @rule(back=st.integers(0, 5), step=st.integers(1, 9))
    def hash(self, back: int, step: int) -> None:
        revision = self.model.revision - back
        if revision < max(self.model.compacted, 1):
            return
        run = self.store.start_hash(revision)
        while not run.step(step):
            pass
        assert run.result() == (self.model.hash(revision), self.model.compacted, self.model.revision)

    @precondition(lambda self: not self.in_pass)
    @rule()
    def sums(self) -> None:
        while not self.store.compaction_step(5):
            pass
        records = self.model.records()
        stored = [(row[1:], record) for row, record in self.store.backend.rows(b"R", b"S")]
        assert stored == [(name, record) for _, _, name, record in records]
        assert self.store.total_size == sum(len(name) + len(record) + 16 for _, _, name, record in records)
        assert self.store.state.record_count == len(records)
        assert self.store.backend.count(b"H", b"I") == len(records)

    # --- Disks

    @precondition(lambda self: not self.in_pass)
    @rule()
    def flush(self) -> None:
        self.store.backend.flush()
        self.flushed = self.applied

    @rule(really=SELDOM)
    def crash(self, really: bool) -> None:
        """What is in the files is all that is left, and it is the end of some pass that is not older than the flush."""
        if not really:
            return
        before = self.folder / str(self.generation)
        self.generation += 1
        after = self.folder / str(self.generation)
        copy_files(before, after)
        self.store.backend.close()
        self.store = Store(Backend.open(after), head_cache_bytes=2000)
        self.in_pass = False
        assert self.flushed <= self.store.applied_index <= self.applied
        self.applied = self.store.applied_index
        self.model = copy.deepcopy(self.passes[self.applied])

    @precondition(lambda self: not self.in_pass)
    @rule(really=SELDOM)
    def close_and_open(self, really: bool) -> None:
        if not really:
            return
        self.store.backend.close()
        self.store = Store(Backend.open(self.folder / str(self.generation)), head_cache_bytes=2000)
        assert self.store.applied_index == self.applied
        self.flushed = self.applied

    @invariant()
    def numbers_agree(self) -> None:
        if hasattr(self, "model"):
            assert self.store.revision == self.model.revision
            assert self.store.current_revision == self.model.current_revision
            assert self.store.compacted == self.model.compacted
            alive = self.model.select(*ALL)
            assert list(map(fields, self.store.select(*ALL))) == alive
            heads = [read(self.store.get(key)) for key in ALL_KEYS]  # through the cache
            assert [head for head in heads if head] == alive

    @invariant()
    def leases_agree(self) -> None:
        if hasattr(self, "model"):
            alive = self.model.select(*ALL)
            for lease in (5, 300):
                assert self.store.leases.keys_of(lease) == [one.key for one in alive if one.lease == lease]


TestStore: Any = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
