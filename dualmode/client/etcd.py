"""Does: etcd's calls by name, with messages instead of bytes, on a Channel.

`await etcd.put(b"a", b"1")`, `async for response in (await etcd.watch(b"a"))`. Answers are the messages of
`dualmode.api`; all keyword arguments are fields of the request. Raises CallError.
"""

from __future__ import annotations

from typing import Any, Protocol

from dualmode.api import etcdserverpb as pb
from dualmode.client.calls import ClientStream
from dualmode.client.channel import Metadata
from dualmode.client.status import CallError
from dualmode.errors import Code


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` of all keys that begin with `prefix`. "\\0" when no key lies behind them: to the end, in etcd."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b"\0"


class Calls(Protocol):
    """What makes the calls: a Channel, or what stands for one."""

    async def unary(
        self, path: str, message: bytes, metadata: Metadata = (), timeout: float | None = None
    ) -> bytes: ...

    async def stream(self, path: str, metadata: Metadata = (), timeout: float | None = None) -> ClientStream: ...


class EtcdClient:
    """Calls on one channel. `metadata` (a token, `hasleader`) and `timeout` in seconds go with every unary call."""

    def __init__(self, channel: Calls, metadata: Metadata = (), timeout: float | None = None) -> None:
        self.channel = channel
        self.metadata = metadata
        self.timeout = timeout

    async def call(self, path: str, request: Any, response_class: Any) -> Any:
        """Any unary method, by its full path."""
        answer = await self.channel.unary(path, request.SerializeToString(), self.metadata, self.timeout)
        return response_class.FromString(answer)

    async def range(self, key: bytes, range_end: bytes = b"", **fields: Any) -> Any:
        """RangeResponse."""
        request = pb.RangeRequest(key=key, range_end=range_end, **fields)
        return await self.call("/etcdserverpb.KV/Range", request, pb.RangeResponse)

    async def get(self, key: bytes) -> bytes | None:
        """The value of one key, None when there is no such key."""
        found = (await self.range(key)).kvs
        return bytes(found[0].value) if found else None

    async def put(self, key: bytes, value: bytes, **fields: Any) -> Any:
        """PutResponse."""
        return await self.call("/etcdserverpb.KV/Put", pb.PutRequest(key=key, value=value, **fields), pb.PutResponse)

    async def delete(self, key: bytes, range_end: bytes = b"", **fields: Any) -> Any:
        """DeleteRangeResponse."""
        request = pb.DeleteRangeRequest(key=key, range_end=range_end, **fields)
        return await self.call("/etcdserverpb.KV/DeleteRange", request, pb.DeleteRangeResponse)

    async def txn(self, compare: list[Any], success: list[Any], failure: list[Any]) -> Any:
        """TxnResponse. Takes Compare and RequestOp messages."""
        request = pb.TxnRequest(compare=compare, success=success, failure=failure)
        return await self.call("/etcdserverpb.KV/Txn", request, pb.TxnResponse)

    async def compact(self, revision: int, physical: bool = False) -> Any:
        """CompactionResponse."""
        request = pb.CompactionRequest(revision=revision, physical=physical)
        return await self.call("/etcdserverpb.KV/Compact", request, pb.CompactionResponse)

    async def grant(self, ttl_seconds: int, lease_id: int = 0) -> Any:
        """LeaseGrantResponse."""
        request = pb.LeaseGrantRequest(TTL=ttl_seconds, ID=lease_id)
        return await self.call("/etcdserverpb.Lease/LeaseGrant", request, pb.LeaseGrantResponse)

    async def revoke(self, lease_id: int) -> Any:
        """LeaseRevokeResponse."""
        request = pb.LeaseRevokeRequest(ID=lease_id)
        return await self.call("/etcdserverpb.Lease/LeaseRevoke", request, pb.LeaseRevokeResponse)

    async def time_to_live(self, lease_id: int, keys: bool = False) -> Any:
        """LeaseTimeToLiveResponse."""
        request = pb.LeaseTimeToLiveRequest(ID=lease_id, keys=keys)
        return await self.call("/etcdserverpb.Lease/LeaseTimeToLive", request, pb.LeaseTimeToLiveResponse)

    async def keep_alive(self, lease_id: int) -> Any:
        """Renews once: LeaseKeepAliveResponse, its TTL 0 when there is no such lease."""
        stream = await self.channel.stream("/etcdserverpb.Lease/LeaseKeepAlive", self.metadata, self.timeout)
        with stream:
            await stream.send(pb.LeaseKeepAliveRequest(ID=lease_id).SerializeToString())
            return pb.LeaseKeepAliveResponse.FromString(await _next(stream))

    async def watch(self, key: bytes, range_end: bytes = b"", **fields: Any) -> Watch:
        """A watch that the server has confirmed."""
        create = pb.WatchCreateRequest(key=key, range_end=range_end, **fields)
        watch = Watch(await self.channel.stream("/etcdserverpb.Watch/Watch", self.metadata))
        try:
            await watch.send(pb.WatchRequest(create_request=create))
            watch.created = await watch.receive()
        except BaseException:
            watch.cancel()
            raise
        return watch

    async def members(self, linearizable: bool = True) -> Any:
        """MemberListResponse."""
        request = pb.MemberListRequest(linearizable=linearizable)
        return await self.call("/etcdserverpb.Cluster/MemberList", request, pb.MemberListResponse)

    async def status(self) -> Any:
        """StatusResponse."""
        return await self.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)

    async def hash_kv(self, revision: int = 0) -> Any:
        """HashKVResponse."""
        request = pb.HashKVRequest(revision=revision)
        return await self.call("/etcdserverpb.Maintenance/HashKV", request, pb.HashKVResponse)


class Watch:
    """A watch stream: an async iterator of WatchResponse, and a context manager that cancels it at the end."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream
        #: The response that confirmed it.
        self.created: Any = None

    async def send(self, request: Any) -> None:
        """A further WatchRequest."""
        await self._stream.send(request.SerializeToString())

    async def receive(self) -> Any:
        """The next WatchResponse."""
        return pb.WatchResponse.FromString(await _next(self._stream))

    def cancel(self) -> None:
        """Ends the stream."""
        self._stream.cancel()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Any:
        message = await self._stream.receive()
        if message is None:
            raise StopAsyncIteration
        return pb.WatchResponse.FromString(message)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


async def _next(stream: ClientStream) -> bytes:
    message = await stream.receive()
    if message is None:
        raise CallError(Code.UNAVAILABLE, "the server ended the stream where an answer was due")
    return message
