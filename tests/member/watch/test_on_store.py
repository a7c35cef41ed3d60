"""The hub on a real store: what is delivered live and what is caught up with are the same bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.member.headers import ResponseHeaders
from dualmode.member.watch.hub import WatchHub
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from tests.member.watch.fakes import FakeStream


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(Backend.open(tmp_path / "store"))
    yield one
    one.backend.close()


def a_pass(store: Store, hub: WatchHub, dice: random.Random) -> None:
    store.begin_pass()
    for _ in range(dice.randrange(1, 4)):
        store.begin_transaction()
        put = set()
        # A transaction may delete a key that it puts later (in another branch of a nested one), never the other way.
        for key in dice.choices([b"a", b"a\0", b"b", b"c"], k=dice.randrange(1, 5)):
            if key in put:
                continue
            if dice.random() < 0.3:
                store.delete_range(key)
            else:
                put.add(key)
                store.put(key, b"v%d" % dice.randrange(100))
        store.commit_transaction()
    hub.publish(store.end_pass(store.applied_index + 1, 1))


def events(fake: FakeStream) -> list[bytes]:
    return [event.SerializeToString() for response in fake.take() for event in response.events]


@pytest.mark.parametrize("seed", range(5))
def test_live_and_caught_up_are_the_same(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    hub = WatchHub(store, ResponseHeaders(1, 2).field, interval_seconds=lambda: 600.0)
    wishes: list[dict[str, Any]] = [
        {"key": b"a"},
        {"key": b"a", "range_end": b"b", "prev_kv": True},
        {"key": b"\0", "range_end": b"\0", "prev_kv": True},
        {"key": b"a", "range_end": b"c", "filters": [1]},
    ]
    live = []
    for wish in wishes:
        fake = FakeStream()
        hub.create(hub.open_stream(fake), pb.WatchCreateRequest(**wish), 0.0)
        live.append(fake)
    for _ in range(50):
        a_pass(store, hub, dice)
    for wish, heard in zip(wishes, live, strict=True):
        fake = FakeStream()
        hub.create(hub.open_stream(fake), pb.WatchCreateRequest(start_revision=1, **wish), 0.0)
        while hub.has_catching_up:
            hub.catch_up()
        assert events(fake) == events(heard)


def test_a_compaction_ends_who_is_too_far_behind(store: Store) -> None:
    hub = WatchHub(store, ResponseHeaders(1, 2).field, interval_seconds=lambda: 600.0)
    for _ in range(5):
        store.begin_pass()
        store.put(b"a", b"v")
        hub.publish(store.end_pass(store.applied_index + 1, 1))
    store.begin_pass()
    store.compact(4)
    store.end_pass(store.applied_index + 1, 1)
    fake = FakeStream()
    stream = hub.open_stream(fake)
    for start in (3, 4):
        hub.create(stream, pb.WatchCreateRequest(key=b"a", start_revision=start, prev_kv=True), 0.0)
    while hub.has_catching_up:
        hub.catch_up()
    _, compacted, _, caught_up = fake.take()
    assert (compacted.watch_id, compacted.compact_revision) == (0, 4)
    assert [event.kv.mod_revision for event in caught_up.events] == [4, 5, 6]
    assert [event.HasField("prev_kv") for event in caught_up.events] == [False, True, True]
