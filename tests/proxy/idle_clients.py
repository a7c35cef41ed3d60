"""Does: measures what clients that only watch cost a proxy, and what reaches the member.

    python -m tests.proxy.idle_clients [--clients 1000] [--prefixes 10]

Every client has a connection of its own and watches every prefix; nothing happens. Then one key is put under each
prefix and every client must hear of it, once.
"""

from __future__ import annotations

import re
import tempfile
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import click
import trio

from dualmode.api import etcdserverpb as pb
from dualmode.client.calls import ClientStream
from dualmode.client.channel import open_channel
from dualmode.client.etcd import EtcdClient
from dualmode.edge.outbox import Outbox
from tests.bench.costs import resident_mib
from tests.interop.servers import start_dualmode, start_proxy

_WATCHERS = re.compile(r"^etcd_debugging_mvcc_watcher_total (\d+)$", re.MULTILINE)


def watchers_of(url: str) -> int:
    """How many watches a member has."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = _WATCHERS.search(answer.read().decode())
    assert found is not None
    return int(found[1])


async def measure(proxy_url: str, member_url: str, pid: int, clients: int, prefixes: int) -> dict[str, float]:
    """What it costs, by name. Raises AssertionError when an event is lost or doubled."""
    outbox = Outbox()
    before = resident_mib(pid)
    async with AsyncExitStack() as stack:
        streams: list[ClientStream] = []
        for _ in range(clients):
            channel = await stack.enter_async_context(open_channel(proxy_url, outbox=outbox))
            stream = await channel.stream("/etcdserverpb.Watch/Watch")
            stack.enter_context(stream)
            for number in range(prefixes):
                key, end = b"p%d/" % number, b"p%d0" % number
                create = pb.WatchCreateRequest(key=key, range_end=end)
                await stream.send(pb.WatchRequest(create_request=create).SerializeToString())
            for _ in range(prefixes):
                assert pb.WatchResponse.FromString(await stream.receive() or b"").created
            streams.append(stream)
        await trio.sleep(0.5)  # cancellations of watches that were joined are on their way
        result = {
            "client_watches": float(clients * prefixes),
            "member_watches": float(watchers_of(member_url)),
            "kb_per_client": (resident_mib(pid) - before) * 1024 / clients,
        }
        async with open_channel(proxy_url) as channel:
            for number in range(prefixes):
                await EtcdClient(channel).put(b"p%d/x" % number, b"v")
        for stream in streams:
            heard: list[bytes] = []
            while len(heard) < prefixes:
                answer = pb.WatchResponse.FromString(await stream.receive() or b"")
                heard += [event.kv.key for event in answer.events]
            assert sorted(heard) == sorted(b"p%d/x" % number for number in range(prefixes))
    return result


@click.command()
@click.option("--clients", default=1000)
@click.option("--prefixes", default=10)
def main(clients: int, prefixes: int) -> None:
    """Measures idle clients of a proxy."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with start_dualmode(directory) as member, start_proxy(directory, member.url) as proxy:
            result = trio.run(measure, proxy.url, member.url, proxy.process.pid, clients, prefixes)
    for name, value in result.items():
        click.echo(f"{name}: {value:.1f}")


if __name__ == "__main__":
    main()
