"""Hashes in steps: the size of steps changes nothing but the time they take."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from google_crc32c import value as crc_of

from dualmode import limits
from dualmode.member.maintenance.hashes import BucketsRun, Hasher, StepSize
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    store = Store(backend)
    store.begin_pass()
    for number in range(20):
        store.put(b"%d" % number, b"v")
        store.bucket_put(b"authUsers", b"user%d" % number, b"u")
    store.bucket_put(b"auth", b"enabled", b"\1")
    store.end_pass(1, 1)
    yield store
    backend.close()


def everything(store: Store, budget_rows: int) -> int:
    run = BucketsRun(store.backend.view())
    while not run.step(budget_rows):
        pass
    return run.crc


def test_an_empty_store_is_the_names_of_its_buckets(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path / "empty")
    names = b"alarmauthauthRolesauthUsersclusterkeyleasemembersmembers_removedmeta"
    assert everything(Store(backend), 10) == crc_of(names)
    backend.close()


@pytest.mark.parametrize("budget_rows", [1, 2, 3, 20, 21, 1000])
def test_steps_of_any_size_give_the_same(store: Store, budget_rows: int) -> None:
    assert everything(store, budget_rows) == everything(store, 7)


@pytest.mark.parametrize(
    ("bucket", "key", "counts"), [(b"auth", b"x", True), (b"meta", b"x", True), (b"meta", b"term", False)]
)
def test_what_counts(store: Store, bucket: bytes, key: bytes, counts: bool) -> None:
    before = everything(store, 10)
    store.begin_pass()
    store.bucket_put(bucket, key, b"1")
    store.end_pass(2, 1)
    assert (everything(store, 10) != before) is counts


def test_steps_grow_and_shrink_with_the_time_they_take() -> None:
    size = StepSize()
    for _ in range(20):
        size.note(0.0)
    assert size.rows == limits.HASH_STEP_ROWS
    size.note(limits.HASH_STEP_SECONDS / 2)
    assert size.rows == limits.HASH_STEP_ROWS
    for _ in range(30):
        size.note(1.0)
    assert size.rows == 1


async def test_others_get_the_loop_between_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HASH_FIRST_ROWS", 1)
    monkeypatch.setattr(limits, "HASH_STEP_ROWS", 1)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        await trio.lowlevel.checkpoint()
        found = await Hasher(store).by_revision(0)
        nursery.cancel_scope.cancel()
    assert turns >= 18
    assert found == store.hash_by_revision(0)


async def test_only_so_many_are_computed_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HASH_FIRST_ROWS", 1)
    monkeypatch.setattr(limits, "HASH_STEP_ROWS", 1)
    hasher, present, most = Hasher(store), 0, 0
    start_hash = store.start_hash

    def counted(revision: int) -> object:
        nonlocal present, most
        present += 1
        most = max(most, present)
        return start_hash(revision)

    monkeypatch.setattr(store, "start_hash", counted)

    async def compute() -> None:
        nonlocal present
        await hasher.by_revision(0)
        present -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(compute)
    # One that has ended may be counted a moment longer than it holds its turn.
    assert limits.HASHES_AT_ONCE <= most <= 2 * limits.HASHES_AT_ONCE
