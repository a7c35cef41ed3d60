"""Decides: the response header every answer starts with, as bytes.

A header changes only with the revision and the term, so its bytes are kept until one of them moves; and of a new one
only the revision is written anew.
"""

from __future__ import annotations

from dualmode.storage.varints import varint


class ResponseHeaders:
    """Makes serialised `etcdserverpb.ResponseHeader`s of one member."""

    __slots__ = ("_field", "_ids", "_leads", "_revision", "_tail", "_term", "cluster_id", "member_id")

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self.cluster_id = cluster_id
        self.member_id = member_id
        self._ids = b"\x08" + varint(cluster_id) + b"\x10" + varint(member_id)
        self._term = 0
        self._tail = b""
        #: Everything in front of the revision, by the revision's length: tag, length, ids, the revision's tag.
        self._leads: dict[int, bytes] = {}
        self._revision = -1
        self._field = b""

    @property
    def term(self) -> int:
        """The raft term; the replica sets it when it changes."""
        return self._term

    @term.setter
    def term(self, term: int) -> None:
        self._term = term
        self._tail = b"\x20" + varint(term) if term else b""
        self._leads = {}
        self._revision = -1

    def field(self, revision: int) -> bytes:
        """The header as field 1 of an answer: tag, length, header. Nearly every answer begins with these bytes.

        `revision` 0 leaves it out, as the member calls of etcd do.
        """
        if revision != self._revision:
            self._revision = revision
            self._field = self._make(revision)
        return self._field

    def _make(self, revision: int) -> bytes:
        if not revision:
            return b"\x0a" + bytes((len(self._ids) + len(self._tail),)) + self._ids + self._tail
        number = varint(revision)
        lead = self._leads.get(len(number))
        if lead is None:
            # 44 bytes at the most, so the length is one byte.
            length = len(self._ids) + 1 + len(number) + len(self._tail)
            lead = self._leads[len(number)] = b"\x0a" + bytes((length,)) + self._ids + b"\x18"
        return lead + number + self._tail
