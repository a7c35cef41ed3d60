"""Does: RangeStream (etcd 3.7): the answer to a Range in chunks of bounded size, all of one revision.

The chunks put together are the RangeResponse that Range would have given: the last one has header, `more` and `count`.
Between two chunks everyone else gets the loop, and a client that reads slowly makes nobody hold more than a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from dualmode import limits
from dualmode.api import etcdserverpb
from dualmode.errors import Code, RpcError
from dualmode.member.kv import checks, ranges
from dualmode.member.kv.counts import Counting
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.decode import decode
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

_SORTED: Final = RpcError(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders")
_FILTERED: Final = RpcError(Code.UNIMPLEMENTED, "RangeStream does not support revision filters")
_NONE, _ASCEND = 0, 1
_BY_KEY: Final = 0

#: Raises `RpcError` unless the caller may read from a key to a range end.
CheckRead = Callable[[ServerStream, bytes, bytes], None]


def check(request: Any) -> None:
    """Whether a RangeRequest can be streamed: in the order of keys, and all of them."""
    checks.check_range(request)
    if request.sort_order not in (_NONE, _ASCEND) or request.sort_target != _BY_KEY:
        raise _SORTED
    if ranges.is_filtered(request):
        raise _FILTERED


class ChunkSize:
    """How many keys the next chunk has: about so many bytes, whatever the size of values (etcd's rule),
    but not so many that reading them holds the loop for long."""

    def __init__(self, aim_bytes: int) -> None:
        self._aim_bytes = aim_bytes
        self.keys = limits.RANGE_STREAM_FIRST_KEYS

    def note(self, size_bytes: int) -> None:
        """The last chunk had this size."""
        if size_bytes < self._aim_bytes // 2:
            self.keys = min(limits.RANGE_STREAM_KEYS, self.keys * 2)
        elif size_bytes > self._aim_bytes * 2:
            self.keys = max(1, self.keys // 2)


class RangeStream:
    """The handler of `etcdserverpb.KV/RangeStream`."""

    def __init__(self, replica: Replica, counting: Counting, check_read: CheckRead, aim_bytes: int) -> None:
        self._replica = replica
        self._counting = counting
        self._check_read = check_read
        self._aim_bytes = aim_bytes

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        kind = Kind.SERVER_STREAM
        return [
            Method("etcdserverpb.KV", "RangeStream", kind, pb.RangeRequest, pb.RangeStreamResponse, self.range_stream)
        ]

    async def range_stream(self, stream: ServerStream) -> None:
        """Linearizable unless the request says serializable. Raises COMPACTED when that happens to the revision while
        the client reads."""
        request = decode(etcdserverpb.RangeRequest, await stream.receive() or b"")
        check(request)
        if not request.serializable:
            await self._replica.intake.wait_until_readable()
        self._check_read(stream, request.key, request.range_end)
        if request.count_only:
            store = self._replica.store
            count = self._counting.total(store, request.key, request.range_end, request.revision)
            await stream.send(_message(b"", self._last(False, count)))
        else:
            await self._send_chunks(stream, request)

    async def _send_chunks(self, stream: ServerStream, request: Any) -> None:
        store = self._replica.store
        key, range_end, limit = request.key, request.range_end, request.limit
        revision = request.revision if request.revision > 0 else store.revision
        size, sent = ChunkSize(self._aim_bytes), 0
        while True:
            wanted = min(size.keys, limit - sent) if limit > 0 else size.keys
            kvs = store.select(key, range_end, revision, wanted + 1)
            has_more, kvs = len(kvs) > wanted, kvs[:wanted]
            if request.keys_only:
                kvs = [keyvalue.without_value(kv) for kv in kvs]
            sent += len(kvs)
            chunk = b"".join(map(ranges.field, kvs))
            if not has_more:
                await stream.send(_message(chunk, self._last(False, sent)))
                return
            key = keyvalue.key_of(kvs[-1]) + b"\0"
            if sent == limit:
                left = self._counting.total(store, key, range_end, revision)
                await stream.send(_message(chunk, self._last(True, sent + left)))
                return
            size.note(len(chunk))
            await stream.send(_message(chunk, b""))
            await trio.lowlevel.checkpoint()

    def _last(self, more: bool, count: int) -> bytes:
        """What only the last chunk has. Its header tells the revision now, as every answer's."""
        header_field = self._replica.applier.headers.field(self._replica.store.revision)
        return header_field + (b"\x18\x01" if more else b"") + (b"\x20" + varint(count) if count else b"")


def _message(kvs: bytes, last: bytes) -> bytes:
    """A RangeStreamResponse around a RangeResponse."""
    length = len(kvs) + len(last)
    return b"".join((b"\x0a", varint(length), kvs, last))
