"""Counts that are remembered are the counts that a walk gives, whatever happens in between."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.kv import ranges
from dualmode.member.kv.counts import Counts
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store

ALL = (b"\0", b"\0")
#: A class of its own is made of the store.
pytestmark = pytest.mark.plain


class CountingStore(Store):
    """Knows how often it was walked."""

    walks = 0

    def count(self, key: bytes, range_end: bytes = b"", revision: int = 0) -> int:
        self.walks += 1
        return super().count(key, range_end, revision)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    """100 keys at revisions 2 to 101."""
    backend = Backend.open(tmp_path / "store")
    store = CountingStore(backend)
    for number in range(100):
        write(store, b"%03d" % number)
    yield store
    backend.close()


def write(store: Store, *keys: bytes, delete: bytes = b"") -> None:
    """One transaction, in a pass of its own."""
    store.begin_pass()
    store.begin_transaction()
    if delete:
        store.delete_range(delete)
    for key in keys:
        store.put(key, b"v")
    store.commit_transaction()
    store.end_pass(store.applied_index + 1, 1)


def test_an_interval_is_walked_once(store: CountingStore) -> None:
    counts = Counts(store)
    for _ in range(3):
        assert counts.total(store, *ALL, 0) == 100
    assert store.walks == 1
    assert counts.total(store, b"0", b"01", 0) == 10
    assert store.walks == 2


@pytest.mark.parametrize(
    ("keys", "delete", "total"),
    [
        ((b"new",), b"", 101),
        ((b"001",), b"", 100),
        ((), b"001", 99),
        ((b"001",), b"001", 100),
        ((b"a", b"b"), b"001", 101),
        ((), b"nothing", 100),
    ],
)
def test_what_changed_is_counted_in(store: CountingStore, keys: tuple[bytes, ...], delete: bytes, total: int) -> None:
    counts = Counts(store)
    counts.total(store, *ALL, 0)
    write(store, *keys, delete=delete)
    assert counts.total(store, *ALL, 0) == total == Store.count(store, *ALL)
    assert store.walks == 1


def test_after_many_changes_it_is_walked_again(store: CountingStore) -> None:
    counts = Counts(store)
    counts.total(store, *ALL, 0)
    for _ in range(int(100 * limits.RECOUNT_SHARE) + 1):
        write(store, b"001")
    assert counts.total(store, *ALL, 0) == 100
    assert store.walks == 2


def test_what_compaction_has_removed_is_not_missed(store: CountingStore) -> None:
    counts = Counts(store)
    counts.total(store, *ALL, 0)
    write(store, b"new")
    write(store, delete=b"new")
    write(store, b"other")
    store.begin_pass()
    store.compact(store.revision)
    store.end_pass(store.applied_index + 1, 1)
    while not store.compaction_step(1000):
        pass
    assert counts.total(store, *ALL, 0) == 101


def test_pages_are_remembered_at_their_revision_only(store: CountingStore) -> None:
    counts = Counts(store)
    counts.note_page(b"050", b"\0", 101, 50)
    assert counts.total(store, b"050", b"\0", 101) == 50
    assert store.walks == 0
    write(store, b"new")
    assert counts.total(store, b"050", b"\0", 101) == 50
    assert counts.total(store, b"050", b"\0", 0) == 51
    assert counts.total(store, b"050", b"\0", 100) == 49


def test_a_compacted_page_is_refused(store: CountingStore) -> None:
    counts = Counts(store)
    counts.note_page(b"050", b"\0", 101, 50)
    write(store, b"new")
    store.begin_pass()
    store.compact(store.revision)
    store.end_pass(store.applied_index + 1, 1)
    with pytest.raises(RpcError) as caught:
        counts.total(store, b"050", b"\0", 101)
    assert caught.value == errors.COMPACTED


def test_memory_is_bounded(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_COUNTS", 2)
    counts = Counts(store)
    for key in (b"0", b"1", b"2"):
        counts.total(store, key, b"\0", 0)
    counts.total(store, b"2", b"\0", 0)
    counts.total(store, b"1", b"\0", 0)
    assert store.walks == 3
    counts.total(store, b"0", b"\0", 0)
    assert store.walks == 4


@pytest.mark.parametrize("seed", range(5))
def test_random_work(store: CountingStore, seed: int) -> None:
    dice, counts = random.Random(seed), Counts(store)
    intervals = [ALL, (b"02", b"05"), (b"099", b""), (b"05", b"\0")]
    for _ in range(300):
        key = b"%03d" % dice.randrange(150)
        write(store, *([key] if dice.random() < 0.5 else []), delete=key if dice.random() < 0.5 else b"")
        if dice.random() < 0.05 and store.revision > store.compacted:
            store.begin_pass()
            store.compact(dice.randint(max(store.compacted, 0) + 1, store.revision))
            store.end_pass(store.applied_index + 1, 1)
            store.compaction_step(dice.randrange(1, 300))
        interval = dice.choice(intervals)
        assert counts.total(store, *interval, 0) == Store.count(store, *interval)


def test_paging_what_is_there_now_counts_once_whatever_is_written(store: CountingStore) -> None:
    counts, key = Counts(store), b"0"
    for left in range(100, 0, -10):
        request = pb.RangeRequest(key=key, range_end=b"\0", limit=10)
        page = pb.RangeResponse.FromString(ranges.execute(store, request, b"", counts))
        assert page.count == left == Store.count(store, key, b"\0")
        key = page.kvs[-1].key + b"\0"
        write(store, delete=b"000")
        write(store, b"099")
    assert store.walks == 1
