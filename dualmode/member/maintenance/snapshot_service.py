"""Does: the Snapshot call of the Maintenance service: the whole store as a bbolt file, streamed to the client.

The file is made whole first, since every message says how much is still to come. It has no name in the file system, so
it is gone when the stream ends, however that happens; and it is made in a thread, from a view of the store as it was
when the call came. Making it is Python's work: the thread lets go of the interpreter every millisecond or so, for the
member's other clients, and not in between (so the file is buffered by the megabyte): a thread that lets go at every
write starves beside a busy loop.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import trio

import dualmode
from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.errors import Code, RpcError
from dualmode.member.maintenance.snapshot_conf_state import encode_conf_state
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.decode import decode
from dualmode.storage.backend import View
from dualmode.storage.bbolt.dump import dump
from dualmode.storage.bbolt.writer import Writer

_log = log.get("snapshot")
_SERVICE: Final = "etcdserverpb.Maintenance"


class SnapshotService:
    """`etcdserverpb.Maintenance/Snapshot` of one member. Files are made in `directory`."""

    def __init__(self, replica: Replica, directory: Path) -> None:
        self._replica = replica
        self._directory = directory
        #: One file is made at a time: several threads at Python's work would leave the loop little of it.
        self._making = trio.Lock()

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
            async with self._making:
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
        self._check_room()
        conf_state = encode_conf_state(self._replica.conf_state)
        view = self._replica.store.backend.view()
        try:
            file = tempfile.TemporaryFile(dir=self._directory, buffering=limits.SNAPSHOT_READ_BYTES)  # noqa: SIM115
            stack.enter_context(file)
            return file, await trio.to_thread.run_sync(_make, view, conf_state, file)
        except OSError as error:
            _log.error("cannot make a snapshot", error=str(error))
            raise RpcError(Code.UNKNOWN, f"snapshot: {error.strerror}") from error
        finally:
            view.close()

    def _check_room(self) -> None:
        """The file must not take the room that the log and the store need to go on."""
        try:
            free = shutil.disk_usage(self._directory).free
        except OSError as error:
            raise RpcError(Code.UNKNOWN, f"snapshot: {error.strerror}") from error
        needed = self._replica.store.total_size + limits.FREE_SPACE_BYTES
        if free < needed:
            raise RpcError(Code.UNKNOWN, f"snapshot: no space left on device: {free} bytes are free, {needed} needed")

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


def _make(view: View, conf_state: bytes, file: IO[bytes]) -> int:
    """Runs in a thread. Ends early, by raising Cancelled, when the client has gone."""
    dump(view, conf_state, Writer(file), _breathe)
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _breathe() -> None:
    trio.from_thread.check_cancelled()
    time.sleep(limits.SNAPSHOT_PAUSE_SECONDS)


def _read(file: IO[bytes], digest: hashlib._Hash) -> bytes:
    piece = file.read(limits.SNAPSHOT_READ_BYTES)
    digest.update(piece)
    return piece
