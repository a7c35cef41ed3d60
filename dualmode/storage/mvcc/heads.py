"""Decides: the newest versions of hot keys, kept as bytes in a bounded memory, so that a put or get reads no backend.

Two generations instead of a list of uses: what is touched is in the young one; when that has taken half the budget it
becomes the old one, and what was old and untouched is forgotten. Every operation is one or two dictionary look-ups.
"""

from __future__ import annotations

#: What CPython takes for an entry beside the bytes themselves: two bytes objects and a place in the dictionary.
ENTRY_OVERHEAD_BYTES = 200


class HeadCache:
    """Row key of a head row -> serialised KeyValue, true to the backend at all times. Owned by the store."""

    def __init__(self, budget_bytes: int) -> None:
        self._generation_bytes = budget_bytes // 2
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._young_bytes = 0

    def get(self, row: bytes) -> bytes | None:
        """The KeyValue if it is remembered."""
        kv = self._young.get(row)
        if kv is None and (kv := self._old.get(row)) is not None:
            self.remember(row, kv)
        return kv

    def remember(self, row: bytes, kv: bytes) -> None:
        """`kv` is the newest version now."""
        size = len(row) + len(kv) + ENTRY_OVERHEAD_BYTES
        if self._young_bytes + size > self._generation_bytes:
            if size > self._generation_bytes:
                self.forget(row)
                return
            self._old = self._young
            self._young = {}
            self._young_bytes = 0
        self._young[row] = kv
        self._young_bytes += size  # an overwrite counts again, which only turns the generation a little early

    def forget(self, row: bytes) -> None:
        """The key was deleted."""
        self._young.pop(row, None)
        self._old.pop(row, None)
