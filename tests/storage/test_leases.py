"""Lease rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualmode.api import leasepb
from dualmode.errors import StorageError
from dualmode.storage.backend import Backend
from dualmode.storage.leases import LeaseRow, decode_lease, encode_lease
from dualmode.storage.mvcc import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


@pytest.mark.parametrize("lease", [LeaseRow(1, 60), LeaseRow(7587848943239472905, 9_000_000_000, 5), LeaseRow(-2, 3)])
def test_a_lease_has_the_bytes_of_protobuf(lease: LeaseRow) -> None:
    message = leasepb.Lease(ID=lease.lease_id, TTL=lease.ttl_seconds, RemainingTTL=lease.remaining_seconds)
    assert encode_lease(lease) == message.SerializeToString()
    assert decode_lease(message.SerializeToString()) == lease


@pytest.mark.parametrize("damaged", [b"\x08", b"\x08\xff", b"\x0a\x01a"])
def test_damaged_leases_are_refused(damaged: bytes) -> None:
    with pytest.raises(StorageError):
        decode_lease(damaged)


def test_leases_and_their_keys(store: Store) -> None:
    leases = store.leases
    store.begin_pass()
    leases.save(9, 60)
    leases.save(255, 70, 5)
    leases.save(3, 10)
    store.put(b"b", b"1", 255)
    store.put(b"a\x00", b"1", 255)
    store.put(b"c", b"1", 9)
    assert leases.keys_of(255) == [b"a\x00", b"b"]
    store.end_pass(1, 1)
    assert leases.all() == [LeaseRow(3, 10), LeaseRow(9, 60), LeaseRow(255, 70, 5)]
    assert leases.get(255) == LeaseRow(255, 70, 5)
    assert leases.get(4) is None
    store.begin_pass()
    store.put(b"b", b"2", 9)  # moves
    store.put(b"c", b"2")  # detaches
    assert leases.keys_of(9) == [b"b"]
    assert leases.keys_of(255) == [b"a\x00"]
    store.delete_range(b"a", b"z")
    leases.remove(255)
    store.end_pass(2, 1)
    assert leases.keys_of(9) == leases.keys_of(255) == []
    assert leases.get(255) is None
