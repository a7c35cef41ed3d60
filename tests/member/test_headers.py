"""The bytes of response headers against protobuf's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import etcdserverpb
from dualmode.member.headers import ResponseHeaders

ids = st.integers(1, 2**64 - 1)


@given(ids, ids, st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1))
def test_header_bytes_are_protobufs(cluster: int, member: int, revision: int, term: int) -> None:
    headers = ResponseHeaders(cluster, member)
    headers.term = term
    expected = etcdserverpb.ResponseHeader(cluster_id=cluster, member_id=member, revision=revision, raft_term=term)
    assert headers.field(revision) == etcdserverpb.PutResponse(header=expected).SerializeToString()


@pytest.mark.parametrize("change", ["revision", "term"])
def test_kept_bytes_follow_what_they_are_made_from(change: str) -> None:
    headers = ResponseHeaders(1, 2)
    before = headers.field(5)
    assert headers.field(5) == before
    if change == "term":
        headers.term = 9
        assert headers.field(5) != before
    else:
        assert headers.field(6) != before
