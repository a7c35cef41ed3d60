"""Keys and requests of elections and locks."""

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.member.concurrency import recipes


@pytest.mark.parametrize(
    ("name", "lease_id", "key"),
    [
        (b"x", 0x1638A20C9235C80C, b"x/1638a20c9235c80c"),
        (b"", 255, b"/ff"),
        (b"a/b", 1, b"a/b/1"),
        (b"x", -5, b"x/-5"),
        (b"\xff", 16, b"\xff/10"),
    ],
)
def test_keys(name: bytes, lease_id: int, key: bytes) -> None:
    assert recipes.key_of(name, lease_id) == key


def test_a_line_is_all_keys_under_its_name_and_no_others() -> None:
    request = recipes.oldest(recipes.prefix_of(b"x"))
    assert (request.key, request.range_end, request.limit) == (b"x/", b"x0", 1)


def test_those_before_are_the_ones_created_earlier() -> None:
    request = recipes.last_before(b"x/", 7)
    assert request.max_create_revision == 6
    assert (request.sort_order, request.sort_target) == (pb.RangeRequest.DESCEND, pb.RangeRequest.CREATE)


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_place_is_the_create_revision(succeeded: bool) -> None:
    kv = {"kvs": [{"create_revision": 4}]}
    answer = pb.TxnResponse(
        header=pb.ResponseHeader(revision=9), succeeded=succeeded, responses=[pb.ResponseOp(response_range=kv)]
    )
    assert recipes.place_of(answer) == (9 if succeeded else 4)


def test_nobody_touches_a_key_that_is_not_theirs_any_more() -> None:
    for request in (recipes.replace(b"x/1", 4, b"v", 1), recipes.leave(b"x/1", 4)):
        (compare,) = request.compare
        assert (compare.key, compare.target, compare.create_revision) == (b"x/1", pb.Compare.CREATE, 4)
        assert not request.failure
