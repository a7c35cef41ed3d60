"""Decides: the bytes of watch responses on their way from one upstream watch to the watches of several clients.

What is the same for all is put together once: header, then (each client's own) watch_id, then the rest.
"""

from __future__ import annotations

from typing import Any, Final

from dualmode.api import etcdserverpb
from dualmode.storage.varints import varint

CREATED: Final = b"\x18\x01"
CANCELED: Final = b"\x20\x01"
#: The watch_id of answers that belong to no watch.
NO_WATCH: Final = -1


class Response:
    """One response of a member, read once. `oldest` and `newest` are the revisions of its events, 0 without any."""

    __slots__ = ("_head", "_message", "_rest", "is_compacted", "newest", "oldest", "revision")

    def __init__(self, message: Any) -> None:
        self.revision: int = message.header.revision
        self.is_compacted = bool(message.compact_revision)
        revisions = [event.kv.mod_revision for event in message.events]
        self.oldest = min(revisions, default=0)
        self.newest = max(revisions, default=0)
        header = message.header.SerializeToString()
        self._head: bytes = b"\x0a" + varint(len(header)) + header
        self._message = message
        self._rest: bytes | None = None

    @property
    def rest(self) -> bytes:
        """What stands behind the watch_id."""
        if self._rest is None:
            rest = etcdserverpb.WatchResponse()
            rest.CopyFrom(self._message)
            rest.ClearField("header")
            rest.ClearField("watch_id")
            self._rest = bytes(rest.SerializeToString())
        return self._rest

    def addressed(self, watch_id: int) -> bytes:
        """The whole response, as for this watch."""
        return self._head + id_field(watch_id) + self.rest

    def addressed_above(self, watch_id: int, floor: int) -> bytes:
        """The same without events at or below a revision; b"" when none is left."""
        if floor >= self.newest:
            return b""
        if floor < self.oldest:
            return self.addressed(watch_id)
        kept = etcdserverpb.WatchResponse()
        kept.CopyFrom(self._message)
        kept.watch_id = watch_id
        events = [event for event in self._message.events if event.kv.mod_revision > floor]
        del kept.events[:]
        kept.events.extend(events)
        return bytes(kept.SerializeToString())

    @property
    def head(self) -> bytes:
        """Its header, as field 1."""
        return self._head


def id_field(watch_id: int) -> bytes:
    """watch_id, field 2; 0 is left out."""
    return b"\x10" + varint(watch_id) if watch_id else b""


def refused(head: bytes, reason: str) -> bytes:
    """A creation that fails without anybody being asked."""
    text = reason.encode()
    return head + id_field(NO_WATCH) + CREATED + CANCELED + b"\x32" + varint(len(text)) + text
