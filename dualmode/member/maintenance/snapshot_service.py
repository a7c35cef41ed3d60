"""Does: the Snapshot call of the Maintenance service: the whole store as a bbolt file, streamed to the client."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack
from typing import IO, Final

import trio

import dualmode
from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.errors import Code, RpcError, StorageError
from dualmode.member.replica import Replica
from dualmode.member.snapshots.file import SnapshotFiles
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.decode import decode

_log = log.get("snapshot")
_SERVICE: Final = "etcdserverpb.Maintenance"
#: Operators restore snapshots with whatever they have: etcd 3.5 takes what says it is of 3.5, and so does 3.6.
_READABLE_BY: Final = (3, 5)


class SnapshotService:
    """`etcdserverpb.Maintenance/Snapshot` of one member."""

    def __init__(self, replica: Replica, files: SnapshotFiles) -> None:
        self._replica = replica
        self._files = files

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [
            Method(_SERVICE, "Snapshot", Kind.SERVER_STREAM, pb.SnapshotRequest, pb.SnapshotResponse, self.snapshot)
        ]

    async def snapshot(self, stream: ServerStream) -> None:
        """Blobs of 32 KiB, then one of 32 bytes: the SHA-256 of all before it.

        Raises UNKNOWN when the disk has no room.
        """
        decode(etcdserverpb.SnapshotRequest, await stream.receive() or b"")
        began = time.monotonic()
        with ExitStack() as stack:
            file, size = await self._make(stack)
            _log.info("sending database snapshot to client", total_bytes=size)
            await self._send(stream, file, size)
        _log.info(
            "successfully sent database snapshot to client",
            total_bytes=size,
            took=f"{time.monotonic() - began:.3f}s",
        )

    async def _make(self, stack: ExitStack) -> tuple[IO[bytes], int]:
        """The file, which `stack` closes, and its size in bytes."""
        try:
            return await self._files.make(stack, lambda: self._replica.conf_state, _READABLE_BY)
        except StorageError as error:
            _log.error("cannot make a snapshot", error=str(error))
            raise RpcError(Code.UNKNOWN, f"snapshot: {error}") from error

    @staticmethod
    async def _send(stream: ServerStream, file: IO[bytes], size: int) -> None:
        digest = hashlib.sha256()
        remaining = size
        version = dualmode.ETCD_CLUSTER_VERSION
        while remaining:
            piece = await trio.to_thread.run_sync(_read, file, digest)
            for start in range(0, len(piece), limits.SNAPSHOT_BLOB_BYTES):
                blob = piece[start : start + limits.SNAPSHOT_BLOB_BYTES]
                remaining -= len(blob)
                answer = etcdserverpb.SnapshotResponse(remaining_bytes=remaining, blob=blob, version=version)
                await stream.send(answer.SerializeToString())
        answer = etcdserverpb.SnapshotResponse(remaining_bytes=0, blob=digest.digest(), version=version)
        await stream.send(answer.SerializeToString())


def _read(file: IO[bytes], digest: hashlib._Hash) -> bytes:
    piece = file.read(limits.SNAPSHOT_READ_BYTES)
    digest.update(piece)
    return piece
