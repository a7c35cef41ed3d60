"""A cluster of one member as the registration's calls see it: leases that expire by trio's clock, keys, one watch."""

from __future__ import annotations

from typing import Any

import trio

from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from dualmode.client.status import CallError
from dualmode.errors import Code

PREFIX = "/etcdserverpb."


class FakeStream:
    """A streaming call: `answers` is what comes back; closing it ends the call as a lost endpoint does."""

    def __init__(self, cluster: FakeCluster, path: str) -> None:
        self._cluster = cluster
        self._path = path
        self._sender, self._answers = trio.open_memory_channel[bytes](100)
        self.is_cancelled = False

    async def send(self, message: bytes) -> None:
        if self._path.endswith("LeaseKeepAlive"):
            self.tell(self._cluster.renew(pb.LeaseKeepAliveRequest.FromString(message)))
        else:
            self._cluster.watch(self, pb.WatchRequest.FromString(message).create_request)

    def tell(self, response: Any) -> None:
        self._sender.send_nowait(response.SerializeToString())

    def lose(self) -> None:
        self._sender.close()

    async def receive(self) -> bytes | None:
        try:
            return await self._answers.receive()
        except trio.EndOfChannel:
            raise CallError(Code.UNAVAILABLE, "the endpoint was lost") from None

    def cancel(self) -> None:
        self.is_cancelled = True

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class FakeCluster:
    """`client.etcd.Calls`. While `fault` is set every call fails with it."""

    def __init__(self) -> None:
        self.fault: CallError | None = None
        self.revision = 1
        self.keys: dict[bytes, tuple[bytes, int]] = {}
        self.leases: dict[int, tuple[int, float]] = {}
        self.calls: list[str] = []
        self.streams: list[FakeStream] = []
        self.metadata: list[Any] = []

    async def unary(self, path: str, message: bytes, metadata: Any = (), timeout: float | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        assert timeout is not None
        name = path.rpartition("/")[2]
        self._note(name, metadata)
        answer: bytes = getattr(self, f"_{name}")(message).SerializeToString()
        return answer

    async def stream(self, path: str, metadata: Any = (), timeout: float | None = None) -> Any:
        await trio.lowlevel.checkpoint()
        self._note(path.rpartition("/")[2], metadata)
        stream = FakeStream(self, path)
        self.streams.append(stream)
        return stream

    def _note(self, name: str, metadata: Any) -> None:
        self.calls.append(name)
        self.metadata.append(tuple(metadata))
        self._expire()
        if self.fault is not None:
            raise self.fault

    def _expire(self) -> None:
        for lease_id in [one for one, (_, end) in self.leases.items() if end <= trio.current_time()]:
            self.end_lease(lease_id)

    def end_lease(self, lease_id: int) -> None:
        """It is revoked, or has expired."""
        del self.leases[lease_id]
        for key in [key for key, (_, lease) in self.keys.items() if lease == lease_id]:
            del self.keys[key]

    def _LeaseGrant(self, message: bytes) -> Any:
        request = pb.LeaseGrantRequest.FromString(message)
        self.leases[request.ID] = request.TTL, trio.current_time() + request.TTL
        return pb.LeaseGrantResponse(ID=request.ID, TTL=request.TTL)

    def _LeaseRevoke(self, message: bytes) -> Any:
        lease_id = pb.LeaseRevokeRequest.FromString(message).ID
        if lease_id not in self.leases:
            raise CallError(Code.NOT_FOUND, "etcdserver: requested lease not found")
        self.end_lease(lease_id)
        return pb.LeaseRevokeResponse()

    def renew(self, request: Any) -> Any:
        ttl, _ = self.leases.get(request.ID, (0, 0.0))
        if ttl:
            self.leases[request.ID] = ttl, trio.current_time() + ttl
        return pb.LeaseKeepAliveResponse(ID=request.ID, TTL=ttl)

    def _Put(self, message: bytes) -> Any:
        request = pb.PutRequest.FromString(message)
        self.revision += 1
        self.keys[request.key] = request.value, request.lease
        return pb.PutResponse()

    def _Range(self, message: bytes) -> Any:
        request = pb.RangeRequest.FromString(message)
        kvs = [
            mvccpb.KeyValue(key=key, value=value)
            for key, (value, _) in sorted(self.keys.items())
            if request.key <= key < request.range_end
        ]
        return pb.RangeResponse(header=pb.ResponseHeader(revision=self.revision), kvs=kvs)

    def watch(self, stream: FakeStream, create: Any) -> None:
        assert create.start_revision == self.revision + 1
        stream.tell(pb.WatchResponse(created=True))
