"""Decides: the bytes of Raft messages, entries and snapshots (etcd's `raftpb`), to and from the core's own classes.

Written as etcd's encoder does: fields in ascending order, numbers and the snapshot always there, also when they are
zero; bytes only when there are any. Reading is upb's work and takes what later releases leave out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import DecodeError

from dualmode import limits
from dualmode.api import raftpb
from dualmode.errors import PeerError
from dualmode.raft import (
    LOCAL_MESSAGES,
    ConfState,
    Entry,
    EntryType,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)
from dualmode.storage.raft_entries import encode_entries
from dualmode.storage.varints import varint

#: By number; a number that is none of theirs raises KeyError.
_ENTRY_TYPES: Final = {kind.value: kind for kind in EntryType}
_MESSAGE_TYPES: Final = {kind.value: kind for kind in MessageType}
#: Field 9 of a message that carries no snapshot: an empty configuration, index 0, term 0.
_NO_SNAPSHOT: Final = b"\x4a\x0a\x12\x08\x0a\x02\x28\x00\x10\x00\x18\x00"


@lru_cache(maxsize=limits.REMEMBERED_MEMBERS)
def _member_varint(member_id: int) -> bytes:
    """Few members, named in every message by ten bytes each."""
    return varint(member_id)


def decode_entry(data: bytes) -> Entry:
    """Raises `PeerError`."""
    try:
        return _entry(raftpb.Entry.FromString(data))
    except (DecodeError, KeyError) as error:
        raise PeerError(f"not a Raft entry: {error}") from None


def _entry(message: Any) -> Entry:
    return Entry(_ENTRY_TYPES[message.Type], message.Term, message.Index, message.Data)


def encode_message(message: Message) -> bytes:
    """`raftpb.Message`."""
    parts = [
        b"\x08%c\x10%b\x18%b\x20%b\x28%b\x30%b"
        % (
            message.type,
            _member_varint(message.to),
            _member_varint(message.sender),
            varint(message.term),
            varint(message.log_term),
            varint(message.index),
        )
    ]
    parts += [b"\x3a%b%b" % (varint(len(encoded)), encoded) for encoded in encode_entries(message.entries, keeps=False)]
    parts.append(b"\x40" + varint(message.commit))
    if message.snapshot is None:
        parts.append(_NO_SNAPSHOT)
    else:
        snapshot = encode_snapshot(message.snapshot)
        parts.append(b"\x4a%b%b" % (varint(len(snapshot)), snapshot))
    parts.append(b"\x50%c\x58%b" % (message.reject, varint(message.reject_hint)))
    if message.context:
        parts.append(b"\x62%b%b" % (varint(len(message.context)), message.context))
    if message.vote:
        parts.append(b"\x68" + varint(message.vote))
    return b"".join(parts)


def decode_message(data: bytes) -> Message:
    """Raises `PeerError` for what is no message, or one of a kind that members do not send each other."""
    try:
        read = raftpb.Message.FromString(data)
        kind = _MESSAGE_TYPES[read.type]
        entries = [_entry(one) for one in read.entries]
    except (DecodeError, KeyError) as error:
        raise PeerError(f"not a Raft message: {error}") from None
    if kind in LOCAL_MESSAGES:
        raise PeerError(f"{kind.printed} from another member")
    return Message(
        kind,
        to=read.to,
        sender=getattr(read, "from"),
        term=read.term,
        log_term=read.logTerm,
        index=read.index,
        entries=entries,
        commit=read.commit,
        snapshot=_snapshot(read.snapshot) if kind is MessageType.SNAPSHOT else None,
        reject=read.reject,
        reject_hint=read.rejectHint,
        context=read.context,
        vote=read.vote,
    )


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """`raftpb.Snapshot`."""
    metadata = snapshot.metadata
    state = encode_conf_state(metadata.conf_state)
    described = b"\x0a%b%b\x10%b\x18%b" % (varint(len(state)), state, varint(metadata.index), varint(metadata.term))
    data = b"\x0a%b%b" % (varint(len(snapshot.data)), snapshot.data) if snapshot.data else b""
    return b"%b\x12%b%b" % (data, varint(len(described)), described)


def encode_conf_state(state: ConfState) -> bytes:
    """`raftpb.ConfState`; its lists are not packed."""
    lists = ((b"\x08", state.voters), (b"\x10", state.learners), (b"\x18", state.voters_outgoing))
    parts = [tag + varint(member) for tag, members in (*lists, (b"\x20", state.learners_next)) for member in members]
    return b"".join(parts) + b"\x28%c" % state.auto_leave


def _snapshot(read: Any) -> Snapshot:
    return Snapshot(
        read.data, SnapshotMetadata(conf_state_of(read.metadata.conf_state), read.metadata.index, read.metadata.term)
    )


def conf_state_of(read: Any) -> ConfState:
    """From a parsed `raftpb.ConfState`."""
    return ConfState(
        voters=tuple(read.voters),
        learners=tuple(read.learners),
        voters_outgoing=tuple(read.voters_outgoing),
        learners_next=tuple(read.learners_next),
        auto_leave=read.auto_leave,
    )
