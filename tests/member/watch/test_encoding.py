"""The bytes of watch responses, read back by protobuf."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.api import etcdserverpb, mvccpb
from dualmode.member.watch import encoding
from tests.member.watch.fakes import FakeChange

HEADER = b"\x0a\x04\x08\x01\x18\x02"
PUT = mvccpb.KeyValue(key=b"k", value=b"v" * 200, create_revision=2, mod_revision=3, version=2).SerializeToString()
BEFORE = mvccpb.KeyValue(key=b"k", value=b"w", create_revision=2, mod_revision=2, version=1).SerializeToString()
DELETED = mvccpb.KeyValue(key=b"k", mod_revision=3).SerializeToString()


def response(message: bytes) -> Any:
    return etcdserverpb.WatchResponse.FromString(message)


def event(revision: int, value: bytes = b"", is_delete: bool = False) -> encoding.Event:
    kv = mvccpb.KeyValue(key=b"k", mod_revision=revision, value=value).SerializeToString()
    return encoding.Event(revision, FakeChange(b"k", kv, is_delete, None))


@pytest.mark.parametrize(
    ("change", "wants", "expected"),
    [
        (FakeChange(b"k", PUT, False, BEFORE), 0, {"kv": PUT}),
        (FakeChange(b"k", PUT, False, BEFORE), encoding.WITH_PREVIOUS, {"kv": PUT, "prev_kv": BEFORE}),
        (FakeChange(b"k", PUT, False, None), encoding.WITH_PREVIOUS, {"kv": PUT}),
        (FakeChange(b"k", DELETED, True, BEFORE), 0, {"type": 1, "kv": DELETED}),
        (FakeChange(b"k", DELETED, True, BEFORE), 1, {"type": 1, "kv": DELETED, "prev_kv": BEFORE}),
    ],
)
def test_an_event_is_what_protobuf_would_write(change: FakeChange, wants: int, expected: dict[str, Any]) -> None:
    fields = {
        name: mvccpb.KeyValue.FromString(value) if isinstance(value, bytes) else value
        for name, value in expected.items()
    }
    wanted = etcdserverpb.WatchResponse(events=[mvccpb.Event(**fields)])
    assert encoding.Event(3, change).encoded(wants) == wanted.SerializeToString()


def test_an_event_is_encoded_once() -> None:
    one = encoding.Event(3, FakeChange(b"k", PUT, False, BEFORE))
    assert one.encoded(0) is one.encoded(0)
    assert one.encoded(1) is one.encoded(1)


@pytest.mark.parametrize("watch_id", [0, 1, 127, 128, 1 << 40, (1 << 63) - 1, -1, -(1 << 63)])
def test_every_watch_id_is_read_back(watch_id: int) -> None:
    assert response(HEADER + encoding.watch_id_field(watch_id)).watch_id == watch_id


def test_control_messages() -> None:
    refused = response(encoding.refused(HEADER, "because of ü"))
    assert (refused.watch_id, refused.created, refused.canceled) == (-1, True, True)
    assert refused.cancel_reason == "because of ü"
    assert refused.header.revision == 2
    compacted = response(encoding.compacted(HEADER, encoding.watch_id_field(9), 300))
    assert (compacted.watch_id, compacted.canceled, compacted.created) == (9, True, False)
    assert (compacted.compact_revision, compacted.cancel_reason) == (300, "")


@pytest.mark.parametrize(
    ("wants", "expected"),
    [
        (0, [2, 3, 4]),
        (encoding.WITHOUT_PUTS, [3]),
        (encoding.WITHOUT_DELETES, [2, 4]),
        (encoding.WITHOUT_PUTS | encoding.WITHOUT_DELETES, []),
    ],
)
def test_filters_drop_events(wants: int, expected: list[int]) -> None:
    found = encoding.batches([event(2), event(3, is_delete=True), event(4)], wants)
    assert [one.kv.mod_revision for batch in found for one in response(batch.body).events] == expected
    if expected:
        assert (found[0].first_revision, found[-1].last_revision) == (expected[0], expected[-1])


@pytest.mark.plain
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40)), max_size=30))
def test_batches_part_only_between_revisions(revisions: list[tuple[int, int]]) -> None:
    events = [event(number, b"x" * size) for number, (count, size) in enumerate(revisions, 2) for _ in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "WATCH_RESPONSE_BYTES", 100)
        found = encoding.batches(events, 0)
    assert b"".join(batch.body for batch in found) == b"".join(one.encoded(0) for one in events)
    for batch in found:
        parts = {one.kv.mod_revision for one in response(batch.body).events}
        assert (min(parts), max(parts)) == (batch.first_revision, batch.last_revision)
        before_the_last = [one for one in batch.events if response(one).events[0].kv.mod_revision < max(parts)]
        assert sum(map(len, before_the_last)) <= 100
    for before, after in itertools.pairwise(found):
        assert before.last_revision < after.first_revision


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_fragments_are_smaller_than_asked_or_of_one_event(sizes: list[int]) -> None:
    events = [event(2, b"x" * size).encoded(0) for size in sizes]
    head = HEADER + encoding.watch_id_field(5)
    parts = encoding.fragments(head, events, 100)
    decoded = [response(part) for part in parts]
    assert b"".join(part[len(head) :].removeprefix(encoding.FRAGMENT) for part in parts) == b"".join(events)
    assert [one.fragment for one in decoded] == [True] * (len(parts) - 1) + [False]
    assert all(one.watch_id == 5 and one.header.revision == 2 for one in decoded)
    for part, one in zip(parts, decoded, strict=True):
        assert len(part) < 100 or len(one.events) == 1
    if len(head) + sum(map(len, events)) < 100:
        assert len(parts) == 1
