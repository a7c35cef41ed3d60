"""HashKV against numbers of real etcd, and the cases of its definition that the model does not reach by chance."""

from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pytest

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc import Store, rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


def write_history(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    store.put(b"a", b"3")
    store.delete_range(b"b")
    store.end_pass(4, 1)


def compact(store: Store, revision: int) -> None:
    store.begin_pass()
    store.compact(revision)
    store.end_pass(5, 1)


@pytest.mark.parametrize(("revision", "expected"), [(0, 1125682900), (5, 1125682900), (3, 1827592406), (2, 2587454935)])
def test_numbers_of_etcd_before_compaction(store: Store, revision: int, expected: int) -> None:
    write_history(store)
    assert store.hash_by_revision(revision) == (expected, -1, 5)


def test_numbers_of_etcd_after_compactions_do_not_depend_on_how_far_they_have_come(store: Store) -> None:
    write_history(store)
    compact(store, 4)
    assert store.hash_by_revision(5) == (1468967122, 4, 5)
    assert store.compaction_step(100)
    assert store.hash_by_revision(5) == (1468967122, 4, 5)
    compact(store, 5)
    assert store.hash_by_revision(5) == (3184071396, 5, 5)
    assert store.compaction_step(100)
    assert store.hash_by_revision(5) == (3184071396, 5, 5)


def test_with_no_key_alive_nothing_is_left_out(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.compact(3)
    store.delete_range(b"a")
    store.end_pass(1, 1)
    before = store.hash_by_revision(4)
    (_, second), (_, third) = store.backend.rows(rows.revision_row(3, 0), rows.REVISION_END)
    records = rows.revision_row(3, 0)[1:] + second + rows.revision_row(4, 0)[1:] + b"t" + third
    assert before.hash == google_crc32c.value(b"key" + records)
    assert store.compaction_step(100)
    assert store.hash_by_revision(4) == before
    assert before.hash != store.hash_by_revision(3).hash


def test_revisions_that_have_no_hash(store: Store) -> None:
    write_history(store)
    compact(store, 4)
    with pytest.raises(RpcError) as raised:
        store.hash_by_revision(3)
    assert raised.value == errors.COMPACTED
    with pytest.raises(RpcError) as raised:
        store.hash_by_revision(6)
    assert raised.value == errors.FUTURE_REVISION
    assert store.hash_by_revision(4).compact_revision == 4
