"""Decides: the bytes of watch events and watch responses, put together without protobuf.

A change is encoded once, however many hear of it, as element of `WatchResponse.events`. A response is then

    header (field 1) | watch_id (2) | events (11) ...

of which the first is shared by all responses of a revision, the second is kept by each watcher, and the third is shared
by all watchers of an interval. So one more watcher costs one concatenation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from dualmode import limits
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

#: What a watcher wants to hear, as bits: they select among the encodings of an event.
WITH_PREVIOUS: Final = 1
WITHOUT_PUTS: Final = 2
WITHOUT_DELETES: Final = 4

#: The watch_id of answers that belong to no watcher: refused creations and progress of a whole stream.
NO_WATCH: Final = -1

CREATED: Final = b"\x18\x01"
CANCELED: Final = b"\x20\x01"
FRAGMENT: Final = b"\x38\x01"
_COMPACT_REVISION: Final = b"\x28"
_CANCEL_REASON: Final = b"\x32"
_EVENTS: Final = b"\x5a"
_TYPE_DELETE: Final = b"\x08\x01"
_KV: Final = b"\x12"
_PREVIOUS_KV: Final = b"\x1a"


class Change(Protocol):
    """One key at one revision (`storage.mvcc.Change`). Records are serialised `mvccpb.KeyValue`s."""

    @property
    def key(self) -> bytes: ...

    @property
    def kv(self) -> bytes:
        """The new record; of a delete it has only key and mod_revision."""

    @property
    def is_delete(self) -> bool: ...

    @property
    def previous(self) -> bytes | None:
        """The record before; None if there was none or it has been compacted."""


class Commit(Protocol):
    """All changes of one revision (`storage.mvcc.Commit`)."""

    @property
    def revision(self) -> int: ...

    @property
    def changes(self) -> Sequence[Change]: ...


#: Finds the record of a key as it was before a revision.
LookBack = Callable[[bytes, int], bytes | None]


class Event:
    """One change on its way to watchers, encoded when the first one needs it.

    A change that was read from history does not know the record before it: with `look_back` that is looked up if a
    watcher asks for it.
    """

    __slots__ = ("_change", "_look_back", "_plain", "_with_previous", "revision", "without")

    def __init__(self, revision: int, change: Change, look_back: LookBack | None = None) -> None:
        self.revision = revision
        self._change = change
        self._look_back = look_back
        #: The filter bit that drops it.
        self.without = WITHOUT_DELETES if change.is_delete else WITHOUT_PUTS
        self._plain: bytes | None = None
        self._with_previous: bytes | None = None

    def encoded(self, wants: int) -> bytes:
        """This event as element of `events`, for a watcher with these bits."""
        if wants & WITH_PREVIOUS:
            encoded = self._with_previous
            if encoded is None:
                encoded = self._with_previous = _event(self._change, self._previous())
            return encoded
        encoded = self._plain
        if encoded is None:
            encoded = self._plain = _event(self._change, None)
        return encoded

    def _previous(self) -> bytes | None:
        change = self._change
        if self._look_back is None:
            return change.previous
        # A put that creates its key has nothing before it, even where its transaction has deleted one.
        if not change.is_delete and keyvalue.fields(change.kv).create_revision == self.revision:
            return None
        return self._look_back(change.key, self.revision)


def _event(change: Change, previous: bytes | None) -> bytes:
    kv = change.kv
    body = _KV + varint(len(kv)) + kv
    if change.is_delete:
        body = _TYPE_DELETE + body
    if previous is not None:
        body += _PREVIOUS_KV + varint(len(previous)) + previous
    return _EVENTS + varint(len(body)) + body


class Batch:
    """Events for one response: of one revision, or of several."""

    __slots__ = ("body", "events", "first_revision", "last_revision")

    def __init__(self, first_revision: int, last_revision: int, events: list[bytes]) -> None:
        self.first_revision = first_revision
        self.last_revision = last_revision
        self.events = events
        self.body = events[0] if len(events) == 1 else b"".join(events)


def batches(events: Iterable[Event], wants: int) -> list[Batch]:
    """Gathers events, in the order of revisions, into responses: those of one revision are never parted, those of
    several share a response while it is small. Empty when the filters leave nothing."""
    found: list[Batch] = []
    gathered: list[bytes] = []
    size = first_revision = last_revision = 0
    for event in events:
        if wants & event.without:
            continue
        encoded = event.encoded(wants)
        if gathered and size + len(encoded) > limits.WATCH_RESPONSE_BYTES and event.revision != last_revision:
            found.append(Batch(first_revision, last_revision, gathered))
            gathered, size = [], 0
        if not gathered:
            first_revision = event.revision
        gathered.append(encoded)
        size += len(encoded)
        last_revision = event.revision
    if gathered:
        found.append(Batch(first_revision, last_revision, gathered))
    return found


def fragments(head: bytes, events: list[bytes], fragment_bytes: int) -> list[bytes]:
    """The responses that carry these events to a watcher that asked for fragments: one if it is smaller than
    `fragment_bytes`, else several of at least one event each, all but the last marked. `head` is header and id."""
    if len(events) < 2 or len(head) + sum(map(len, events)) < fragment_bytes:
        return [head + b"".join(events)]
    parts: list[list[bytes]] = []
    size = fragment_bytes
    for event in events:
        if size + len(event) >= fragment_bytes:
            parts.append([])
            size = len(head) + len(FRAGMENT)
        parts[-1].append(event)
        size += len(event)
    last = parts.pop()
    return [head + FRAGMENT + b"".join(part) for part in parts] + [head + b"".join(last)]


def watch_id_field(watch_id: int) -> bytes:
    """Field 2 of a response, which proto3 leaves out for id 0."""
    return b"\x10" + varint(watch_id) if watch_id else b""


def refused(header_field: bytes, reason: str) -> bytes:
    """The answer to a creation that fails: created and canceled at once, with the reason."""
    text = reason.encode()
    return header_field + watch_id_field(NO_WATCH) + CREATED + CANCELED + _CANCEL_REASON + varint(len(text)) + text


def compacted(header_field: bytes, id_field: bytes, compact_revision: int) -> bytes:
    """The end of a watcher whose next revision has been compacted."""
    return header_field + id_field + CANCELED + _COMPACT_REVISION + varint(compact_revision)
