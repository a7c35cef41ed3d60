"""Ranges on a real store: pages, keys only, and what is counted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.member.kv import ranges
from dualmode.member.kv.counts import Counts
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """20 keys, some with a lease; revisions 2 to 21."""
    backend = Backend.open(tmp_path / "store")
    store = Store(backend)
    for number in range(20):
        store.begin_pass()
        store.put(b"%02d" % number, b"v" * number, lease=number % 3)
        store.end_pass(number + 1, 1)
    yield store
    backend.close()


def answer(store: Store, counts: Counts, **fields: Any) -> Any:
    return pb.RangeResponse.FromString(ranges.execute(store, pb.RangeRequest(**fields), b"", counts))


@pytest.mark.parametrize("limit", [1, 3, 19, 20, 21])
def test_pages_are_the_whole_and_each_says_how_many_are_left(store: Store, limit: int) -> None:
    counts, key = Counts(store), b"0"
    found: list[Any] = []
    while True:
        page = answer(store, counts, key=key, range_end=b"\0", limit=limit, revision=21)
        assert page.count == 20 - len(found)
        found += page.kvs
        store.begin_pass()
        store.put(b"%02dnew" % len(found), b"")
        store.end_pass(store.applied_index + 1, 1)
        if not page.more:
            break
        key = page.kvs[-1].key + b"\0"
    assert [kv.key for kv in found] == [b"%02d" % number for number in range(20)]


@pytest.mark.parametrize("piece", [1, 7, 20, 21, 512])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"limit": 5},
        {"revision": 15},
        {"sort_order": 2, "sort_target": 3},
        {"sort_order": 2, "sort_target": 4, "limit": 3},
        {"min_mod_revision": 7, "limit": 2},
    ],
)
def test_keys_only_is_the_same_without_values(
    store: Store, monkeypatch: pytest.MonkeyPatch, piece: int, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(limits, "KEYS_ONLY_PIECE", piece)
    counts = Counts(store)
    expected = answer(store, counts, key=b"0", range_end=b"\0", **fields)
    for kv in expected.kvs:
        kv.value = b""
    assert answer(store, counts, key=b"0", range_end=b"\0", keys_only=True, **fields) == expected


def test_keys_only_of_one_key(store: Store) -> None:
    (kv,) = answer(store, Counts(store), key=b"07", keys_only=True).kvs
    assert (kv.key, kv.value, kv.lease) == (b"07", b"", 1)
