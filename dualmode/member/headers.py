"""Decides: the response header every answer starts with, as bytes.

A header changes only with the revision and the term, so its bytes are kept until one of them moves.
"""

from __future__ import annotations


def varint(number: int) -> bytes:
    """Protobuf's base-128 form of a number; negative ones as their 64-bit two's complement, ten bytes long."""
    if number < 0:
        number += 1 << 64
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class ResponseHeaders:
    """Makes serialised `etcdserverpb.ResponseHeader`s of one member."""

    __slots__ = ("_bare", "_field", "_prefix", "_revision", "_term", "cluster_id", "member_id", "term")

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self.cluster_id = cluster_id
        self.member_id = member_id
        #: The raft term; the replica sets it when it changes.
        self.term = 0
        self._prefix = b"\x08" + varint(cluster_id) + b"\x10" + varint(member_id)
        self._revision = self._term = -1
        self._field = self._bare = b""

    def bare(self, revision: int) -> bytes:
        """The header alone; `revision` 0 leaves the field out, as the member calls of etcd do."""
        if revision != self._revision or self.term != self._term:
            self._make(revision)
        return self._bare

    def field(self, revision: int) -> bytes:
        """The header as field 1 of an answer: tag, length, header. Every answer but a few begins with these bytes."""
        if revision != self._revision or self.term != self._term:
            self._make(revision)
        return self._field

    def _make(self, revision: int) -> None:
        self._revision, self._term = revision, self.term
        bare = self._prefix
        if revision:
            bare += b"\x18" + varint(revision)
        if self.term:
            bare += b"\x20" + varint(self.term)
        self._bare = bare
        self._field = b"\x0a" + bytes((len(bare),)) + bare
