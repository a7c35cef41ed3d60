"""Decides: bytes of a stream, fed to its decoder in pieces."""

from collections.abc import Sequence
from typing import Protocol

from dualmode.raft import Message


class Decoder(Protocol):
    def feed(self, data: bytes) -> list[Message]: ...


def fed(decoder: Decoder, data: bytes, sizes: Sequence[int]) -> list[Message]:
    """What a decoder makes of pieces of these sizes, which come round and round until all is fed."""
    found: list[Message] = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += decoder.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    return found
