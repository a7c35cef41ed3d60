"""Decides: the bytes of Raft entries (`raftpb.Entry`), which are the same in the log and between members.

    Entry { Type = 1, Term = 2, Index = 3, Data = 4 }       proto2: numbers are always there, empty data is left out

An entry is encoded once: whoever needs its bytes first leaves them with it (`encoded`), for the log and the peers, and
a follower keeps those that came. Once the entry is in the log they are let go (`forget_encoded`), since they hold its
data a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dualmode.storage.varints import LOW_BITS, varint


class EntryLike(Protocol):
    """What is needed of a Raft entry."""

    #: Its bytes, or b"" while nobody has made them.
    encoded: bytes

    @property
    def type(self) -> Any: ...
    @property
    def term(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def data(self) -> bytes: ...


def encode_entry(entry: EntryLike) -> bytes:
    """One entry, whatever it is."""
    data = entry.data
    head = b"\x08%b\x10%b\x18%b" % (varint(int(entry.type)), varint(entry.term), varint(entry.index))
    return b'%b"%b%b' % (head, varint(len(data)), data) if data else head


def encode_entries(entries: Sequence[EntryLike], keeps: bool = True) -> list[bytes]:
    """The bytes of each, which it then has with it if it `keeps` them. Hot: entries of one batch have their type and
    term in common, and the high bits of their index."""
    term_of = high_of = -1
    head = high = b""
    found: list[bytes] = []
    for entry in entries:
        encoded = entry.encoded
        if not encoded:
            index, data = entry.index, entry.data
            if not data or entry.type:
                encoded = encode_entry(entry)
            else:
                if entry.term != term_of:
                    term_of = entry.term
                    head = b"\x08\x00\x10%b\x18" % varint(term_of)
                if index >> 14 != high_of:
                    high_of = index >> 14
                    high = varint(high_of)
                low = LOW_BITS[index & 0x3FFF] + high if high_of else varint(index)
                encoded = b'%b%b"%b%b' % (head, low, varint(len(data)), data)
            if keeps:
                entry.encoded = encoded
        found.append(encoded)
    return found


def forget_encoded(entries: Sequence[EntryLike]) -> None:
    """They are in the log: a peer that still lacks them is rare enough to encode them again."""
    for entry in entries:
        entry.encoded = b""
