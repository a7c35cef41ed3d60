"""A Put is read from a log entry by a short way; what it gives is held against protobuf's."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import etcdserverpb
from dualmode.member.apply import requests
from dualmode.member.auth.caller import Caller

PUT = etcdserverpb.PutRequest(key=b"key", value=b"value", lease=7).SerializeToString()


@given(
    key=st.binary(min_size=1, max_size=40),
    value=st.integers(0, 20_000),
    request_id=st.sampled_from([1, 127, 128, 2**35, 2**63, 2**64 - 1]),
)
def test_a_put_comes_back_as_it_went(key: bytes, value: int, request_id: int) -> None:
    request = etcdserverpb.PutRequest(key=key, value=b"v" * value, prev_kv=True)
    data = etcdserverpb.InternalRaftRequest(
        header=etcdserverpb.RequestHeader(ID=request_id), put=request
    ).SerializeToString()
    decoded = requests.decode(data)
    assert (decoded.kind, decoded.request, decoded.request_id) == (requests.PUT, request, request_id)
    assert requests.decode(requests.encode(requests.PUT, request.SerializeToString(), 77)).request == request


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2**14, 2**40, 2**63, 2**64 - 2**14]), st.integers(0, 2**14 - 1)), max_size=8
    ),
)
def test_ids_that_have_their_high_bytes_in_common(parts: list[tuple[int, int]]) -> None:
    """Each is read by itself, whatever was read before; bits above the sixty-fourth are no part of it."""
    for high, low in parts:
        request_id = high + low
        assert requests.decode(requests.encode(requests.PUT, PUT, request_id)).request_id == request_id
        longer = requests.encode(requests.PUT, PUT, 2**64 - 1)
        longer = longer[:-1] + bytes((longer[-1] | 0x7E,))
        assert requests.decode(longer).request_id == 2**64 - 1


def test_a_put_for_somebody_keeps_its_caller() -> None:
    decoded = requests.decode(requests.encode(requests.PUT, PUT, 300, Caller("root", 5)))
    assert (decoded.request_id, decoded.caller) == (300, Caller("root", 5))


@given(st.integers(0, 40), st.binary(max_size=3))
def test_other_bytes_are_read_as_protobuf_reads_them(cut: int, tail: bytes) -> None:
    """Cut anywhere, with anything behind: the same request, or the same refusal."""
    whole = requests.encode(requests.PUT, PUT, 300)
    data = whole[:cut] + tail
    try:
        expected = etcdserverpb.InternalRaftRequest.FromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            requests.decode(data)
        return
    decoded = requests.decode(data)
    if decoded.kind == requests.PUT:
        assert decoded.request == expected.put
    assert decoded.request_id == (expected.header.ID or expected.ID)
