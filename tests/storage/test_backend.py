"""Rows on disk: scans, snapshots, locks, and what a damaged disk does to reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualmode.errors import StorageError
from dualmode.storage.backend import Backend, new_batch

KEYS = st.binary(max_size=3)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend.open(tmp_path / "store")
    yield backend
    backend.close()


def fill(backend: Backend, rows: dict[bytes, bytes]) -> None:
    batch = new_batch()
    for key, value in rows.items():
        batch.put(key, value)
    backend.write(batch)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.dictionaries(KEYS, st.binary(max_size=2)), KEYS, KEYS, st.integers(0, 4))
def test_scans_are_slices_of_the_sorted_rows(
    backend: Backend, rows: dict[bytes, bytes], low: bytes, high: bytes, limit: int
) -> None:
    batch = new_batch()
    batch.delete_range(b"", b"\xff\xff\xff\xff")
    backend.write(batch)
    fill(backend, rows)
    expected = sorted((key, value) for key, value in rows.items() if low <= key < high)
    assert list(backend.scan(low, high)) == expected
    assert list(backend.scan(low, high, reverse=True)) == expected[::-1]
    assert list(backend.keys(low, high)) == [key for key, _ in expected]
    assert backend.count(low, high) == len(expected)
    first = expected[:limit] if limit else expected
    assert backend.rows(low, high, limit) == first
    assert backend.values(low, high, limit) == [value for _, value in first]
    view = backend.view()
    assert list(view.scan(low, high)) == expected
    assert list(view.keys(low, high)) == [key for key, _ in expected]
    assert view.rows(low, high, limit) == first
    view.close()


def test_a_batch_is_taken_in_order(backend: Backend) -> None:
    batch = new_batch()
    batch.put(b"a", b"1")
    batch.put(b"b", b"1")
    batch.delete(b"a")
    batch.put(b"c", b"1")
    batch.delete_range(b"b", b"d")
    batch.put(b"c", b"2")
    backend.write(batch)
    assert backend.rows(b"", b"\xff") == [(b"c", b"2")]
    assert backend.get(b"a") is None
    assert backend.get_many([b"a", b"c"]) == [None, b"2"]


def test_a_view_stays_as_it_was(backend: Backend) -> None:
    before = {b"%04d" % number: b"old" for number in range(700)}
    fill(backend, before)
    view = backend.view()
    scan = view.scan(b"", b"\xff")
    assert next(scan) == (b"0000", b"old")
    fill(backend, {b"%04d" % number: b"new" for number in range(300, 900)})
    batch = new_batch()
    batch.delete_range(b"0001", b"0300")
    backend.write(batch)
    backend.flush()
    backend.compact(b"", b"\xff")
    assert view.get(b"0500") == b"old"
    assert view.get(b"0800") is None
    assert view.rows(b"0100", b"0102") == [(b"0100", b"old"), (b"0101", b"old")]
    assert [(b"0000", b"old"), *scan] == list(before.items())
    assert backend.get(b"0500") == b"new"
    view.close()
    with pytest.raises(AssertionError, match="closed"):
        view.get(b"0500")


def test_a_view_is_read_in_another_thread(backend: Backend) -> None:
    fill(backend, {b"a": b"1"})
    with ThreadPoolExecutor(1) as pool:
        view = backend.view()
        assert pool.submit(lambda: list(view.scan(b"", b"\xff"))).result() == [(b"a", b"1")]
        pool.submit(view.close).result()


def test_rows_survive_a_close_and_a_flush_makes_them_survive_anything(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path / "store")
    fill(backend, {b"a": b"1"})
    assert backend.size_bytes() > 0
    backend.flush()
    backend.compact(b"", b"\xff")
    backend.close()
    reader = Backend.open(tmp_path / "store", read_only=True)
    assert reader.get(b"a") == b"1"
    with pytest.raises(StorageError, match="cannot write"):
        fill(reader, {b"b": b"1"})
    reader.close()


def test_a_store_that_is_open_elsewhere(tmp_path: Path, backend: Backend) -> None:
    script = f"from dualmode.storage.backend import Backend; Backend.open({str(tmp_path / 'store')!r})"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "another process is using this data directory" in child.stderr


def test_no_store_to_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no store in"):
        Backend.open(tmp_path / "missing", read_only=True)
    assert not (tmp_path / "missing").exists()


def test_a_place_where_no_store_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot open the store in"):
        Backend.open(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot open the store in"):
        Backend.open(tmp_path / "no" / "parent")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("IO error: While lock file: x/LOCK: Resource temporarily unavailable", "another process"),
        ("IO error: No space left on device: while appending", "make room"),
        ("IO error: Permission denied: x", "must be writable"),
        ("IO error: Read-only file system: x", "must be writable"),
        ("Corruption: block checksum mismatch", "restore from a snapshot"),
        ("something else", ""),
    ],
)
def test_advice(text: str, advice: str) -> None:
    from dualmode.storage.backend import _advice

    assert advice in _advice(text)
    assert bool(advice) == bool(_advice(text))


# --- A disk that lies ------------------------------------------------------------------------------------------


def damaged(directory: Path) -> Backend:
    """A store of 3,000 rows with some bytes in the middle of its only table file overwritten."""
    backend = Backend.open(directory)
    fill(backend, {b"%06d" % number: b"%06d" % number * 30 for number in range(3000)})
    backend.flush()
    backend.close()
    (table,) = directory.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 8] = b"\xff" * 8
    table.write_bytes(content)
    return Backend.open(directory)


def test_a_damaged_block_is_an_error_and_never_a_shorter_answer(tmp_path: Path) -> None:
    backend = damaged(tmp_path / "store")
    low, high = b"", b"\xff"
    view = backend.view()
    for read in (
        lambda: list(backend.scan(low, high)),
        lambda: list(backend.scan(low, high, reverse=True)),
        lambda: list(backend.keys(low, high)),
        lambda: backend.count(low, high),
        lambda: backend.rows(low, high),
        lambda: backend.values(low, high),
        lambda: backend.values(low, high, row_of=lambda value: value[:6]),
        lambda: backend.values(low, high, 2500, row_of=lambda value: value[:6]),
        lambda: backend.get_many([b"%06d" % number for number in range(3000)]),
        lambda: [backend.get(b"%06d" % number) for number in range(3000)],
        lambda: [view.get(b"%06d" % number) for number in range(3000)],
        lambda: list(view.scan(low, high)),
    ):
        with pytest.raises(StorageError, match="checksum") as raised:
            read()
        assert "restore from a snapshot" in str(raised.value)
    assert backend.get(b"000000") == b"000000" * 30
    backend.close()


def test_values_that_tell_their_rows_are_the_same_values(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path / "store")
    rows = {b"%02d" % number: b"%02d" % number for number in range(20)}
    fill(backend, rows)
    for low, high in ((b"", b"\xff"), (b"05", b"05"), (b"05", b"08"), (b"19", b"99"), (b"30", b"99")):
        for limit in (0, 1, 3, 100, 2**63):
            found = backend.values(low, high, limit, row_of=lambda value: value)
            assert found == backend.values(low, high, limit)
    backend.close()


def test_a_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path / "store")
    fill(backend, {b"a": b"1"})
    backend.flush()
    backend.close()
    (table,) = (tmp_path / "store").glob("*.sst")
    table.unlink()
    with pytest.raises(StorageError, match="restore from a snapshot"):
        Backend.open(tmp_path / "store")
