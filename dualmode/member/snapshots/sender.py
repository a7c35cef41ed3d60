"""Does: makes the snapshots that Raft wants followers to have, and hands them to the transport.

Raft names the peer; what is sent is the store as it is when its file is begun, with the index it has applied then.
While one is on its way the log behind it is kept: the follower goes on from there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, Protocol

import trio

from dualmode import limits, log
from dualmode.errors import StorageError
from dualmode.member.replica import Replica
from dualmode.member.snapshots import v2_store
from dualmode.member.snapshots.file import SnapshotFiles
from dualmode.member.surroundings import RunBlocking
from dualmode.raft import ConfState, Message, Snapshot, SnapshotMetadata, StateType

_log = log.get("snapshot")


class Source(Protocol):
    """The database that follows the message (`peer.interface.SnapshotSource`)."""

    def chunks(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class FileSource:
    """A file, read in pieces."""

    def __init__(self, file: IO[bytes], stack: ExitStack, run_blocking: RunBlocking) -> None:
        self._file = file
        self._stack = stack
        self._run_blocking = run_blocking

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it, once."""
        while piece := await self._run_blocking(self._file.read, limits.SNAPSHOT_READ_BYTES):
            yield piece

    def close(self) -> None:
        """See Source."""
        self._stack.close()


class SnapshotSender:
    """One per member. `send` is the transport's; `run` is its task."""

    def __init__(
        self,
        replica: Replica,
        files: SnapshotFiles,
        run_blocking: RunBlocking,
        send: Callable[[Message, Source], None],
    ) -> None:
        self._replica = replica
        self._files = files
        self._run_blocking = run_blocking
        self._send = send
        #: By peer, so that one is wanted at most once.
        self._wanted: dict[int, Message] = {}
        #: Peer -> the index that it goes on from.
        self._on_the_way: dict[int, int] = {}
        self._wake = trio.Event()
        replica.exchange.send_snapshot = self.want
        replica.exchange.on_snapshot_reported = self._on_reported

    def want(self, message: Message) -> None:
        """Raft wants this peer to have a snapshot."""
        self._wanted[message.to] = message
        self._wake.set()

    @property
    def needed_index(self) -> int | None:
        """The index that the log must be kept behind; None when nobody waits for it."""
        return min(self._on_the_way.values(), default=None)

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._wanted:
                await self._make_next()

    async def _make_next(self) -> None:
        peer = next(iter(self._wanted))
        message = self._wanted[peer]
        stack = ExitStack()
        try:
            if self._replica.node.state is StateType.LEADER:
                await self._make(peer, message, stack)
            else:
                self._replica.exchange.report_snapshot(peer, False)
        except StorageError as error:
            stack.close()
            _log.error("cannot make a snapshot for a peer", to=f"{peer:x}", error=str(error))
            self._replica.exchange.report_snapshot(peer, False)
        except BaseException:
            stack.close()
            raise
        finally:
            self._wanted.pop(peer, None)

    async def _make(self, peer: int, message: Message, stack: ExitStack) -> None:
        described = Snapshot()

        def describe() -> ConfState:
            nonlocal described
            described = self._describe()
            # From here on: making the file takes long, and a log that goes on behind it is what the peer needs.
            self._on_the_way[peer] = described.metadata.index
            return described.metadata.conf_state

        file, size = await self._files.make(stack, describe, None)
        index = described.metadata.index
        _log.info("sending database snapshot", to=f"{peer:x}", snapshot_index=index, bytes=size)
        self._send(replace(message, snapshot=described), FileSource(file, stack, self._run_blocking))

    def _describe(self) -> Snapshot:
        replica = self._replica
        store, membership = replica.store, replica.applier.membership
        data = v2_store.encode(
            membership.members(), membership.removed, membership.cluster_version, store.applied_index
        )
        return Snapshot(data, SnapshotMetadata(replica.conf_state, store.applied_index, store.applied_term))

    def _on_reported(self, peer: int) -> None:
        self._on_the_way.pop(peer, None)
