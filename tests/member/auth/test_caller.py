"""Who an entry is for, in the bytes of the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import etcdserverpb as pb
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY, Caller

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(names, st.integers(1, 2**64 - 1), st.integers(1 << 14, 2**64 - 1), st.sampled_from([requests.PUT, 1100]))
def test_written_as_protobuf_writes_it_and_read_back(name: str, revision: int, request_id: int, kind: int) -> None:
    message = pb.PutRequest(key=b"k") if kind == requests.PUT else pb.AuthUserAddRequest(name="k")
    field = "put" if kind == requests.PUT else "auth_user_add"
    caller = Caller(name, revision)
    data = requests.encode(kind, message.SerializeToString(), request_id, caller)
    header = pb.RequestHeader(ID=request_id, username=name, auth_revision=revision)
    decoded = pb.InternalRaftRequest.FromString(data)
    assert decoded == pb.InternalRaftRequest(header=header, **{field: message})
    if name:
        assert data == decoded.SerializeToString(deterministic=True)
    assert requests.decode(data) == requests.Decoded(kind, message, request_id, caller)


@pytest.mark.parametrize("kind", [requests.PUT, requests.AUTH_ENABLE])
def test_nobody_is_not_written(kind: int) -> None:
    data = requests.encode(kind, b"", 1 << 20)
    assert pb.InternalRaftRequest.FromString(data).header == pb.RequestHeader(ID=1 << 20)
    assert requests.decode(data).caller is NOBODY
