"""Requests that vary: what each asks for, and how large its answer has to be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from dualmode.api import etcdserverpb, mvccpb
from tests.bench import scripts
from tests.bench.scripts import FIRST_LEASE, PAGE_KEYS, RANGES_BETWEEN_PUTS
from tests.bench.workloads import GRPC_PREFIX

KEYS = [b"field/%06d" % number for number in range(2500)]


def answer(keys: list[bytes], count: int, more: bool = False) -> Any:
    """Revisions that take one to three bytes, as those of a store do."""
    kvs = [
        mvccpb.KeyValue(key=key, value=b"v" * 256, create_revision=it, mod_revision=it, version=1)
        for key in keys
        for it in (int(key[-6:]) * 20 + 2,)
    ]
    header = etcdserverpb.ResponseHeader(cluster_id=1 << 60, member_id=1 << 61, revision=60_000, raft_term=2)
    return etcdserverpb.RangeResponse(header=header, kvs=kvs, count=count, more=more)


def between(request: Any) -> list[bytes]:
    return [key for key in KEYS if request.key <= key < request.range_end]


def request_of(call: scripts.Call) -> Any:
    return etcdserverpb.RangeRequest.FromString(call.body[len(GRPC_PREFIX) :])


def test_changing_intervals_know_the_size_of_each_answer() -> None:
    script = scripts.changing_intervals(answer(KEYS, len(KEYS)))
    asked = set()
    for turn in range(50):
        (call,) = script.chain(3, turn)
        keys = between(request_of(call))
        assert len(keys) == 1000
        assert call.smallest == call.largest == len(GRPC_PREFIX) + answer(keys, 1000).ByteSize()
        asked.add(keys[0])
    assert len(asked) > 40


def test_pages_follow_each_other_through_all_keys() -> None:
    def ask(request: Any) -> Any:
        found = between(request)
        return answer(found[: request.limit], len(found), more=len(found) > request.limit)

    script = scripts.paging(b"field/", b"field0", ask)
    walk = [script.chain(0, turn)[0] for turn in range(3)]
    pages = [between(request_of(call))[:PAGE_KEYS] for call in walk]
    assert [key for page in pages for key in page] == KEYS
    assert script.chain(0, 3) == script.chain(0, 0)
    assert walk[2].smallest < walk[0].smallest  # the last page has 500 keys


def test_puts_come_between_ranges() -> None:
    put = etcdserverpb.PutResponse(header=etcdserverpb.ResponseHeader(revision=5))
    script = scripts.written_between(KEYS[:1000], b"field0", answer(KEYS[:1000], 1000), put)
    period = RANGES_BETWEEN_PUTS + 1
    kinds = [script.chain(0, turn)[0].path for turn in range(2 * period)]
    assert kinds == ([0] * RANGES_BETWEEN_PUTS + [1]) * 2
    ranged = script.chain(0, 0)[0]
    assert ranged.smallest == len(GRPC_PREFIX) + answer(KEYS[:1000], 1000).ByteSize()


def test_every_lease_is_another_and_takes_as_many_bytes() -> None:
    header = etcdserverpb.ResponseHeader(revision=5)
    granted = etcdserverpb.LeaseGrantResponse(header=header, ID=FIRST_LEASE, TTL=600)
    script = scripts.leases(granted, etcdserverpb.LeaseRevokeResponse(header=header))
    seen = set()
    for slot in (0, 1, 999):
        for turn in (0, 1, scripts.LEASES_OF_A_SLOT - 1):
            grant, revoke = script.chain(slot, turn)
            lease = etcdserverpb.LeaseGrantRequest.FromString(grant.body[5:]).ID
            assert lease == etcdserverpb.LeaseRevokeRequest.FromString(revoke.body[5:]).ID
            seen.add(lease)
            response = etcdserverpb.LeaseGrantResponse(header=header, ID=lease, TTL=600)
            assert grant.smallest == grant.largest == len(GRPC_PREFIX) + response.ByteSize()
    assert len(seen) == 9


def test_a_loader_that_repeats_or_shuffles() -> None:
    same = scripts.repeated("/x", b"body", 7)
    assert same.chain(1, 2) == same.chain(3, 4)
    bodies = [b"%d" % number for number in range(100)]
    shuffled = scripts.shuffled("/x", bodies, 7)
    following = [shuffled.chain(0, turn)[0].body for turn in range(100)]
    assert sorted(following) == sorted(bodies)
    assert all(one != other for one, other in pairwise(following))
