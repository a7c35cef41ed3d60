"""Decides: the words between the peer protocol and the member that speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dualmode.peer.member import Member
from dualmode.raft import Message


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who we are to the others. Versions are "3.6.0" and the like."""

    member_id: int
    cluster_id: int
    peer_urls: tuple[str, ...]
    server_version: str
    min_cluster_version: str = "3.0.0"


class RaftReceiver(Protocol):
    """The replica as the transport sees it. Called on the loop; nothing but `receive_snapshot` waits."""

    def receive(self, message: Message) -> None:
        """A peer says something. It may be dropped for want of room."""

    def report_unreachable(self, member_id: int) -> None:
        """Something for a peer could not be sent."""

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        """A snapshot was taken by a peer, or was not."""

    def is_removed(self, member_id: int) -> bool:
        """Whether this was once a member."""

    def on_removed(self) -> None:
        """A peer says that this member has been removed."""

    async def receive_snapshot(self, message: Message, file: Path) -> None:
        """The database of a snapshot is in `file`, whole and synced; whoever takes it deletes it. Raises
        `DualmodeError` when it is of no use."""


class SnapshotSource(Protocol):
    """The database that follows the message of a snapshot."""

    def chunks(self) -> AsyncIterator[bytes]:
        """All of it, once."""

    def close(self) -> None:
        """Called in the end, however that came, and whether or not anything was read."""


@dataclass(frozen=True, slots=True)
class KvHash:
    """What a member answers when it is asked for the hash of its keys."""

    revision: int
    hash: int
    compact_revision: int
    hash_revision: int = 0  #: 0: of a release that does not say


class PeerService(Protocol):
    """What the plain pages of the peer listener answer from. The async ones raise `RpcError`."""

    def members(self) -> list[Member]: ...

    def versions(self) -> dict[str, str]:
        """The page /version."""

    def is_downgrade_enabled(self) -> bool: ...

    def promote(self, member_id: int) -> Awaitable[list[Member]]: ...

    def keep_alive(self, lease_id: int) -> Awaitable[int]:
        """Renews a lease here; gives its TTL in seconds."""

    def time_to_live(self, lease_id: int, with_keys: bool) -> Awaitable[bytes]:
        """A serialised LeaseTimeToLiveResponse without header."""

    def hash_kv(self, revision: int) -> Awaitable[KvHash]: ...
