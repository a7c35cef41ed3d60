"""Values are dropped from many records at once, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import etcdserverpb, mvccpb
from dualmode.member.kv.keys_only import without_values
from dualmode.member.kv.ranges import field
from dualmode.storage.mvcc import keyvalue

NUMBERS = st.integers(0, 2**63 - 1)
RECORDS = st.builds(
    mvccpb.KeyValue,
    key=st.binary(min_size=1, max_size=200),
    create_revision=NUMBERS,
    mod_revision=NUMBERS,
    version=NUMBERS,
    value=st.binary(max_size=300),
    lease=st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(RECORDS, max_size=5))
def test_only_values_go(records: list[mvccpb.KeyValue]) -> None:
    stored = [record.SerializeToString() for record in records]
    found = without_values(map(field, stored))
    assert found == b"".join(field(keyvalue.without_value(kv)) for kv in stored)
    for record in records:
        record.ClearField("value")
    assert list(etcdserverpb.RangeResponse.FromString(found).kvs) == records
