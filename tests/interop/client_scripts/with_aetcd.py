"""Runs in an environment with aetcd only: everything the client offers, against the server at HOST PORT."""

import asyncio
import sys

import aetcd


async def main(host: str, port: int) -> None:
    async with aetcd.Client(host=host, port=port) as client:
        await keys(client)
        await watches(client)
        await leases(client)
        await transactions(client)
        await locks(client)
        await maintenance(client)


async def keys(client: aetcd.Client) -> None:
    await client.put(b"k/a", b"1")
    await client.put(b"k/b", b"2")
    assert (await client.get(b"k/a")).value == b"1"
    assert await client.get(b"missing") is None
    found = [kv.key for kv in await client.get_prefix(b"k/", sort_order="descend")]
    assert found == [b"k/b", b"k/a"], found
    assert await client.delete(b"k/a")
    assert await client.delete(b"k/a") is None or not await client.delete(b"k/a")
    print("put, get, get_prefix, delete")


async def watches(client: aetcd.Client) -> None:
    events = []
    watch = await client.watch_prefix(b"w/")

    async def read() -> None:
        async for event in watch:
            events.append((event.kind, event.kv.key, event.kv.value))
            if len(events) == 3:
                return

    reader = asyncio.ensure_future(read())
    await client.put(b"w/1", b"a")
    await client.put(b"w/2", b"b")
    await client.delete(b"w/1")
    await asyncio.wait_for(reader, 10)
    assert events == [("PUT", b"w/1", b"a"), ("PUT", b"w/2", b"b"), ("DELETE", b"w/1", b"")], events
    await watch.cancel()
    print("watch_prefix: two puts and a delete, cancel")


async def leases(client: aetcd.Client) -> None:
    lease = await client.lease(60)
    await client.put(b"leased", b"x", lease=lease)
    assert (await client.get(b"leased")).lease == lease.id
    assert (await lease.remaining_ttl()) in range(50, 61)
    assert await lease.keys() == [b"leased"]
    await lease.refresh()
    await lease.revoke()
    assert await client.get(b"leased") is None
    print("lease: grant, put, remaining_ttl, keys, refresh, revoke")


async def transactions(client: aetcd.Client) -> None:
    tx = client.transactions
    done, _ = await client.transaction(
        compare=[tx.version(b"t") == 0], success=[tx.put(b"t", b"1")], failure=[tx.get(b"t")]
    )
    assert done
    done, answers = await client.transaction(
        compare=[tx.value(b"t") == b"2"], success=[tx.put(b"t", b"3")], failure=[tx.get(b"t")]
    )
    assert not done
    print("transaction: both branches", answers)
    assert await client.replace(b"t", b"1", b"2")
    assert not await client.replace(b"t", b"1", b"2")


async def locks(client: aetcd.Client) -> None:
    async with client.lock(b"lock", ttl=30) as lock:
        assert await lock.is_acquired()
        other = client.lock(b"lock", ttl=30)
        assert not await other.acquire(timeout=0.5)
    assert await other.acquire(timeout=5)
    await other.release()
    print("lock: held, waited for, released")


async def maintenance(client: aetcd.Client) -> None:
    status = await client.status()
    assert status.version.startswith("3."), status.version
    assert [member async for member in client.members()]
    assert [alarm async for alarm in client.list_alarms()] == []
    assert await client.hash()
    await client.defragment()
    revision = (await client.put(b"c", b"1")).header.revision
    await client.compact(revision)
    print(f"status {status.version}, members, list_alarms, hash, defragment, compact")


async def as_user(host: str, port: str, name: str, password: str) -> None:
    """Who may touch what begins with `own/`, and nothing else."""
    async with aetcd.Client(host=host, port=int(port), username=name, password=password) as client:
        await client.put(b"own/a", b"1")
        assert (await client.get(b"own/a")).value == b"1"
        for refused in (client.get(b"other"), client.put(b"other", b"1")):
            try:
                await refused
            except aetcd.ClientError as error:
                if "permission denied" not in str(error):
                    raise
            else:
                raise AssertionError("permission was not denied")
    print(f"as {name}: own keys, and denied others")


asyncio.run(as_user(*sys.argv[1:]) if len(sys.argv) > 3 else main(sys.argv[1], int(sys.argv[2])))
print("all held")
