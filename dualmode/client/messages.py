"""Decides: gRPC's length-prefixed messages, taken out of a body that comes in pieces (grpc: doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from dualmode.client.status import CallError
from dualmode.errors import Code

PREFIX_BYTES = 5


def pack(message: bytes) -> bytes:
    """A message with its prefix: flag 0 (not compressed) and four bytes of length."""
    return len(message).to_bytes(PREFIX_BYTES, "big") + message


class MessageReader:
    """Collects the pieces of one body."""

    __slots__ = ("_limit_bytes", "_pieces", "_size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Gives the messages that are complete with these bytes. Raises CallError."""
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes < PREFIX_BYTES or (len(self._pieces) > 1 and self._size_bytes < self._needed_bytes()):
            return []
        whole, at = b"".join(self._pieces), 0
        messages = []
        while len(whole) - at >= PREFIX_BYTES:
            end = at + PREFIX_BYTES + self._length(whole, at)
            if end > len(whole):
                break
            messages.append(whole[at + PREFIX_BYTES : end])
            at = end
        rest = whole[at:]
        self._pieces = [rest] if rest else []
        self._size_bytes = len(rest)
        return messages

    @property
    def is_between_messages(self) -> bool:
        """False when the body would end within a message."""
        return not self._size_bytes

    def _needed_bytes(self) -> int:
        """Of the first message, its prefix being here. So pieces are joined once per message, not once per piece."""
        if len(self._pieces[0]) < PREFIX_BYTES:
            self._pieces = [b"".join(self._pieces)]
        return PREFIX_BYTES + self._length(self._pieces[0], 0)

    def _length(self, data: bytes, at: int) -> int:
        if data[at]:
            raise CallError(Code.INTERNAL, "the server sent a compressed message, which was not asked for")
        length = int.from_bytes(data[at + 1 : at + PREFIX_BYTES], "big")
        if length > self._limit_bytes:
            text = f"received message larger than max ({length} vs. {self._limit_bytes})"
            raise CallError(Code.RESOURCE_EXHAUSTED, text)
        return length
