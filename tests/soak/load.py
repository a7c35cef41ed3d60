"""Does: what clients do in a minute: leases that live, are kept alive and expire; watches that come, stall and go."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any, Final

import trio

from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.server import MemberServer
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.local import call_unary
from dualmode.rpc.table import MethodTable
from tests.soak.link import Stream

GRANTS: Final = 30
LEASE_TTL_SECONDS: Final = (30, 60, 120, 600, 1800)
#: Leases that are renewed each minute, until others take their place.
KEPT_ALIVE: Final = 100
PUTS: Final = 40
KEYS: Final = 500
NEW_STREAMS: Final = 4
OPEN_STREAMS: Final = 40
WATCHES_PER_STREAM: Final = (1, 2, 30)
STANDING_WATCHES: Final = 1000
_WATCH: Final = b"/etcdserverpb.Watch/Watch"
_KEEP_ALIVE: Final = b"/etcdserverpb.Lease/LeaseKeepAlive"


class Load:
    """The clients of one member. `minute` is a minute of theirs, at whatever the clock says."""

    def __init__(self, member: MemberServer, nursery: trio.Nursery, seed: int = 1) -> None:
        self._random = Random(seed)
        self._member = member
        self._nursery = nursery
        self._methods = {method.name: method for method in member.methods()}
        self._routes = grpc_routes(MethodTable(member.methods()))
        self._kept: deque[int] = deque(maxlen=KEPT_ALIVE)
        self._streams: deque[Stream] = deque()
        self.operations = 0
        self.event_bytes = 0
        # Always there: a stream with many watches, one that is read from for a minute each hour, one for keep-alives.
        self._standing, self._stalled = (Stream(nursery, self._routes[_WATCH], _WATCH) for _ in range(2))
        for number in range(STANDING_WATCHES):
            self._watch(self._standing, key=b"key/%d" % (number % KEYS))
        self._watch(self._stalled, key=b"\0", range_end=b"\0", prev_kv=True)
        self._stalled.is_stalled = True
        self._keep_alive = Stream(nursery, self._routes[_KEEP_ALIVE], _KEEP_ALIVE)

    async def ask(self, name: str, **fields: Any) -> Any:
        """The answer of a unary call. Raises `RpcError`."""
        self.operations += 1
        method: Any = self._methods[name]
        answer = await call_unary(method.handler, method.request(**fields).SerializeToString())
        return method.response.FromString(answer)

    async def minute(self, number: int) -> None:
        """Everything that clients do in a minute, spread over it."""
        await self._leases()
        await trio.sleep(20)
        await self._writes()
        await trio.sleep(20)
        self._watches(number)
        await trio.sleep(20)

    async def _leases(self) -> None:
        for _ in range(GRANTS):
            lease = (await self.ask("LeaseGrant", TTL=self._random.choice(LEASE_TTL_SECONDS))).ID
            for _ in range(self._random.randrange(3)):
                await self.ask("Put", key=self._key(), value=b"held", lease=lease)
            if self._random.random() < 0.2:
                self._kept.append(lease)
            if self._random.random() < 0.05:
                await self.ask("LeaseRevoke", ID=lease)
        for lease in self._kept:
            self.operations += 1
            self._keep_alive.send(pb.LeaseKeepAliveRequest(ID=lease).SerializeToString())
        with_keys = await self.ask("LeaseTimeToLive", ID=self._random.choice(self._kept), keys=True)
        assert with_keys.TTL >= -1

    async def _writes(self) -> None:
        for _ in range(PUTS):
            await self.ask("Put", key=self._key(), value=self._random.randbytes(self._random.choice((10, 100, 1000))))
        await self.ask("DeleteRange", key=self._key())
        branch = [pb.RequestOp(request_put=pb.PutRequest(key=self._key(), value=b"in a transaction"))]
        await self.ask("Txn", success=branch, compare=[pb.Compare(key=self._key(), target=1, result=1)])
        try:
            await self.ask("Range", key=b"\0", range_end=b"\0", limit=10, revision=self._old_revision())
        except RpcError as error:  # compacted, now and then
            error.forget_raising()

    def _watches(self, number: int) -> None:
        for _ in range(NEW_STREAMS):
            stream = Stream(self._nursery, self._routes[_WATCH], _WATCH)
            for watch in range(self._random.choice(WATCHES_PER_STREAM)):
                self._watch(stream, **self._wish(watch + 1))
            if self._random.random() < 0.3:
                self._cancel(stream, 1)
            stream.is_stalled = self._random.random() < 0.2
            stream.send(pb.WatchRequest(progress_request={}).SerializeToString())
            self._streams.append(stream)
        while len(self._streams) > OPEN_STREAMS:
            self._end(self._streams.popleft())
        if number % 60 == 59:
            self._stalled.read_on()
        elif number % 60 == 0:
            self._stalled.is_stalled = True

    def _wish(self, watch_id: int) -> dict[str, Any]:
        draw = self._random
        return {
            "key": self._key(),
            "range_end": draw.choice((b"", b"\0", b"key0")),
            "watch_id": watch_id,
            "prev_kv": draw.random() < 0.5,
            "progress_notify": draw.random() < 0.5,
            "fragment": draw.random() < 0.3,
            "filters": draw.choice(((), (0,), (1,))),
            "start_revision": draw.choice((0, 0, 0, self._old_revision(), self._member.store.revision + 100)),
        }

    def _watch(self, stream: Stream, **fields: Any) -> None:
        self.operations += 1
        stream.send(pb.WatchRequest(create_request=fields).SerializeToString())

    def _cancel(self, stream: Stream, watch_id: int) -> None:
        stream.send(pb.WatchRequest(cancel_request={"watch_id": watch_id}).SerializeToString())

    def _end(self, stream: Stream) -> None:
        if self._random.random() < 0.5:
            stream.read_on()
        self.event_bytes += stream.received_bytes
        stream.hang_up()

    def _key(self) -> bytes:
        return b"key/%d" % self._random.randrange(KEYS)

    def _old_revision(self) -> int:
        """Of about the last hour; sometimes compacted already."""
        return max(1, self._member.store.revision - self._random.randrange(10_000))
