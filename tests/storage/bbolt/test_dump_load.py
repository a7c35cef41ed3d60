"""A store that is dumped and loaded again is the same store, and etcd's buckets are as etcd has them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualmode.errors import StorageError
from dualmode.storage.backend import Backend
from dualmode.storage.bbolt.dump import dump
from dualmode.storage.bbolt.load import EtcdMeta, load
from dualmode.storage.bbolt.reader import BboltFile
from dualmode.storage.bbolt.writer import Writer
from dualmode.storage.mvcc import rows
from dualmode.storage.mvcc.store import Store
from tests.storage.bbolt.trees import Tree, checked, written

CONF_STATE = b'{"voters":[1],"auto_leave":false}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


def dumped(store: Store) -> bytes:
    file = io.BytesIO()
    view = store.backend.view()
    dump(view, CONF_STATE, Writer(file))
    view.close()
    return file.getvalue()


def loaded(data: bytes, directory: Path, bump: int = 0) -> Store:
    backend = Backend.open(directory)
    found = load(BboltFile(data), backend, bump)
    found.write_state(backend, found.meta.consistent_index, found.meta.term)
    return Store(backend)


def contents(store: Store) -> dict[bytes, bytes]:
    """All rows but those that a snapshot does not carry."""
    return {
        row: value
        for row, value in store.backend.scan(b"", b"\xff")
        if not row.startswith((b"Bdualmode", b"Bmembers", b"Bcluster"))
    }


def fill(store: Store) -> None:
    store.begin_pass()
    store.leases.save(7, 100, 50)
    store.leases.save((1 << 62) + 1, 200)
    for number in range(40):
        store.put(b"key%d" % (number % 9), b"%d" % number, 7 if number % 2 else 0)
    store.delete_range(b"key3")
    store.begin_transaction()
    store.put(b"a", b"x" * 10_000)
    store.delete_range(b"key5", b"key7")
    store.commit_transaction()
    store.bucket_put(b"alarm", b"\x08\x01\x10\x01", b"")
    store.bucket_put(b"auth", b"authRevision", bytes(8))
    store.bucket_put(b"authUsers", b"alice", b"\x0a\x05alice")
    store.bucket_put(b"authRoles", b"reader", b"\x0a\x06reader")
    store.bucket_put(b"members", b"1", b'{"id":1}')
    store.bucket_put(b"members_removed", b"2", b"removed")
    store.bucket_put(b"cluster", b"clusterVersion", b"3.6.0")
    store.bucket_put(b"dualmode", b"logSnapshot", b"{}")
    store.end_pass(12, 3)


def test_a_store_comes_back_row_by_row(store: Store, tmp_path: Path) -> None:
    fill(store)
    copy = loaded(dumped(store), tmp_path / "copy")
    assert contents(copy) == contents(store)
    assert copy.hash_by_revision() == store.hash_by_revision()
    copy.backend.close()


def test_a_compaction_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.begin_pass()
    store.compact(30)
    store.end_pass(13, 3)
    halfway = loaded(dumped(store), tmp_path / "halfway")
    assert halfway.compacted == 30
    assert halfway.hash_by_revision() == store.hash_by_revision()
    assert store.compaction_step(1000)
    assert halfway.compaction_step(1000)
    assert contents(halfway) == contents(store)
    done = loaded(dumped(store), tmp_path / "done")
    assert contents(done) == contents(store)
    halfway.backend.close()
    done.backend.close()


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "compact"]), st.binary(min_size=1, max_size=2), st.integers(0, 3)),
    max_size=40,
)


@given(OPERATIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_comes_back(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, bytes, int]]
) -> None:
    directory = tmp_path_factory.mktemp("stores")
    store = Store(Backend.open(directory / "store"))
    store.begin_pass()
    store.leases.save(1, 10)
    store.leases.save(2, 10)
    store.end_pass(1, 1)
    for index, (what, key, lease) in enumerate(operations, 2):
        store.begin_pass()
        if what == "put":
            store.put(key, b"v%d" % index, lease if lease < 3 else 0)
        elif what == "delete":
            store.delete_range(key, b"\xff")
        elif store.revision > store.compacted:
            store.compact(store.revision)
        store.end_pass(index, 1)
        if what == "compact" and lease:
            store.compaction_step(lease)
    copy = loaded(dumped(store), directory / "copy")
    assert copy.hash_by_revision() == store.hash_by_revision()
    while not (store.compaction_step(100) and copy.compaction_step(100)):
        pass
    assert contents(copy) == contents(store)
    store.backend.close()
    copy.backend.close()


def test_the_buckets_are_those_of_etcd_3_5(store: Store) -> None:
    fill(store)
    tree = checked(dumped(store))
    assert sorted(tree) == [
        b"alarm", b"auth", b"authRoles", b"authUsers", b"cluster",
        b"key", b"lease", b"members", b"members_removed", b"meta",
    ]  # fmt: skip
    assert tree[b"meta"] == {
        b"confState": CONF_STATE,
        b"consistent_index": (12).to_bytes(8, "big"),
        b"term": (3).to_bytes(8, "big"),
    }
    # What says 3.6 would keep an etcd 3.5 from starting; 3.6 raises the version by itself.
    assert tree[b"cluster"] == {b"clusterVersion": b"3.5.0"}
    assert tree[b"members"] == {b"1": b'{"id":1}'}
    first, *_, last = tree[b"key"]
    assert first == bytes(7) + b"\x02_" + bytes(8)
    assert last == bytes(7) + b"\x2b_" + bytes(7) + b"\x02t"


@pytest.mark.parametrize(
    ("version", "readable_by", "cluster", "storage"),
    [
        (b"3.6.0", (3, 5), b"3.5.0", None),
        (b"3.6.0", None, b"3.6.0", b"3.6.0"),
        (b"3.10.0", (3, 6), b"3.6.0", b"3.6.0"),
        (b"3.4.0", (3, 5), b"3.4.0", None),
        (b"3.5.0", None, b"3.5.0", None),
        (b"unknown", (3, 5), b"unknown", None),
        (None, (3, 5), None, None),
    ],
)
def test_which_release_a_file_names(
    store: Store,
    version: bytes | None,
    readable_by: tuple[int, int] | None,
    cluster: bytes | None,
    storage: bytes | None,
) -> None:
    store.begin_pass()
    if version is not None:
        store.bucket_put(b"cluster", b"clusterVersion", version)
    store.end_pass(1, 1)
    file = io.BytesIO()
    dump(store.backend.view(), CONF_STATE, Writer(file), readable_by=readable_by)
    tree = checked(file.getvalue())
    assert dict(tree[b"cluster"]).get(b"clusterVersion") == cluster  # type: ignore[arg-type]
    assert dict(tree[b"meta"]).get(b"storageVersion") == storage  # type: ignore[arg-type]


def test_compacted_revisions_are_in_meta(store: Store) -> None:
    fill(store)
    store.begin_pass()
    store.compact(30)
    store.end_pass(13, 3)
    meta = EtcdMeta.read(BboltFile(dumped(store)))
    assert (meta.scheduled_compaction, meta.finished_compaction) == (30, -1)
    store.compaction_step(1000)
    meta = EtcdMeta.read(BboltFile(dumped(store)))
    assert (meta.scheduled_compaction, meta.finished_compaction) == (30, 30)
    assert (meta.consistent_index, meta.term, meta.conf_state) == (13, 3, CONF_STATE)


def test_a_bumped_revision_compacts_everything_before_it(store: Store, tmp_path: Path) -> None:
    fill(store)
    copy = loaded(dumped(store), tmp_path / "copy", bump=1000)
    assert copy.revision == store.revision + 1000
    assert copy.compacted == copy.revision
    before = copy.select(b"\0", b"\0")
    assert before == store.select(b"\0", b"\0")
    early = copy.hash_by_revision()
    assert copy.compaction_step(10_000)
    assert copy.hash_by_revision() == early
    # Once more, from a file that has such a record already.
    again = loaded(dumped(copy), tmp_path / "again", bump=1)
    assert again.revision == copy.revision + 1
    assert again.compaction_step(10_000)
    assert again.select(b"\0", b"\0") == before
    copy.backend.close()
    again.backend.close()


def test_an_empty_store_has_revision_one(tmp_path: Path) -> None:
    store = loaded(written({}), tmp_path / "store")
    assert (store.revision, store.compacted, store.applied_index) == (1, -1, 0)
    store.backend.close()


def test_nothing_was_ever_applied(store: Store) -> None:
    with pytest.raises(StorageError, match="no state row"):
        dumped(store)


def test_keys_of_leases_that_are_gone_are_told_of(tmp_path: Path) -> None:
    record = b"\x0a\x01k\x10\x02\x18\x02\x20\x01\x30\x05"
    backend = Backend.open(tmp_path / "store")
    found = load(BboltFile(written({b"key": {rows.revision_row(2, 0)[1:]: record}})), backend)
    assert found.lost_leases == {5}
    assert list(backend.keys(rows.ATTACHMENT, rows.BUCKET)) == []
    backend.close()


REVISION = rows.revision_row(2, 0)[1:]


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({b"key": {b"short": b""}}, "is no revision"),
        ({b"key": {REVISION + b"x": b""}}, "is no revision"),
        ({b"key": {REVISION.replace(b"_", b"-"): b""}}, "is no revision"),
        ({b"key": {b"\xff" + REVISION[1:]: b""}}, "is no revision"),
        ({b"key": {REVISION: b"\xff\xff"}}, "stored key-value"),
        ({b"key": {REVISION: b"\x0a\x01k\x10\x02\x18\x03\x20\x01"}}, "at revision 2 says that it is of 3"),
        ({b"lease": {bytes(8): b"\xff"}}, "stored lease"),
        ({b"meta": {b"consistent_index": b"1"}}, "consistent_index has 1 bytes"),
        ({b"meta": {b"term": bytes(9)}}, "term has 9 bytes"),
        ({b"meta": {b"scheduledCompactRev": b""}}, "is no revision"),
    ],
)
def test_records_that_etcd_would_not_write_are_refused(tmp_path: Path, tree: Tree, complaint: str) -> None:
    backend = Backend.open(tmp_path / "store")
    with pytest.raises(StorageError, match=complaint):
        load(BboltFile(written(tree)), backend)
    backend.close()
