"""The channel against a real etcd."""

import pytest
import trio

from dualmode.api import etcdserverpb as pb
from dualmode.client.channel import open_channel
from dualmode.client.status import CallError
from dualmode.edge.tls import ClientTlsSettings
from dualmode.errors import Code
from tests.interop.servers import Certificates, Server

pytestmark = pytest.mark.interop


async def test_unary_calls(etcd: Server) -> None:
    async with open_channel(etcd.url) as channel:
        put = pb.PutRequest(key=b"client", value=b"1").SerializeToString()
        first = pb.PutResponse.FromString(await channel.unary("/etcdserverpb.KV/Put", put, timeout=5))
        answer = await channel.unary("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"client").SerializeToString())
        found = pb.RangeResponse.FromString(answer)
        assert [kv.value for kv in found.kvs] == [b"1"]
        assert found.header.revision >= first.header.revision
        with pytest.raises(CallError) as raised:
            await channel.unary("/etcdserverpb.KV/Put", b"")
        assert (raised.value.code, raised.value.message) == (
            Code.INVALID_ARGUMENT,
            "etcdserver: key is not provided",
        )
        with pytest.raises(CallError) as raised:
            await channel.unary("/etcdserverpb.KV/Nothing", b"")
        assert raised.value.code is Code.UNIMPLEMENTED


async def test_a_watch_sees_what_other_tasks_put(etcd: Server) -> None:
    async with open_channel(etcd.url) as channel, trio.open_nursery() as nursery:
        with await channel.stream("/etcdserverpb.Watch/Watch") as stream:
            create = pb.WatchCreateRequest(key=b"watched")
            await stream.send(pb.WatchRequest(create_request=create).SerializeToString())
            assert pb.WatchResponse.FromString(await stream.receive()).created
            for number in range(20):
                put = pb.PutRequest(key=b"watched", value=b"%d" % number).SerializeToString()
                nursery.start_soon(channel.unary, "/etcdserverpb.KV/Put", put)
            seen: set[bytes] = set()
            while len(seen) < 20:
                seen.update(event.kv.value for event in pb.WatchResponse.FromString(await stream.receive()).events)
            await stream.close_send()


async def test_a_large_answer(etcd: Server) -> None:
    async with open_channel(etcd.url) as channel:
        value = b"v" * 1_000_000
        for number in range(8):
            put = pb.PutRequest(key=b"large%d" % number, value=value).SerializeToString()
            await channel.unary("/etcdserverpb.KV/Put", put)
        request = pb.RangeRequest(key=b"large", range_end=b"largf").SerializeToString()
        found = pb.RangeResponse.FromString(await channel.unary("/etcdserverpb.KV/Range", request))
        assert [len(kv.value) for kv in found.kvs] == [1_000_000] * 8


async def test_tls_with_a_client_certificate(tls_etcd: Server, certificates: Certificates) -> None:
    mine = ClientTlsSettings(
        str(certificates.authority), str(certificates.client_certificate), str(certificates.client_key)
    )
    async with open_channel(tls_etcd.url, mine) as channel:
        await channel.unary("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"a").SerializeToString(), timeout=5)
    async with open_channel(tls_etcd.url, ClientTlsSettings(str(certificates.authority))) as channel:
        with pytest.raises(CallError) as raised:
            await channel.unary("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"a").SerializeToString())
        assert raised.value.code is Code.UNAVAILABLE
