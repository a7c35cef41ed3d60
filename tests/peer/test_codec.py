"""Raft messages as bytes: against protobuf's own library, and against what etcd was seen to send."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import raftpb
from dualmode.errors import PeerError
from dualmode.peer.codec import (
    conf_state_of,
    decode_entry,
    decode_message,
    encode_conf_state,
    encode_message,
    encode_snapshot,
)
from dualmode.raft import LOCAL_MESSAGES, ConfState, Entry, EntryType, Message, MessageType, Snapshot
from dualmode.storage.raft_entries import encode_entry
from tests.peer import captures, strategies

#: A heartbeat of a stream, captured from etcd 3.4.23 (reference 4.7).
LINK_HEARTBEAT = bytes.fromhex("08081000180020002800300040004a0a12080a0228001000180050005800")


def test_zeros_are_written_as_etcd_writes_them() -> None:
    assert encode_message(Message(MessageType.HEARTBEAT)) == LINK_HEARTBEAT
    assert encode_entry(Entry()) == bytes.fromhex("080010001800")


@given(strategies.messages())
def test_what_is_written_is_read_back(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(strategies.messages())
def test_protobuf_reads_the_same(message: Message) -> None:
    read = raftpb.Message.FromString(encode_message(message))
    assert (read.type, read.to, getattr(read, "from"), read.term) == (
        message.type,
        message.to,
        message.sender,
        message.term,
    )
    assert (read.logTerm, read.index, read.commit) == (message.log_term, message.index, message.commit)
    assert (read.reject, read.rejectHint, read.context) == (message.reject, message.reject_hint, message.context)
    assert [(one.Type, one.Term, one.Index, one.Data) for one in read.entries] == [
        (one.type, one.term, one.index, one.data) for one in message.entries
    ]


@given(strategies.messages())
def test_what_protobuf_writes_is_read(message: Message) -> None:
    """Later releases of etcd leave zeros out."""
    again = raftpb.Message.FromString(encode_message(message)).SerializeToString()
    assert decode_message(again) == message


@given(strategies.entries)
def test_entries(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry
    assert raftpb.Entry.FromString(encode_entry(entry)).Data == entry.data


@given(strategies.conf_states)
def test_configurations(state: ConfState) -> None:
    assert conf_state_of(raftpb.ConfState.FromString(encode_conf_state(state))) == state


@given(strategies.snapshots)
def test_snapshots(snapshot: Snapshot) -> None:
    read = raftpb.Snapshot.FromString(encode_snapshot(snapshot))
    assert (read.data, read.metadata.index, read.metadata.term) == (
        snapshot.data,
        snapshot.metadata.index,
        snapshot.metadata.term,
    )


@given(st.binary(max_size=60))
def test_rubbish_is_the_peer_s_fault(data: bytes) -> None:
    for decode in (decode_message, decode_entry):
        with contextlib.suppress(PeerError):
            decode(data)


@pytest.mark.parametrize("data", [b"\x08\x63", b"\x08\x08\x3a\x02\x08\x09", b"\x3a\x7f"])
def test_kinds_that_do_not_exist_and_bytes_that_are_missing(data: bytes) -> None:
    with pytest.raises(PeerError, match="not a Raft message"):
        decode_message(data)


def test_an_entry_of_a_kind_that_does_not_exist() -> None:
    with pytest.raises(PeerError, match="not a Raft entry"):
        decode_entry(b"\x08\x07")
    assert decode_entry(b"") == Entry(EntryType.NORMAL)


@pytest.mark.parametrize("kind", sorted(LOCAL_MESSAGES))
def test_what_a_member_says_only_to_itself_is_refused(kind: MessageType) -> None:
    """Raft takes such messages from the threads of its owner, whose ids anybody could claim."""
    with pytest.raises(PeerError, match="from another member"):
        decode_message(encode_message(Message(kind, sender=2**64 - 1)))


def test_what_etcd_sends_is_read_and_written() -> None:
    heartbeat = decode_message(captures.HEARTBEAT)
    assert (heartbeat.to, heartbeat.sender, heartbeat.term) == (captures.LEARNER, captures.LEADER, 2)
    assert encode_message(heartbeat) == captures.HEARTBEAT
    entry = decode_entry(captures.ENTRY)
    assert entry == Entry(EntryType.NORMAL, 2, 7, captures.PUT)
    assert encode_entry(entry) == captures.ENTRY
