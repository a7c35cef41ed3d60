"""Answers that are remembered are the answers that the store gives, whatever happens in between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.kv import checks, ranges
from dualmode.member.kv.counts import Counts
from dualmode.member.kv.remembered_answers import RememberedAnswers
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.changes import Change, Commit
from dualmode.storage.mvcc.interval import contains, interval
from dualmode.storage.mvcc.store import Store

HEADER = b"\x0a\x02\x18\x07"


class Reads:
    """Range as the service answers it, without the service."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.store = store
        self.counts = Counts(store)
        self.answers = RememberedAnswers(**options)
        store.on_change = self.answers.on_change
        self.remembered = 0

    def range(self, message: bytes) -> bytes:
        known = self.answers.get(message)
        if known is not None:
            self.remembered += 1
            return HEADER + known.body
        request = pb.RangeRequest.FromString(message)
        checks.check_range(request)
        answer = ranges.execute(self.store, request, HEADER, self.counts)
        self.answers.note(message, request, answer, len(HEADER))
        return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Keys 00 to 19."""
    backend = Backend.open(tmp_path / "store")
    store = Store(backend)
    put(store, *(b"%02d" % number for number in range(20)))
    yield store
    store.backend.close()


def put(store: Store, *keys: bytes) -> None:
    store.begin_pass()
    for key in keys:
        store.put(key, b"v")
    store.end_pass(store.applied_index + 1, 1)


def message(**fields: Any) -> bytes:
    return bytes(pb.RangeRequest(**fields).SerializeToString())


ALL = message(key=b"\0", range_end=b"\0")
ONES = message(key=b"1", range_end=b"2")


def test_the_second_answer_is_kept_and_the_third_is_it(store: Store) -> None:
    reads = Reads(store)
    first = reads.range(ONES)
    assert len(reads.answers) == 0
    assert reads.range(ONES) == reads.range(ONES) == first
    assert reads.remembered == 1
    known = reads.answers.get(ONES)
    assert known is not None
    assert (known.key, known.range_end, known.is_serializable) == (b"1", b"2", False)


@pytest.mark.parametrize(
    ("fields", "inside", "outside"),
    [
        ({"key": b"1", "range_end": b"2"}, [b"1", b"10", b"1\xff"], [b"0\xff", b"2", b"\0", b"\xff"]),
        ({"key": b"1", "range_end": b"\0"}, [b"1", b"2", b"\xff\xff"], [b"0\xff", b"\0"]),
        ({"key": b"\0", "range_end": b"\0"}, [b"\0", b"a", b"\xff"], []),
        ({"key": b"1", "range_end": b"2", "count_only": True, "serializable": True}, [b"1"], [b"2"]),
    ],
)
def test_a_change_ends_it_where_it_belongs_there(
    store: Store, fields: dict[str, Any], inside: list[bytes], outside: list[bytes]
) -> None:
    reads = Reads(store)
    text = message(**fields)
    for key in outside:
        reads.range(text)
        reads.range(text)
        put(store, key)
        assert reads.answers.get(text) is not None
    for key in inside:
        reads.range(text)
        reads.range(text)
        assert reads.answers.get(text) is not None
        put(store, key)
        assert reads.answers.get(text) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"key": b"1"},
        {"key": b"1", "serializable": True},
        {"key": b"1", "range_end": b"2", "revision": 2},
        {"key": b"2", "range_end": b"1"},
        {"key": b"1", "range_end": b"1"},
        {"key": b"1" * limits.REMEMBERED_REQUEST_BYTES, "range_end": b"2"},
    ],
)
def test_what_is_not_kept(store: Store, fields: dict[str, Any]) -> None:
    reads = Reads(store)
    for _ in range(3):
        reads.range(message(**fields))
    assert len(reads.answers) == 0


def test_faults_are_not_kept(store: Store) -> None:
    reads = Reads(store)
    for _ in range(3):
        with pytest.raises(RpcError):
            reads.range(message(range_end=b"a"))
        with pytest.raises(RpcError):
            reads.range(message(key=b"a", range_end=b"b", revision=1000))
    assert len(reads.answers) == 0


def test_another_backend_ends_all(store: Store, tmp_path: Path) -> None:
    reads = Reads(store)
    reads.range(ALL)
    reads.range(ALL)
    other = Backend.open(tmp_path / "other")
    former = store.backend
    store.replace_backend(other)
    former.close()
    assert len(reads.answers) == reads.answers.size_bytes == 0
    assert reads.range(ALL) == HEADER


def test_who_is_always_changed_first_is_kept_ever_more_rarely(store: Store) -> None:
    reads = Reads(store)
    kept = []
    for number in range(200):
        reads.range(ONES)
        if len(reads.answers):
            kept.append(number)
        put(store, b"15")
    assert [later - earlier for earlier, later in pairwise(kept)] == [2, 4, 8, 16, 32, 32, 32, 32, 32]
    # Once it has been of use it is kept again at once.
    while not reads.remembered:
        reads.range(ONES)
    put(store, b"15")
    reads.range(ONES)
    assert len(reads.answers) == 1


def test_memory_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_ANSWERS", 3)
    monkeypatch.setattr(limits, "REMEMBERED_REQUESTS", 5)
    reads = Reads(store)
    pages = [message(key=b"%02d" % number, range_end=b"\0", limit=1) for number in range(6)]
    for page in pages[:4]:
        reads.range(page)
        reads.range(page)
        reads.range(pages[0])
    assert [reads.answers.get(page) is not None for page in pages] == [True, False, True, True, False, False]
    for number in range(20):
        reads.range(message(key=b"a", range_end=b"b%02d" % number))
    assert len(reads.answers._asked) == 5

    small = Reads(store, budget_bytes=3 * limits.REMEMBERED_ANSWER_OVERHEAD_BYTES)
    for page in pages[:3]:
        small.range(page)
        small.range(page)
    assert len(small.answers) == 2
    assert small.answers.get(pages[0]) is None
    put(store, b"05")
    assert small.answers.size_bytes == 0


def test_the_largest_are_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_ANSWER_BYTES", 100)
    reads = Reads(store)
    for _ in range(3):
        reads.range(ALL)
        reads.range(message(key=b"1", range_end=b"2", limit=2))
    assert len(reads.answers) == 1


# --- Against models -------------------------------------------------------------------------------------------------

KEYS = st.lists(st.sampled_from([0, 1, 255]), min_size=1, max_size=3).map(bytes)
ENDS = st.just(b"") | st.just(b"\0") | KEYS


@given(
    st.lists(st.tuples(KEYS, ENDS), min_size=1, max_size=30),
    st.lists(KEYS, max_size=20),
    st.randoms(use_true_random=False),
)
def test_changes_end_what_a_list_says(intervals: list[tuple[bytes, bytes]], keys: list[bytes], random: Any) -> None:
    """The union and the tree, without a store: exactly those end that have the key."""
    answers = RememberedAnswers()
    present: dict[bytes, tuple[bytes, bytes | None]] = {}
    pending = list(intervals)
    for key in keys:
        for _ in range(random.randrange(4)):
            if pending:
                low, end = pending.pop()
                bounds = interval(low, end)
                for limit in range(random.randrange(1, 3)):
                    text = keep(answers, pb.RangeRequest(key=low, range_end=end, limit=limit))
                    if end and (bounds[1] is None or bounds[0] < bounds[1]):
                        present[text] = bounds
        answers.on_change([Commit(2, [Change(key, b"", True, None)])])
        present = {text: bounds for text, bounds in present.items() if not contains(*bounds, key)}
        assert set(answers._answers) == set(present)
        edges = answers._edges
        assert edges == sorted(set(edges))
        assert all(bool(_inside(edges, low)) for low, _ in present.values())


def keep(answers: RememberedAnswers, request: Any) -> bytes:
    """Asks until even the least patient is kept."""
    text: bytes = request.SerializeToString()
    for _ in range(2 * limits.REMEMBERED_PATIENCE):
        if answers.get(text) is None:
            answers.note(text, request, HEADER, len(HEADER))
    return text


def _inside(edges: list[bytes], key: bytes) -> int:
    return sum(edge <= key for edge in edges) & 1


REQUESTS = st.builds(
    message,
    key=KEYS,
    range_end=ENDS,
    limit=st.sampled_from([0, 0, 1, 2]),
    count_only=st.booleans(),
    keys_only=st.booleans(),
    serializable=st.booleans(),
    sort_order=st.sampled_from([0, 0, 1, 2]),
    sort_target=st.sampled_from([0, 0, 1, 2, 3, 4]),
    min_mod_revision=st.sampled_from([0, 0, 0, 4]),
    max_create_revision=st.sampled_from([0, 0, 0, 6]),
    revision=st.sampled_from([0, 0, 0, 0, -1, 3]),
)
WRITES = st.one_of(
    st.tuples(st.just("put"), KEYS),
    st.tuples(st.just("delete"), KEYS, ENDS),
    st.tuples(st.just("compact"), st.integers(1, 3)),
)
PASSES = st.tuples(st.booleans(), st.lists(WRITES, min_size=1, max_size=3))


def write(store: Store, is_transaction: bool, writes: list[tuple[Any, ...]]) -> None:
    """One pass; as one revision if it is a transaction."""
    store.begin_pass()
    if is_transaction:
        store.begin_transaction()
    for kind, *args in writes:
        if kind == "put":
            store.put(args[0], b"v%d" % store.revision, lease=store.revision % 2)
        elif kind == "delete":
            store.delete_range(*args)
        elif not is_transaction and store.compacted < store.revision - args[0]:
            store.compact(store.revision - args[0])
    if is_transaction:
        store.commit_transaction()
    store.end_pass(store.applied_index + 1, 1)
    store.compaction_step(10)


@settings(max_examples=40, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=6), st.lists(st.none() | PASSES, max_size=30), st.data())
def test_answers_are_those_of_the_store(requests: list[bytes], steps: list[Any], data: Any) -> None:
    """Few requests, asked after any writes: byte for byte what the plain path gives, faults included."""
    with tempfile.TemporaryDirectory() as folder:
        backend = Backend.open(Path(folder) / "store")
        store = Store(backend)
        reads = Reads(store)
        for step in steps:
            if step is not None:
                write(store, *step)
            text = data.draw(st.sampled_from(requests))
            for _ in range(2):
                assert outcome(lambda text=text: reads.range(text)) == outcome(lambda text=text: plain(store, text))
        backend.close()


def plain(store: Store, text: bytes) -> bytes:
    return ranges.execute(store, pb.RangeRequest.FromString(text), HEADER)


def outcome(read: Any) -> Any:
    try:
        return read()
    except RpcError as error:
        return error.code, error.message
