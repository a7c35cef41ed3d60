"""What is called for somebody is called with their name, and fails as etcd lets it fail here."""

from typing import Any, cast

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.http.routing import PeerIdentity
from dualmode.member.concurrency.local_client import LocalClient, Services
from dualmode.member.watch.hub import WatchHub
from dualmode.rpc.calls import UnaryCall
from dualmode.rpc.local import LocalCall
from dualmode.rpc.metadata import CallMetadata

CALLER = LocalCall(CallMetadata(()), PeerIdentity("10.0.0.1:5", is_tls=True))


def client(handler: Any) -> LocalClient:
    return LocalClient(Services(handler, handler, handler, handler, cast(WatchHub, None)), CALLER)


async def test_the_caller_is_the_caller() -> None:
    heard: list[UnaryCall] = []

    def handler(call: UnaryCall, message: bytes) -> None:
        heard.append(call)
        call.reply(b"")

    await client(handler).range(pb.RangeRequest(key=b"a"))
    await client(handler).delete(b"a")
    client(handler).start_txn(pb.TxnRequest())
    assert [(call.metadata, call.peer) for call in heard] == [(CALLER.metadata, CALLER.peer)] * 3


@pytest.mark.parametrize("is_later", [False, True])
async def test_errors_keep_their_text_and_lose_their_code(is_later: bool) -> None:
    def handler(call: UnaryCall, message: bytes) -> None:
        if is_later:
            call.fail(errors.PERMISSION_DENIED)
        else:
            raise errors.PERMISSION_DENIED

    with pytest.raises(RpcError) as caught:
        await client(handler).txn(pb.TxnRequest())
    assert caught.value == RpcError(Code.UNKNOWN, "etcdserver: permission denied")
    client(handler).start_txn(pb.TxnRequest())  # nobody hears of it


async def test_a_session_is_the_lease_that_was_named_or_a_new_one() -> None:
    def handler(call: UnaryCall, message: bytes) -> None:
        assert pb.LeaseGrantRequest.FromString(message) == pb.LeaseGrantRequest(TTL=60)
        call.reply(pb.LeaseGrantResponse(ID=9, TTL=60).SerializeToString())

    assert await client(handler).session(0) == 9
    assert await client(handler).session(-5) == -5
