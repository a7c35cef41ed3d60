"""Who is announced is known, and stays known while there is nobody to ask."""

from __future__ import annotations

import trio
import trio.testing

from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from dualmode.client.status import CallError
from dualmode.errors import Code
from dualmode.proxy.registration.announcements import announcement
from dualmode.proxy.registration.following import Following
from tests.proxy.registration.cluster import FakeCluster


def urls(following: Following) -> list[str]:
    return [url for member in following.announcements.members() for url in member.clientURLs]


def write(cluster: FakeCluster, address: str) -> mvccpb.Event:
    key, value = announcement(b"p", address, "host")
    cluster.keys[key] = value, 0
    return mvccpb.Event(kv=mvccpb.KeyValue(key=key, value=value))


async def test_a_range_then_a_watch_then_both_again(autojump_clock: trio.testing.MockClock) -> None:
    cluster = FakeCluster()
    write(cluster, "a:1")
    cluster.keys[b"q/b:1"] = announcement(b"q", "b:1", "host")[1], 0
    following = Following(cluster, b"p", draw=lambda: 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(following.run)
        await trio.testing.wait_all_tasks_blocked()
        assert urls(following) == ["a:1"]
        assert cluster.calls == ["Range", "Watch"]
        assert cluster.metadata == [(), (("hasleader", "true"),)]
        cluster.streams[0].tell(pb.WatchResponse(events=[write(cluster, "c:1")]))
        await trio.testing.wait_all_tasks_blocked()
        assert urls(following) == ["a:1", "c:1"]

        cluster.fault = CallError(Code.UNAVAILABLE, "no endpoint is available")
        cluster.streams[0].lose()
        write(cluster, "d:1")
        await trio.sleep(60)
        assert urls(following) == ["a:1", "c:1"]
        assert cluster.streams[0].is_cancelled
        assert cluster.calls.count("Range") < 12
        cluster.fault = None
        await trio.sleep(11)
        assert urls(following) == ["a:1", "c:1", "d:1"]

        # A watch that the member ends, for want of a leader or of history, is followed by a range too.
        write(cluster, "e:1")
        cluster.streams[-1].tell(pb.WatchResponse(canceled=True, compact_revision=5))
        await trio.sleep(2)
        assert urls(following) == ["a:1", "c:1", "d:1", "e:1"]
        nursery.cancel_scope.cancel()
