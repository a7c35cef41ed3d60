"""The KeyValue codec against protobuf's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import mvccpb
from dualmode.errors import StorageError
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

REVISIONS = st.one_of(st.integers(1, 200), st.integers(1, (1 << 63) - 1))
INT64 = st.one_of(st.integers(-3, 300), st.integers(-(1 << 63), (1 << 63) - 1))
KEYS = st.one_of(st.binary(min_size=1, max_size=5), st.binary(min_size=120, max_size=135), st.just(b"k" * 20_000))
VALUES = st.one_of(st.binary(max_size=5), st.binary(min_size=120, max_size=300))


def protobuf(key: bytes, create: int, mod: int, version: int, value: bytes, lease: int) -> bytes:
    record = mvccpb.KeyValue(
        key=key, create_revision=create, mod_revision=mod, version=version, value=value, lease=lease
    )
    return bytes(record.SerializeToString())


@given(st.one_of(st.just(b""), KEYS), INT64, INT64, INT64, VALUES, INT64)
def test_encode_gives_the_bytes_of_protobuf_and_fields_reads_them(
    key: bytes, create: int, mod: int, version: int, value: bytes, lease: int
) -> None:
    encoded = keyvalue.encode(key, create, mod, version, value, lease)
    assert encoded == protobuf(key, create, mod, version, value, lease)
    assert keyvalue.fields(encoded) == (key, create, mod, version, value, lease)


@given(KEYS, REVISIONS, VALUES, INT64)
def test_a_first_version(key: bytes, revision: int, value: bytes, lease: int) -> None:
    first = keyvalue.encode_first(key, varint(revision), value, lease)
    assert first == protobuf(key, revision, revision, 1, value, lease)


@given(KEYS, REVISIONS, REVISIONS, st.integers(1, (1 << 63) - 2), VALUES, INT64, REVISIONS, VALUES, INT64)
def test_a_next_version_keeps_the_creation_and_tells_the_old_lease(
    key: bytes,
    create: int,
    mod: int,
    version: int,
    old_value: bytes,
    old_lease: int,
    revision: int,
    value: bytes,
    lease: int,
) -> None:
    previous = protobuf(key, create, mod, version, old_value, old_lease)
    following, lease_before = keyvalue.encode_next(previous, key, varint(revision), value, lease)
    assert following == protobuf(key, create, revision, version + 1, value, lease)
    assert lease_before == old_lease


@given(KEYS, REVISIONS, REVISIONS, REVISIONS, VALUES, INT64)
def test_single_fields_are_read_without_the_rest(
    key: bytes, create: int, mod: int, version: int, value: bytes, lease: int
) -> None:
    encoded = protobuf(key, create, mod, version, value, lease)
    assert keyvalue.key_of(encoded) == key
    assert keyvalue.lease_of(encoded) == lease
    assert keyvalue.mod_revision_of(encoded) == mod


@given(KEYS, REVISIONS)
def test_tombstones(key: bytes, revision: int) -> None:
    stored = keyvalue.encode_tombstone(key)
    assert stored == protobuf(key, 0, 0, 0, b"", 0)
    assert keyvalue.mod_revision_of(stored) == 0
    assert keyvalue.encode_deleted(key, varint(revision)) == protobuf(key, 0, revision, 0, b"", 0)


@given(KEYS, REVISIONS, VALUES, st.data())
def test_cut_records_are_refused_or_end_at_a_field(
    key: bytes, revision: int, value: bytes, data: st.DataObject
) -> None:
    encoded = protobuf(key, revision, revision, 1, value, 7)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    try:
        read = keyvalue.fields(encoded[:cut])
    except StorageError:
        return
    assert keyvalue.encode(*read) == encoded[:cut]


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (b"\x10\x01\x0a\x01k", "out of order"),
        (b"\x0a\x01k\x0a\x01k", "out of order"),
        (b"\x0a\x05k", "ends inside field 1"),
        (b"\x0a\x01k\x3a\x00", "unknown field"),
        (b"\x10\xff", "ends inside a number"),
        (b"\x10" + b"\xff" * 11, "ten bytes"),
    ],
)
def test_what_is_no_key_value_is_refused(record: bytes, complaint: str) -> None:
    with pytest.raises(StorageError, match=complaint):
        keyvalue.fields(record)


@given(KEYS, REVISIONS, REVISIONS, REVISIONS, VALUES, INT64)
def test_without_value(key: bytes, create: int, mod: int, version: int, value: bytes, lease: int) -> None:
    kv = protobuf(key, create, mod, version, value, lease)
    assert keyvalue.without_value(kv) == protobuf(key, create, mod, version, b"", lease)
