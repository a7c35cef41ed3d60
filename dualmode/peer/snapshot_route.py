"""Does: takes a snapshot that the leader posts: a message, then the database, straight into a file.

The body is the length of the message in eight bytes, the message, and the database up to the end. It is never held in
memory: what has come is written before more is read. A file is named only when it is whole and on the disk, so a cut
leaves nothing behind.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Final

import trio

from dualmode import limits, log
from dualmode.errors import DualmodeError, PeerError
from dualmode.http.interface import STREAMED, Fields, Pairs, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.peer.answers import JSON, REMOVED_BODY, answer, check_sender, error
from dualmode.peer.codec import decode_message
from dualmode.peer.identity_headers import answer_fields
from dualmode.peer.transport import PeerTransport
from dualmode.raft import Message, MessageType

_log = log.get("rafthttp")
_LENGTH: Final = 8


class SnapshotRoute:
    """`POST /raft/snapshot`."""

    body_limit = STREAMED

    def __init__(self, transport: PeerTransport) -> None:
        self._transport = transport

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if not check_sender(self._transport, link, stream_id, head):
            return None
        intake = _Intake(self._transport, link, stream_id)
        link.spawn(intake.run)
        return intake

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """Never called: bodies are streamed."""


class _Intake:
    """One snapshot that comes in: a Sink, and the task that writes."""

    def __init__(self, transport: PeerTransport, link: Link, stream_id: int) -> None:
        self._transport = transport
        self._link = link
        self._stream_id = stream_id
        self._arrived: deque[bytes] = deque()
        self._flow_bytes = 0
        self._is_done = False
        self._is_lost = False
        self._wake = trio.Event()

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """See routing.Sink."""
        self._arrived.append(data)
        self._flow_bytes += flow_bytes
        self._wake.set()

    def on_end(self, trailers: Pairs) -> None:
        """See routing.Sink."""
        self._is_done = True
        self._wake.set()

    def on_reset(self, error_code: int) -> None:
        """See routing.Sink."""
        self._is_lost = True
        self._wake.set()

    def on_drained(self) -> None:
        """See routing.Sink."""

    async def run(self) -> None:
        """Takes it all in and answers."""
        more = answer_fields(self._transport.identity)
        try:
            message, rest = await self._read_message()
            if self._transport.receiver.is_removed(message.sender):
                answer(self._link, self._stream_id, 403, REMOVED_BODY, JSON, more)
                return
            file = await self._write_file(message, rest)
        except PeerError as fault:
            error(self._link, self._stream_id, 400, f"failed to decode raft message ({fault})", more)
            return
        except OSError as fault:
            error(self._link, self._stream_id, 500, f"failed to save KV snapshot ({fault})", more)
            return
        try:
            await self._transport.receiver.receive_snapshot(message, file)
        except DualmodeError as fault:
            _log.warning("a snapshot from the leader cannot be used", error=str(fault))
            error(self._link, self._stream_id, 500, f"failed to process raft message ({fault})", more)
            return
        peer = self._transport.peers.get(message.sender)
        if peer is not None:
            peer.counters.snapshots_received += 1
        self._link.respond(self._stream_id, Fields((b":status", b"204"), *more), b"")

    async def _next(self) -> bytes:
        """What has arrived; b"" at the end. Raises `PeerError` when the sender is lost."""
        while not self._arrived:
            if self._is_lost:
                raise PeerError("the sender is lost")
            if self._is_done:
                return b""
            self._wake = trio.Event()
            await self._wake.wait()
        data = b"".join(self._arrived)
        self._arrived.clear()
        self._link.acknowledge(self._stream_id, self._flow_bytes)
        self._flow_bytes = 0
        return data

    async def _read_message(self) -> tuple[Message, bytes]:
        """The message, and what came behind it."""
        data = await self._at_least(b"", _LENGTH)
        size = int.from_bytes(data[:_LENGTH], "big")
        if size > limits.PEER_SNAPSHOT_MESSAGE_BYTES:
            raise PeerError(f"a message of {size} bytes")
        data = await self._at_least(data, _LENGTH + size)
        message = decode_message(data[_LENGTH : _LENGTH + size])
        if message.type is not MessageType.SNAPSHOT or message.snapshot is None:
            raise PeerError("wrong raft message type")
        return message, data[_LENGTH + size :]

    async def _at_least(self, data: bytes, size: int) -> bytes:
        pieces, total = [data], len(data)
        while total < size:
            piece = await self._next()
            if not piece:
                raise PeerError("unexpected EOF")
            pieces.append(piece)
            total += len(piece)
        return b"".join(pieces)

    async def _write_file(self, message: Message, rest: bytes) -> Path:
        assert message.snapshot is not None
        folder = self._transport.snapshot_dir
        making = folder / f"tmp-{message.sender:x}-{id(self):x}"
        path = folder / f"{message.snapshot.metadata.index:016x}-{message.sender:x}-{id(self):x}.snap.db"
        _log.info("receiving database snapshot", sender=f"{message.sender:x}", path=str(path))
        try:
            await self._fill(making, rest)
            await trio.to_thread.run_sync(os.replace, making, path)
        except BaseException:
            making.unlink(missing_ok=True)
            raise
        return path

    async def _fill(self, making: Path, piece: bytes) -> None:
        descriptor = await trio.to_thread.run_sync(os.open, making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            piece = piece or await self._next()
            while piece:
                await trio.to_thread.run_sync(_write_all, descriptor, piece)
                piece = await self._next()
            await trio.to_thread.run_sync(os.fsync, descriptor)
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
