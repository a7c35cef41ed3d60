"""The calls by name, against a real etcd."""

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.client.channel import open_channel
from dualmode.client.etcd import EtcdClient
from dualmode.client.status import CallError
from dualmode.errors import Code
from tests.interop.servers import Server

pytestmark = pytest.mark.interop


async def test_keys(etcd: Server) -> None:
    async with open_channel(etcd.url) as channel:
        client = EtcdClient(channel, timeout=10)
        assert await client.get(b"c/none") is None
        first = await client.put(b"c/a", b"1")
        previous = await client.put(b"c/a", b"2", prev_kv=True)
        assert previous.prev_kv.value == b"1"
        assert await client.get(b"c/a") == b"2"
        old = await client.range(b"c/a", revision=first.header.revision)
        assert old.kvs[0].value == b"1"
        compare = pb.Compare(key=b"c/a", target=pb.Compare.VALUE, result=pb.Compare.EQUAL, value=b"2")
        put = pb.RequestOp(request_put=pb.PutRequest(key=b"c/b", value=b"3"))
        assert (await client.txn([compare], [put], [])).succeeded
        assert (await client.hash_kv()).hash
        await client.compact(previous.header.revision)
        with pytest.raises(CallError) as raised:
            await client.range(b"c/a", revision=first.header.revision)
        assert raised.value.code is Code.OUT_OF_RANGE
        assert (await client.delete(b"c/", b"c0")).deleted == 2


async def test_leases(etcd: Server) -> None:
    async with open_channel(etcd.url) as channel:
        client = EtcdClient(channel, timeout=10)
        lease = await client.grant(60)
        await client.put(b"l/a", b"", lease=lease.ID)
        assert (await client.keep_alive(lease.ID)).TTL == 60
        assert list((await client.time_to_live(lease.ID, keys=True)).keys) == [b"l/a"]
        await client.revoke(lease.ID)
        assert (await client.keep_alive(lease.ID)).TTL == 0
        assert await client.get(b"l/a") is None


async def test_watch_and_cluster(etcd: Server) -> None:
    async with open_channel(etcd.url) as channel:
        client = EtcdClient(channel)
        with await client.watch(b"w/", b"w0") as watch:
            assert watch.created.created
            await client.put(b"w/1", b"x")
            await client.delete(b"w/1")
            events = []
            async for response in watch:
                events += response.events
                if len(events) == 2:
                    break
            assert [event.kv.key for event in events] == [b"w/1", b"w/1"]
            await watch.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            assert (await watch.receive()).header.revision >= events[-1].kv.mod_revision
        assert (await client.status()).version == "3.5.1"
        assert len((await client.members()).members) == 1
