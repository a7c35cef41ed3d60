"""Consensus as a pure state machine; it knows no files, no sockets, no trio.

Read `types` for the words, `rawnode` for how it is driven, `step` for what meets a message first, then the modules of
the roles: `follower`, `candidate`, `leader`.
"""

from dualmode.raft.changes import (
    AnyConfChange,
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    decode_change,
)
from dualmode.raft.config import Config, ReadOnlyOption
from dualmode.raft.errors import (
    BrokenInvariant,
    ChangeDecodeError,
    Compacted,
    ConfChangeRefused,
    LocalMessage,
    PeerNotFound,
    ProposalDropped,
    RaftError,
    SnapshotOutOfDate,
    SnapshotTemporarilyUnavailable,
    StorageUnready,
    Unavailable,
)
from dualmode.raft.rawnode import RawNode, Status
from dualmode.raft.ready import Ready
from dualmode.raft.storage import MemoryStorage, Storage
from dualmode.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    LOCAL_MESSAGES,
    NO_LIMIT,
    NONE,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Logger,
    Message,
    MessageType,
    ReadState,
    Snapshot,
    SnapshotMetadata,
    SoftState,
    StateType,
)

__all__ = [
    "APPEND_THREAD",
    "APPLY_THREAD",
    "LOCAL_MESSAGES",
    "NONE",
    "NO_LIMIT",
    "AnyConfChange",
    "BrokenInvariant",
    "ChangeDecodeError",
    "Compacted",
    "ConfChange",
    "ConfChangeRefused",
    "ConfChangeSingle",
    "ConfChangeTransition",
    "ConfChangeType",
    "ConfChangeV2",
    "ConfState",
    "Config",
    "Entry",
    "EntryType",
    "HardState",
    "LocalMessage",
    "Logger",
    "MemoryStorage",
    "Message",
    "MessageType",
    "PeerNotFound",
    "ProposalDropped",
    "RaftError",
    "RawNode",
    "ReadOnlyOption",
    "ReadState",
    "Ready",
    "Snapshot",
    "SnapshotMetadata",
    "SnapshotOutOfDate",
    "SnapshotTemporarilyUnavailable",
    "SoftState",
    "StateType",
    "Status",
    "Storage",
    "StorageUnready",
    "Unavailable",
    "decode_change",
]
