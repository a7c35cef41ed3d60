"""Decides: the vocabulary of the Raft core, that is, entries, messages, hard state, snapshots, and their sizes.

The fields and numbers are those of etcd's `raftpb`, so that the write-ahead log and the peer protocol can map them
one to one; the classes are plain, so that the hot path makes no protobuf object. An entry that is in a log is never
changed: logs, messages and Readys of several nodes may share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

#: No node: "no leader", "not voted".
NONE: Final = 0
#: Senders and recipients that stand for local threads (asynchronous storage writes).
APPEND_THREAD: Final = 2**64 - 1
APPLY_THREAD: Final = 2**64 - 2
#: A size or count without a bound.
NO_LIMIT: Final = 2**64 - 1
#: Context of a vote request that belongs to a leadership transfer: it overrides the lease of a living leader.
CAMPAIGN_TRANSFER: Final = b"CampaignTransfer"


class EntryType(IntEnum):
    NORMAL = 0
    CONF_CHANGE = 1
    CONF_CHANGE_V2 = 2


class MessageType(IntEnum):
    """Numbers of `raftpb.MessageType`. `printed` is the name in logs and transcripts."""

    HUP = 0
    BEAT = 1
    PROPOSAL = 2
    APPEND = 3
    APPEND_RESPONSE = 4
    VOTE = 5
    VOTE_RESPONSE = 6
    SNAPSHOT = 7
    HEARTBEAT = 8
    HEARTBEAT_RESPONSE = 9
    UNREACHABLE = 10
    SNAPSHOT_STATUS = 11
    CHECK_QUORUM = 12
    TRANSFER_LEADER = 13
    TIMEOUT_NOW = 14
    READ_INDEX = 15
    READ_INDEX_RESPONSE = 16
    PRE_VOTE = 17
    PRE_VOTE_RESPONSE = 18
    STORAGE_APPEND = 19
    STORAGE_APPEND_RESPONSE = 20
    STORAGE_APPLY = 21
    STORAGE_APPLY_RESPONSE = 22
    FORGET_LEADER = 23

    @property
    def printed(self) -> str:
        return MESSAGE_NAMES[self]


MESSAGE_NAMES: Final = (
    "MsgHup",
    "MsgBeat",
    "MsgProp",
    "MsgApp",
    "MsgAppResp",
    "MsgVote",
    "MsgVoteResp",
    "MsgSnap",
    "MsgHeartbeat",
    "MsgHeartbeatResp",
    "MsgUnreachable",
    "MsgSnapStatus",
    "MsgCheckQuorum",
    "MsgTransferLeader",
    "MsgTimeoutNow",
    "MsgReadIndex",
    "MsgReadIndexResp",
    "MsgPreVote",
    "MsgPreVoteResp",
    "MsgStorageAppend",
    "MsgStorageAppendResp",
    "MsgStorageApply",
    "MsgStorageApplyResp",
    "MsgForgetLeader",
)

#: Messages a node makes for itself; they are refused from outside.
LOCAL_MESSAGES: Final = frozenset(
    {
        MessageType.HUP,
        MessageType.BEAT,
        MessageType.UNREACHABLE,
        MessageType.SNAPSHOT_STATUS,
        MessageType.CHECK_QUORUM,
        MessageType.STORAGE_APPEND,
        MessageType.STORAGE_APPEND_RESPONSE,
        MessageType.STORAGE_APPLY,
        MessageType.STORAGE_APPLY_RESPONSE,
    }
)
#: Messages that answer another one; from outside they are taken only from nodes of the configuration.
RESPONSE_MESSAGES: Final = frozenset(
    {
        MessageType.APPEND_RESPONSE,
        MessageType.VOTE_RESPONSE,
        MessageType.HEARTBEAT_RESPONSE,
        MessageType.UNREACHABLE,
        MessageType.READ_INDEX_RESPONSE,
        MessageType.PRE_VOTE_RESPONSE,
        MessageType.STORAGE_APPEND_RESPONSE,
        MessageType.STORAGE_APPLY_RESPONSE,
    }
)


class StateType(IntEnum):
    """The role of a node. `printed` is the name in logs and transcripts."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    PRE_CANDIDATE = 3

    @property
    def printed(self) -> str:
        return ("StateFollower", "StateCandidate", "StateLeader", "StatePreCandidate")[self]


@dataclass(slots=True)
class Entry:
    """One entry of the replicated log. `data` is the application's, or an encoded configuration change."""

    type: EntryType = EntryType.NORMAL
    term: int = 0
    index: int = 0
    data: bytes = b""
    #: The owner's: the entry's bytes, for as long as it wants to have them. No part of the entry.
    encoded: bytes = field(default=b"", compare=False, repr=False)


class HardState(NamedTuple):
    """What must be on disk before a message that depends on it leaves: (term, vote, commit)."""

    term: int = 0
    vote: int = NONE
    commit: int = 0


class SoftState(NamedTuple):
    """What is worth knowing but need not survive: the leader (0 = none) and the role."""

    leader: int
    state: StateType


@dataclass(frozen=True, slots=True)
class ConfState:
    """A configuration as it travels in snapshots. `voters_outgoing` is not empty while it is joint."""

    voters: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()
    voters_outgoing: tuple[int, ...] = ()
    learners_next: tuple[int, ...] = ()
    auto_leave: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotMetadata:
    conf_state: ConfState = field(default_factory=ConfState)
    index: int = 0
    term: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The application's state up to and including `metadata.index`. Index 0 means "no snapshot"."""

    data: bytes = b""
    metadata: SnapshotMetadata = field(default_factory=SnapshotMetadata)


@dataclass(slots=True)
class Message:
    """What nodes say to each other, and a node to itself. Fields a type does not use stay 0 or empty."""

    type: MessageType
    to: int = NONE
    sender: int = NONE
    term: int = 0
    log_term: int = 0
    index: int = 0
    entries: Sequence[Entry] = ()
    commit: int = 0
    vote: int = NONE
    snapshot: Snapshot | None = None
    reject: bool = False
    reject_hint: int = 0
    context: bytes = b""
    responses: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class ReadState:
    """A read may be served once the application has applied `index`; `context` says which read it was."""

    index: int
    context: bytes


class Logger(Protocol):
    """Where the core reports. Each call takes a finished text; the hot path of a one-voter group makes none."""

    def debug(self, text: str, /) -> None: ...
    def info(self, text: str, /) -> None: ...
    def warning(self, text: str, /) -> None: ...
    def error(self, text: str, /) -> None: ...
    def fatal(self, text: str, /) -> None: ...


def _varint_size(number: int) -> int:
    return (number.bit_length() + 6) // 7 or 1


#: At most, beside the data: four tags, a type, and numbers of ten bytes each.
_ENTRY_OVERHEAD_BYTES: Final = 35


def entry_size(entry: Entry) -> int:
    """Bytes of the entry as etcd's `raftpb.Entry`: size limits are stated in these."""
    length = len(entry.data)
    size = 4 + _varint_size(entry.term) + _varint_size(entry.index)
    return size + 1 + _varint_size(length) + length if length else size


def entries_size(entries: Sequence[Entry]) -> int:
    return sum(map(entry_size, entries))


def payload_size(entries: Sequence[Entry]) -> int:
    """Bytes of data alone: what counts against the in-flight and uncommitted limits."""
    return sum([len(entry.data) for entry in entries])


def limit_size(entries: list[Entry], max_size: int) -> list[Entry]:
    """The longest prefix of `entries` whose encoded size is at most `max_size` bytes, but at least one entry."""
    if max_size >= NO_LIMIT or not entries:
        return entries
    if payload_size(entries) + len(entries) * _ENTRY_OVERHEAD_BYTES <= max_size:
        return entries  # the usual case, without the sizes of numbers
    total = 0
    for count, entry in enumerate(entries):
        total += entry_size(entry)
        if total > max_size:
            return entries[: max(count, 1)]
    return entries
