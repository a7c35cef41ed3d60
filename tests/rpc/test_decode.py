"""Request messages from bytes."""

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.rpc.decode import decode


def test_a_message() -> None:
    assert decode(pb.PutRequest, b"\x0a\x01a").key == b"a"


def test_what_is_none() -> None:
    with pytest.raises(RpcError, match="error unmarshalling request") as caught:
        decode(pb.PutRequest, b"\xff")
    assert caught.value.code is Code.INTERNAL
