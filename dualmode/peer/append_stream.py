"""Decides: the stream of appended entries between two members (etcd rafthttp `msgappv2`).

Nearly every append goes on where the last one ended, so only its entries and the commit index are said, and both ends
remember the rest. Each unit begins with one byte:

    0   nothing: somebody is there
    1   entries: count, each with its length; commit                (eight bytes each number)
    2   a whole message, with its length: where the two ends begin, or begin anew
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.peer.codec import decode_entry, decode_message, encode_message
from dualmode.raft import Entry, EntryType, Message, MessageType
from dualmode.storage.raft_entries import encode_entries, forget_encoded
from dualmode.storage.varints import LOW_BITS, SMALL, varint

_BEAT: Final = 0
_ENTRIES: Final = 1
_MESSAGE: Final = 2
_NUMBER: Final = 8
_read_number: Final = struct.Struct(">Q").unpack_from
_NORMAL: Final = EntryType.NORMAL


class EntryBlocks:
    """Makes the part of a unit that says the entries, and remembers the last one: a leader sends the same entries to
    all of its peers, so they are encoded once."""

    __slots__ = ("_block", "_entries")

    def __init__(self) -> None:
        self._entries: Sequence[Entry] = ()
        self._block = bytes(_NUMBER)

    def block(self, entries: Sequence[Entry]) -> bytes:
        """The count, and each entry with its length."""
        last = self._entries
        # Entries are never changed, and a log that ends in the same one is the same log: the ends are enough.
        if len(entries) == len(last) and (not entries or (entries[0] is last[0] and entries[-1] is last[-1])):
            return self._block
        if last and last[-1].encoded:
            forget_encoded(last)  # they were in the log before: a peer has caught up with them
        parts = [len(entries).to_bytes(_NUMBER, "big")]
        for encoded in encode_entries(entries):
            parts += (len(encoded).to_bytes(_NUMBER, "big"), encoded)
        self._entries, self._block = entries, b"".join(parts)
        return self._block


class AppendEncoder:
    """Makes the bytes of one stream. `blocks` is shared by the streams to all peers."""

    heartbeat: Final = bytes((_BEAT,))

    def __init__(self, blocks: EntryBlocks | None = None) -> None:
        self._blocks = blocks or EntryBlocks()
        self._term = 0
        self._index = 0

    def encode(self, message: Message) -> bytes:
        """One append."""
        entries = message.entries
        if message.index == self._index and message.log_term == self._term == message.term:
            self._index += len(entries)
            return b"\x01%b%b" % (self._blocks.block(entries), message.commit.to_bytes(_NUMBER, "big"))
        self._term = message.term
        self._index = entries[-1].index if entries else message.index
        encoded = encode_message(message)
        return b"\x02" + len(encoded).to_bytes(_NUMBER, "big") + encoded


class AppendDecoder:
    """Reads one stream from `remote_id` to `local_id`, in any cut."""

    def __init__(self, local_id: int, remote_id: int) -> None:
        self._local_id = local_id
        self._remote_id = remote_id
        #: A unit that has not come in full, from its first byte on.
        self._buffer = bytearray()
        #: Where the entries lie that are known of it, counted from its first byte: a unit is looked through once,
        #: in however many pieces it comes.
        self._spans: list[tuple[int, int]] = []
        self._term = 0
        self._index = 0
        #: What an entry of this term begins with, up to its index.
        self._lead = b""

    def feed(self, data: bytes) -> list[Message]:
        """The appends that are complete now. Raises `PeerError`."""
        buffer = self._buffer
        source: bytes | bytearray = data
        if buffer:
            buffer += data
            source = buffer
        found: list[Message] = []
        position = 0
        while position < len(source):
            kind = source[position]
            if kind == _BEAT:
                position += 1
                continue
            if kind == _ENTRIES:
                end = self._end_of_entries(source, position)
            elif kind == _MESSAGE:
                end = _end_of_message(source, position)
            else:
                raise PeerError(f"a unit of kind {kind} on a stream of appends")
            if not end:
                break
            unit = bytes(source[position:end])
            found.append(self._entries_of(unit) if kind == _ENTRIES else self._message_of(unit))
            position = end
        if source is buffer:
            del buffer[:position]
        else:
            buffer += data[position:]
        return found

    def _end_of_entries(self, source: bytes | bytearray, start: int) -> int:
        """Where a unit of entries ends; 0 while that has not come. Nothing is decoded before it has."""
        spans = self._spans
        count = _number(source, start + 1)
        if count is None:
            return 0
        if count > limits.PEER_APPEND_ENTRIES:
            raise PeerError(f"an append of {count} entries: at most {limits.PEER_APPEND_ENTRIES} are taken")
        end = spans[-1][1] if spans else 1 + _NUMBER
        available = len(source) - start
        while len(spans) < count:
            if end + _NUMBER > available:
                _check_size(end)
                return 0
            size = _read_number(source, start + end)[0]
            if end + size > available:
                _check_size(end + size)
                return 0
            end += _NUMBER
            spans.append((end, end + size))
            end += size
        return start + end + _NUMBER if end + _NUMBER <= available else 0

    def _entries_of(self, unit: bytes) -> Message:
        spans, self._spans = self._spans, []
        commit = int.from_bytes(unit[-_NUMBER:], "big")
        message = Message(
            MessageType.APPEND,
            to=self._local_id,
            sender=self._remote_id,
            term=self._term,
            log_term=self._term,
            index=self._index,
            entries=self._decoded(unit, spans),
            commit=commit,
        )
        self._index += len(spans)
        return message

    def _decoded(self, unit: bytes, spans: list[tuple[int, int]]) -> list[Entry]:
        """Hot: nearly every entry is plain data of the stream's term at the next index. So what stands around its data
        is known, and is only compared; such an entry keeps its bytes, for the log. Everything else goes the long way.
        """
        lead, term, index = self._lead, self._term, self._index
        high_of, high = -1, b""
        entries: list[Entry] = []
        for start, end in spans:
            index += 1
            encoded = unit[start:end]
            if index >> 14 != high_of:
                high_of = index >> 14
                high = varint(high_of) + b'"'
            begin = lead + (LOW_BITS[index & 0x3FFF] + high if high_of else SMALL[index] + b'"')
            size = end - start - len(begin)  # of the data and its length, a varint of one byte or of two
            size -= 1 if size <= 0x80 else 2
            if 0 < size < 0x4000:
                begin += SMALL[size]
                if encoded.startswith(begin):
                    entries.append(Entry(_NORMAL, term, index, encoded[len(begin) :], encoded))
                    continue
            entries.append(decode_entry(encoded))
        return entries

    def _message_of(self, unit: bytes) -> Message:
        message = decode_message(unit[1 + _NUMBER :])
        if message.type is not MessageType.APPEND:
            raise PeerError(f"{message.type.printed} on a stream of appends")
        self._term = message.term
        self._lead = b"\x08\x00\x10%b\x18" % varint(message.term)
        self._index = message.entries[-1].index if message.entries else message.index
        return message


def _end_of_message(source: bytes | bytearray, start: int) -> int:
    """Where a whole message ends; 0 while that has not come."""
    size = _number(source, start + 1)
    if size is None:
        return 0
    _check_size(size)
    end = start + 1 + _NUMBER + size
    return end if end <= len(source) else 0


def _number(source: bytes | bytearray, position: int) -> int | None:
    piece = source[position : position + _NUMBER]
    return int.from_bytes(piece, "big") if len(piece) == _NUMBER else None


def _check_size(size: int) -> None:
    if size > limits.PEER_MESSAGE_BYTES:
        raise PeerError(f"an append of {size} bytes: at most {limits.PEER_MESSAGE_BYTES} are taken")
