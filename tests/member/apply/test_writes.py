"""Put, DeleteRange and Compact as etcd answers them."""

from typing import Any

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from tests.member.apply.conftest import Bench


def put(bench: Bench, key: bytes, value: bytes = b"", **fields: Any) -> Any:
    return bench.apply(requests.PUT, pb.PutRequest(key=key, value=value, **fields), pb.PutResponse)


def delete(bench: Bench, key: bytes, range_end: bytes = b"", **fields: Any) -> Any:
    request = pb.DeleteRangeRequest(key=key, range_end=range_end, **fields)
    return bench.apply(requests.DELETE_RANGE, request, pb.DeleteRangeResponse)


def test_a_put_advances_the_revision_and_tells_the_record_before(bench: Bench) -> None:
    first = put(bench, b"a", b"1")
    assert (first.header.revision, first.header.cluster_id, first.header.member_id) == (2, 1, 2)
    assert not first.HasField("prev_kv")
    second = put(bench, b"a", b"2", prev_kv=True)
    assert second.header.revision == 3
    assert (second.prev_kv.value, second.prev_kv.version, second.prev_kv.mod_revision) == (b"1", 1, 2)


def test_what_is_ignored_is_kept(bench: Bench) -> None:
    bench.apply(requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=7, TTL=60), pb.LeaseGrantResponse)
    put(bench, b"a", b"1", lease=7)
    put(bench, b"a", ignore_value=True)
    before = put(bench, b"a", b"2", ignore_lease=True, prev_kv=True).prev_kv
    assert (before.value, before.lease) == (b"1", 0)
    put(bench, b"a", b"3", lease=7)
    put(bench, b"a", b"4", ignore_lease=True)
    after = put(bench, b"a", prev_kv=True).prev_kv
    assert (after.value, after.lease) == (b"4", 7)


def test_a_put_that_cannot_be_done_changes_nothing(bench: Bench) -> None:
    assert put(bench, b"a", b"1", lease=9) == errors.LEASE_NOT_FOUND
    assert put(bench, b"a", ignore_value=True) == errors.KEY_NOT_FOUND
    assert put(bench, b"a", ignore_value=True, lease=9) == errors.LEASE_NOT_FOUND
    assert bench.store.revision == 1


def test_deleting_advances_the_revision_only_if_something_went(bench: Bench) -> None:
    put(bench, b"a", b"1")
    put(bench, b"b", b"2")
    nothing = delete(bench, b"x", prev_kv=True)
    assert (nothing.header.revision, nothing.deleted, len(nothing.prev_kvs)) == (3, 0, 0)
    both = delete(bench, b"a", b"\0", prev_kv=True)
    assert (both.header.revision, both.deleted) == (4, 2)
    assert [kv.key for kv in both.prev_kvs] == [b"a", b"b"]


def test_compacting_what_is_gone_or_not_there_yet(bench: Bench) -> None:
    put(bench, b"a", b"1")
    compact = lambda revision: bench.apply(  # noqa: E731
        requests.COMPACTION, pb.CompactionRequest(revision=revision), pb.CompactionResponse
    )
    assert compact(3) == errors.FUTURE_REVISION
    assert compact(2).header.revision == 2
    assert compact(2) == errors.COMPACTED
    assert compact(1) == errors.COMPACTED


def test_a_revoked_lease_takes_its_keys_at_one_revision(bench: Bench) -> None:
    bench.apply(requests.LEASE_GRANT, pb.LeaseGrantRequest(ID=7, TTL=60), pb.LeaseGrantResponse)
    put(bench, b"b", lease=7)
    put(bench, b"a", lease=7)
    answer = bench.apply(requests.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=7), pb.LeaseRevokeResponse)
    assert answer.header.revision == 4
    assert bench.store.select(b"\0", b"\0", 0, 0) == []
    assert bench.apply(requests.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=7), pb.LeaseRevokeResponse) == (
        errors.LEASE_NOT_FOUND
    )


def test_alarms_are_a_set_that_survives(bench: Bench) -> None:
    raise_it = pb.AlarmRequest(action=1, memberID=5, alarm=1)
    for _ in range(2):
        assert len(bench.apply(requests.ALARM, raise_it, pb.AlarmResponse).alarms) == 1
    reread = type(bench.applier.alarms)(bench.store)
    assert [(one.memberID, one.alarm) for one in reread.raised()] == [(5, 1)]
    clear = pb.AlarmRequest(action=2, memberID=5, alarm=1)
    assert len(bench.apply(requests.ALARM, clear, pb.AlarmResponse).alarms) == 1
    assert len(bench.apply(requests.ALARM, clear, pb.AlarmResponse).alarms) == 0
    assert not bench.applier.alarms.is_raised(1)


def test_an_entry_of_a_kind_that_is_not_known_changes_nothing(bench: Bench) -> None:
    assert bench.apply(9999, None, pb.PutResponse).header.revision == 1
