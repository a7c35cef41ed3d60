"""Decides: the stream of all kinds of messages between two members: a length of eight bytes, then a message, again and
again (etcd rafthttp `message`)."""

from __future__ import annotations

from typing import Final

from dualmode import limits
from dualmode.errors import PeerError
from dualmode.peer.codec import decode_message, encode_message
from dualmode.raft import Message, MessageType

_LENGTH: Final = 8
_BEAT: Final = encode_message(Message(MessageType.HEARTBEAT))
#: Says only that somebody is there.
HEARTBEAT: Final = len(_BEAT).to_bytes(_LENGTH, "big") + _BEAT


class MessageEncoder:
    """Makes the bytes of one stream."""

    heartbeat = HEARTBEAT

    def encode(self, message: Message) -> bytes:
        """One message, framed."""
        encoded = encode_message(message)
        return len(encoded).to_bytes(_LENGTH, "big") + encoded


class MessageDecoder:
    """Reads one stream, in any cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now, heartbeats of the stream left out. Raises `PeerError`."""
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        position, end = 0, len(buffer)
        while end - position >= _LENGTH:
            size = int.from_bytes(buffer[position : position + _LENGTH], "big")
            if size > limits.PEER_MESSAGE_BYTES:
                raise PeerError(f"a message of {size} bytes: at most {limits.PEER_MESSAGE_BYTES} are taken")
            start = position + _LENGTH
            if end - start < size:
                break
            position = start + size
            message = decode_message(bytes(buffer[start:position]))
            if message.type is MessageType.SNAPSHOT:
                raise PeerError("MsgSnap on a stream: its database would be missing")
            if message.type is not MessageType.HEARTBEAT or message.to or message.sender:
                found.append(message)
        if position:
            del buffer[:position]
        return found
