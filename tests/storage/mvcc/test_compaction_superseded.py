"""A compaction that a later one overtakes, before it has removed everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualmode.storage.backend import Backend
from dualmode.storage.mvcc import Store, rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


def test_a_deletion_at_the_overtaken_revision_goes_too(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"")
    store.delete_range(b"a")
    store.compact(3)
    store.end_pass(1, 1)
    # Two records were looked at, which may not be all: the deletion made at 3 itself stays for now.
    assert not store.compaction_step(2)
    store.begin_pass()
    store.put(b"b", b"")
    store.compact(4)
    store.end_pass(2, 1)
    assert store.compaction_step(100)
    assert [rows.revision_of(row) for row in store.backend.keys(rows.REVISION, rows.REVISION_END)] == [(4, 0, False)]
    assert store.state.record_count == 1
