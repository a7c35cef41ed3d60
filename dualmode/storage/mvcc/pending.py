"""Decides: what a pass has written and the backend does not have yet, seen together with what the backend has."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from dualmode.storage.backend import Backend


class PendingRows:
    """The rows of a backend as the running pass sees them: its own writes first.

    Owned by the store. `written` maps a row key to its new value, None for a deletion; the store's hot path reads it
    directly and must call `wrote` for keys it adds once `order` exists.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.written: dict[bytes, bytes | None] = {}
        #: The keys of `written` in order, made by the first scan of a pass and kept up from then on.
        self.order: list[bytes] | None = None

    def clear(self) -> None:
        """A new pass begins, or the old one has been written."""
        self.written = {}
        self.order = None

    def put(self, row: bytes, value: bytes | None) -> None:
        """Writes a row; None deletes it."""
        if self.order is not None and row not in self.written:
            insort(self.order, row)
        self.written[row] = value

    def get(self, row: bytes) -> bytes | None:
        """The row as the pass sees it."""
        if row in self.written:
            return self.written[row]
        return self.backend.get(row)

    def between(self, low: bytes, high: bytes) -> list[bytes]:
        """The row keys written in [low, high), in order."""
        if not self.written:
            return []
        if self.order is None:
            self.order = sorted(self.written)
        return self.order[bisect_left(self.order, low) : bisect_left(self.order, high)]

    def rows(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows in [low, high) in order, as the pass sees them."""
        changed = self.between(low, high)
        if not changed:
            return self.backend.scan(low, high)
        return merge(self.backend.scan(low, high), changed, self.written)


def merge(
    rows: Iterator[tuple[bytes, bytes]], changed: list[bytes], written: dict[bytes, bytes | None]
) -> Iterator[tuple[bytes, bytes]]:
    """`rows` (in order) with the rows whose keys are in `changed` (in order) replaced, added or left out."""
    position, count = 0, len(changed)
    for key, value in rows:
        while position < count and changed[position] < key:
            new = written[changed[position]]
            if new is not None:
                yield changed[position], new
            position += 1
        if position < count and changed[position] == key:
            new = written[key]
            if new is not None:
                yield key, new
            position += 1
        else:
            yield key, value
    for key in changed[position:]:
        new = written[key]
        if new is not None:
            yield key, new
