"""Decides: the stream of appended entries between two members (etcd rafthttp `msgappv2`).

Nearly every append goes on where the last one ended, so only its entries and the commit index are said, and both ends
remember the rest. Each unit begins with one byte:

    0   nothing: somebody is there
    1   entries: count, each with its length; commit                (eight bytes each number)
    2   a whole message, with its length: where the two ends begin, or begin anew
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.peer.codec import decode_entry, decode_message, encode_entry, encode_message
from dualmode.raft import Entry, Message, MessageType

_BEAT: Final = 0
_ENTRIES: Final = 1
_MESSAGE: Final = 2
_NUMBER: Final = 8


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
        parts = [len(entries).to_bytes(_NUMBER, "big")]
        for entry in entries:
            encoded = encode_entry(entry)
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
        self._buffer = bytearray()
        self._term = 0
        self._index = 0

    def feed(self, data: bytes) -> list[Message]:
        """The appends that are complete now. Raises `PeerError`."""
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        position = 0
        while position < len(buffer):
            kind = buffer[position]
            if kind == _BEAT:
                position += 1
                continue
            if kind == _ENTRIES:
                message, behind = self._read_entries(buffer, position + 1)
            elif kind == _MESSAGE:
                message, behind = self._read_message(buffer, position + 1)
            else:
                raise PeerError(f"a unit of kind {kind} on a stream of appends")
            if message is None:
                break
            found.append(message)
            position = behind
        if position:
            del buffer[:position]
        return found

    def _read_message(self, buffer: bytearray, position: int) -> tuple[Message | None, int]:
        size = _number(buffer, position)
        if size is None:
            return None, 0
        _check_size(size)
        start = position + _NUMBER
        if len(buffer) - start < size:
            return None, 0
        message = decode_message(bytes(buffer[start : start + size]))
        if message.type is not MessageType.APPEND:
            raise PeerError(f"{message.type.printed} on a stream of appends")
        self._term = message.term
        self._index = message.entries[-1].index if message.entries else message.index
        return message, start + size

    def _read_entries(self, buffer: bytearray, position: int) -> tuple[Message | None, int]:
        count = _number(buffer, position)
        if count is None:
            return None, 0
        if count > limits.PEER_APPEND_ENTRIES:
            raise PeerError(f"an append of {count} entries: at most {limits.PEER_APPEND_ENTRIES} are taken")
        position += _NUMBER
        # Looked at in full before anything is decoded: a unit that is cut is looked at again when more has come.
        spans: list[tuple[int, int]] = []
        total = 0
        for _ in range(count):
            size = _number(buffer, position)
            if size is None:
                return None, 0
            total += size + _NUMBER
            _check_size(total)
            spans.append((position + _NUMBER, position + _NUMBER + size))
            position += _NUMBER + size
            if position > len(buffer):
                return None, 0
        commit = _number(buffer, position)
        if commit is None:
            return None, 0
        entries = [decode_entry(bytes(buffer[start:end])) for start, end in spans]
        message = Message(
            MessageType.APPEND,
            to=self._local_id,
            sender=self._remote_id,
            term=self._term,
            log_term=self._term,
            index=self._index,
            entries=entries,
            commit=commit,
        )
        self._index += count
        return message, position + _NUMBER


def _number(buffer: bytearray, position: int) -> int | None:
    piece = buffer[position : position + _NUMBER]
    return int.from_bytes(piece, "big") if len(piece) == _NUMBER else None


def _check_size(size: int) -> None:
    if size > limits.PEER_MESSAGE_BYTES:
        raise PeerError(f"an append of {size} bytes: at most {limits.PEER_MESSAGE_BYTES} are taken")
