"""The store's calls one by one: what `test_store_model.py` takes for granted, limits, long histories, restarts."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from dualmode import errors, limits
from dualmode.errors import RpcError, StorageError
from dualmode.storage.backend import Backend, new_batch
from dualmode.storage.mvcc import Store
from dualmode.storage.mvcc.keyvalue import fields


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


def test_an_empty_store(store: Store) -> None:
    assert (store.revision, store.compacted, store.applied_index, store.total_size) == (1, -1, 0, 0)
    assert store.select(b"\x00", b"\x00") == []
    assert store.count(b"\x00", b"\x00") == 0
    assert store.get(b"a") is None


def test_a_pass_without_writes_moves_the_applied_index_only(store: Store) -> None:
    store.begin_pass()
    assert store.delete_range(b"a", b"z") == []
    store.begin_transaction()
    store.commit_transaction()
    assert store.end_pass(9, 2) == []
    assert (store.revision, store.applied_index, store.applied_term) == (1, 9, 2)


def test_a_transaction_is_one_revision_and_its_reads_see_its_writes(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"0")
    store.begin_transaction()
    assert store.current_revision == 2
    store.put(b"b", b"1")
    assert store.current_revision == 3
    assert [fields(kv).key for kv in store.select(b"a", b"z")] == [b"a", b"b"]
    assert [fields(kv).key for kv in store.select(b"a", b"z", revision=3)] == [b"a", b"b"]
    assert [fields(kv).key for kv in store.select(b"a", b"z", revision=2)] == [b"a"]
    store.delete_range(b"a")
    store.commit_transaction()
    commits = store.end_pass(1, 1)
    assert [(commit.revision, [change.key for change in commit.changes]) for commit in commits] == [
        (2, [b"a"]),
        (3, [b"b", b"a"]),
    ]
    assert repr(commits[1]).startswith("Commit(3, [Change(PUT b'b'")


def test_the_same_key_twice_in_one_transaction(store: Store) -> None:
    """etcd's duplicate check misses a delete "from key" and a put; both are applied, in order."""
    store.begin_pass()
    store.put(b"a", b"0")
    store.begin_transaction()
    store.delete_range(b"a", b"\x00")
    store.put(b"a", b"1")
    store.commit_transaction()
    store.end_pass(1, 1)
    (now,) = store.select(b"a")
    assert fields(now) == (b"a", 3, 3, 1, b"1", 0)
    assert store.select(b"a", revision=3) == [now]
    (commit,) = store.changes(3, 3, b"a", with_previous=True)
    assert [change.is_delete for change in commit.changes] == [True, False]


def test_what_watchers_are_told_was_before_is_the_same_at_once_and_later(store: Store) -> None:
    """The record before the whole transaction; none for a put of a key that the transaction created (again)."""
    store.begin_pass()
    store.put(b"a", b"0")
    store.put(b"b", b"0")
    store.begin_transaction()
    store.delete_range(b"a", b"\x00")
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.put(b"c", b"1")
    store.delete_range(b"c")
    store.commit_transaction()
    *_, at_once = store.end_pass(1, 1)
    (later,) = store.changes(4, 4, b"a", b"\x00", with_previous=True)
    told = [[change.previous and fields(change.previous).value for change in one.changes] for one in (at_once, later)]
    assert told == [[b"0", b"0", None, None, None, None]] * 2


def test_writes_outside_a_pass_and_passes_that_are_not_closed_are_our_own_faults(store: Store) -> None:
    for call in (
        lambda: store.put(b"a", b""),
        lambda: store.delete_range(b"a"),
        lambda: store.compact(1),
        lambda: store.bucket_put(b"alarm", b"", b""),
        lambda: store.bucket_delete(b"alarm", b""),
        lambda: store.begin_transaction(),
        lambda: store.commit_transaction(),
        lambda: store.end_pass(1, 1),
    ):
        with pytest.raises(AssertionError):
            call()
    store.begin_pass()
    for call in (store.begin_pass, lambda: store.compaction_step(1), store.start_hash):
        with pytest.raises(AssertionError):
            call()


def test_buckets_are_kept_apart_and_in_order(store: Store) -> None:
    store.begin_pass()
    store.bucket_put(b"auth", b"authEnabled", b"\x01")
    store.bucket_put(b"authUsers", b"root", b"r")
    store.bucket_put(b"authUsers", b"\x00\xff", b"odd")
    store.bucket_put(b"authUsers", b"gone", b"x")
    store.bucket_delete(b"authUsers", b"gone")
    expected = [(b"\x00\xff", b"odd"), (b"root", b"r")]
    assert store.bucket_rows(b"authUsers") == expected
    store.end_pass(1, 1)
    assert store.bucket_rows(b"authUsers") == expected
    assert store.bucket_rows(b"auth") == [(b"authEnabled", b"\x01")]
    assert store.bucket_get(b"authUsers", b"root") == b"r"
    assert store.bucket_get(b"authUsers", b"gone") is None


def test_a_large_key_and_value(store: Store) -> None:
    key, value = b"\x00k" * (256 * 1024), bytes(1_000_000)
    store.begin_pass()
    store.put(key, value, 7)
    store.put(key, b"small")
    store.end_pass(1, 1)
    assert [fields(kv).value for kv in store.select(key, revision=2)] == [value]
    assert store.leases.keys_of(7) == []


def test_history_of_a_key_with_many_versions_is_left_by_a_seek(store: Store) -> None:
    for _ in range(10):
        store.begin_pass()
        for _ in range(10):
            store.put(b"a", b"x")
            store.put(b"b", b"x")
        store.end_pass(1, 1)
    for revision in (2, 3, 4, 50, 150, 199, 200):
        found = [fields(kv) for kv in store.select(b"a", b"\x00", revision)]
        assert [one.mod_revision for one in found] == [
            newest for newest in (revision - revision % 2, revision - 1 + revision % 2) if newest > 1
        ][: 1 if revision == 2 else 2]
        assert store.count(b"a", b"\x00", revision) == len(found)
        assert [fields(kv) for kv in store.select(b"a", b"\x00", revision, limit=1)] == found[:1]


def test_a_history_of_many_keys_is_fetched_in_pieces(store: Store) -> None:
    store.begin_pass()
    for number in range(1200):
        store.put(b"%05d" % number, b"old")
    revision = store.revision
    for number in range(1200):
        store.put(b"%05d" % number, b"new")
    store.end_pass(1, 1)
    found = [fields(kv) for kv in store.select(b"\x00", b"\x00", revision)]
    assert [(one.key, one.value) for one in found] == [(b"%05d" % number, b"old") for number in range(1200)]
    assert len(store.select(b"\x00", b"\x00", revision, limit=1000)) == 1000


def test_changes_below_the_compacted_revision_are_refused(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.compact(3)
    store.end_pass(1, 1)
    with pytest.raises(RpcError) as raised:
        list(store.changes(2, 9, b"a"))
    assert raised.value == errors.COMPACTED
    (commit,) = store.changes(3, 9, b"a", with_previous=True)
    assert commit.changes[0].previous is None


def test_compaction_goes_on_after_a_restart(tmp_path: Path) -> None:
    store = Store(Backend.open(tmp_path / "store"))
    store.begin_pass()
    for number in range(100):
        store.put(b"%d" % (number % 10), b"x")
    store.compact(101)
    store.end_pass(1, 1)
    assert not store.compaction_step(30)
    left = store.state.record_count
    assert 10 < left < 100
    store.backend.close()
    store = Store(Backend.open(tmp_path / "store"))
    assert store.state.record_count == left
    steps = 0
    while not store.compaction_step(30):
        steps += 1
    assert steps == 2
    assert store.state.record_count == 10
    store.backend.close()


def test_a_deletion_at_the_compacted_revision_stays_until_the_next_compaction(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"1")
    store.put(b"b", b"1")
    store.delete_range(b"a")
    store.compact(4)
    store.end_pass(1, 1)
    assert store.compaction_step(10)
    assert [row[1:] for row, _ in store.backend.rows(b"R", b"S")] == [
        (3).to_bytes(8, "big") + b"_" + bytes(8),
        (4).to_bytes(8, "big") + b"_" + bytes(8) + b"t",
    ]
    store.begin_pass()
    store.put(b"c", b"1")
    store.compact(5)
    store.end_pass(2, 1)
    assert store.compaction_step(10)
    assert store.state.record_count == store.backend.count(b"H", b"I") == 2


def test_a_compaction_in_the_smallest_steps_leaves_nothing_out(store: Store) -> None:
    store.begin_pass()
    for _ in range(2):
        store.begin_transaction()
        for number in range(9):
            store.put(b"%d" % number, b"x")
        store.commit_transaction()
    store.compact(3)
    store.end_pass(1, 1)
    steps = 1
    while not store.compaction_step(1):
        steps += 1
    assert steps == 19
    assert store.state.record_count == store.backend.count(b"R", b"S") == 9


def test_a_store_that_lost_a_record_says_so(store: Store) -> None:
    store.begin_pass()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.compact(3)
    store.end_pass(1, 1)
    batch = new_batch()
    batch.delete(b"R" + (2).to_bytes(8, "big") + b"_" + bytes(8))
    store.backend.write(batch)
    with pytest.raises(StorageError, match="missing"):
        store.compaction_step(10)
    store.state.compacted = -1
    with pytest.raises(StorageError, match="not there"):
        store.select(b"a", revision=2)


def test_rows_without_a_state_row_are_refused(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path / "store")
    batch = new_batch()
    batch.put(b"Ka", b"x")
    backend.write(batch)
    with pytest.raises(StorageError, match="no state row"):
        Store(backend)
    backend.close()


def numbered(store: Store, numbers: Iterable[int], value: bytes) -> None:
    store.begin_pass()
    for number in numbers:
        store.put(b"k%02d" % number, value)
    store.end_pass(store.applied_index + 1, 1)


@pytest.mark.parametrize("share", [0, 2])
@pytest.mark.parametrize("limit", [0, 1, 5, 19, 20, 21])
def test_a_revision_a_little_behind(store: Store, monkeypatch: pytest.MonkeyPatch, share: int, limit: int) -> None:
    """Undone or read from history (share 0), it is what it was."""
    monkeypatch.setattr(limits, "UNDONE_SHARE", share)
    numbered(store, range(0, 40, 2), b"old")
    revision, then = store.revision, store.select(b"k", b"l")
    numbered(store, [0, 1, 0, 7, 38, 39], b"new")
    store.begin_pass()
    store.delete_range(b"k04", b"k08")
    store.delete_range(b"k38")
    store.put(b"elsewhere", b"new")
    store.end_pass(store.applied_index + 1, 1)
    assert len(then) == 20
    assert store.select(b"k", b"l", revision, limit) == then[: limit or None]
    assert store.select(b"k05", b"k35", revision, limit) == then[3:18][: limit or None]


def test_undoing_misses_no_record(store: Store) -> None:
    numbered(store, range(20), b"old")
    numbered(store, [3], b"new")
    batch = new_batch()
    batch.delete(b"R" + (5).to_bytes(8, "big") + b"_" + bytes(8))
    store.backend.write(batch)
    with pytest.raises(StorageError, match="not there"):
        store.select(b"k", b"l", revision=21)
