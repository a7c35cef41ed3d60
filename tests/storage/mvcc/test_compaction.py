"""Compaction in steps, with ranges deleted and without, with its memory and without, against the naive twin."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dualmode import limits
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc import Store
from tests.storage.mvcc.model import Model

KEYS = [b"a", b"a\x00", b"a\x00\xff", b"b", b"c"]


def write(store: Store, model: Model, dice: random.Random) -> None:
    store.begin_pass()
    for _ in range(dice.randrange(1, 40)):
        key = dice.choice(KEYS)
        store.begin_transaction()
        model.begin()
        for _ in range(dice.choice((1, 1, 1, 2, 3))):  # now and then a key is written twice at one revision
            if dice.random() < 0.25:
                store.delete_range(key)
                model.delete_range(key, b"")
            else:
                value = b"v" * dice.randrange(9)
                store.put(key, value)
                model.put(key, value, 0)
        store.commit_transaction()
        model.commit()
    if dice.random() < 0.5 and model.revision > max(model.compacted, 1):
        revision = dice.randrange(max(model.compacted, 1) + 1, model.revision + 1)
        store.compact(revision)
        model.compact(revision)
    store.end_pass(store.applied_index + 1, 1)


def check(store: Store, model: Model) -> None:
    records = model.records()
    found = [(row[1:], record) for row, record in store.backend.rows(b"R", b"S")]
    assert found == [(name, record) for _, _, name, record in records]
    assert store.total_size == sum(len(name) + len(record) + 16 for _, _, name, record in records)
    assert store.state.record_count == len(records)
    assert store.backend.count(b"H", b"I") == len(records)
    assert store.hash_by_revision().hash == model.hash(model.revision)


@pytest.mark.parametrize("range_rows", [2, 4, 1000])
@pytest.mark.parametrize("memory_bytes", [0, 2_000, 1_000_000])
def test_what_is_left_is_what_it_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, range_rows: int, memory_bytes: int
) -> None:
    monkeypatch.setattr(limits, "COMPACTION_RANGE_ROWS", range_rows)
    monkeypatch.setattr(limits, "COMPACTION_MEMORY_BYTES", memory_bytes)
    monkeypatch.setattr(limits, "COMPACTION_RANGES_IN_MEMORY", 3)
    dice = random.Random(range_rows * 7 + memory_bytes)
    backend = Backend.open(tmp_path / "store")
    store, model = Store(backend), Model()
    flushes = 0
    for _ in range(80):
        write(store, model, dice)
        for _ in range(dice.randrange(6)):
            store.compaction_step(dice.randrange(1, 25))
            if store.compaction.wants_flush:
                backend.flush()
                store.compaction.flushed()
                flushes += 1
        if dice.random() < 0.2:  # what a restart leaves: the rows, and no memory
            store = Store(backend)
        if dice.random() < 0.3:
            while not store.compaction_step(dice.randrange(1, 50)):
                pass
            check(store, model)
    assert (flushes > 0) == (range_rows < 1000)
    backend.close()


def test_large_records_make_a_step_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMPACTION_STEP_BYTES", 2500)
    backend = Backend.open(tmp_path / "store")
    store = Store(backend)
    store.begin_pass()
    for _ in range(10):
        store.put(b"a", bytes(1000))
    store.compact(11)
    store.end_pass(1, 1)
    assert not store.compaction_step(100)
    assert store.state.record_count == 8  # three were walked, two of them gone
    while not store.compaction_step(100):
        pass
    assert store.state.record_count == 1
    backend.close()
