"""Decides: what can go wrong in the Raft core, and whose fault each case is.

`RaftError` and its children are answers for the caller. `BrokenInvariant` is ours: the state can no longer be
trusted, so the member must stop; it is logged as fatal just before it is raised.
"""

# The names say what happened, as the answers of the core are read: "proposal dropped", "compacted".
# ruff: noqa: N818

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from dualmode.raft.types import Logger


class RaftError(Exception):
    """Everything the core refuses; `str()` is the text that transcripts show."""


class ProposalDropped(RaftError):
    """Nobody will commit this proposal: no leader, a transfer is running, or too much is uncommitted. Try again."""

    def __init__(self) -> None:
        super().__init__("raft proposal dropped")


class LocalMessage(RaftError):
    """A message that only the node itself may make came from outside."""

    def __init__(self) -> None:
        super().__init__("raft: cannot step raft local message")


class PeerNotFound(RaftError):
    """A response came from a node that is not in the active configuration (it may have been removed)."""

    def __init__(self) -> None:
        super().__init__("raft: cannot step as peer not found")


class ConfChangeRefused(RaftError):
    """A configuration change that the current configuration does not allow."""


class ChangeDecodeError(RaftError):
    """The data of a configuration change entry is not one."""


class StorageUnready(RaftError):
    """Parent of what a storage may answer instead of the entries, terms or snapshot asked for."""


class Compacted(StorageUnready):
    """The index lies before the first entry that is kept."""

    def __init__(self) -> None:
        super().__init__("requested index is unavailable due to compaction")


class Unavailable(StorageUnready):
    """The index lies behind the last entry."""

    def __init__(self) -> None:
        super().__init__("requested entry at index is unavailable")


class SnapshotOutOfDate(StorageUnready):
    """A snapshot that is not newer than the stored one was to be applied."""

    def __init__(self) -> None:
        super().__init__("requested index is older than the existing snapshot")


class SnapshotTemporarilyUnavailable(StorageUnready):
    """The snapshot is still being made; the core asks again later."""

    def __init__(self) -> None:
        super().__init__("snapshot is temporarily unavailable")


class BrokenInvariant(AssertionError):
    """The core found itself in a state that must not exist."""


def fatal(logger: Logger, text: str) -> NoReturn:
    """Log a broken invariant, then stop this core for good by raising `BrokenInvariant`."""
    logger.fatal(text)
    raise BrokenInvariant(text)
