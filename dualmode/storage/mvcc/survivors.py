"""Decides: which version of each key a compaction has left, remembered in a bounded memory.

Two generations, as in `heads.py`: what is touched is young; when the young have taken half the budget they become the
old, and what was old and untouched is forgotten, which costs a look into the history later and nothing else.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

#: What CPython takes for an entry beside the key itself: bytes objects, a tuple, and a place in the dictionary.
ENTRY_OVERHEAD_BYTES: Final = 300


class Unknown(Enum):
    """A type of one value, so that it can be told from None."""

    UNKNOWN = "unknown"


#: Of a key that is not remembered; of a key of which nothing is left it is None.
UNKNOWN: Final = Unknown.UNKNOWN


class Survivor(NamedTuple):
    """A version that is still in the store."""

    row: bytes  #: its revision row
    record_bytes: int


class Survivors:
    """User key -> its newest version that was walked, None when no version is left."""

    def __init__(self, budget_bytes: int) -> None:
        self._generation_bytes = budget_bytes // 2
        self._young: dict[bytes, Survivor | None] = {}
        self._old: dict[bytes, Survivor | None] = {}
        self._young_bytes = 0

    def get(self, key: bytes) -> Survivor | Unknown | None:
        """What is left of `key`; UNKNOWN when that is not remembered."""
        if key in self._young:
            return self._young[key]
        return self._old.get(key, UNKNOWN)

    def remember(self, left: dict[bytes, Survivor | None]) -> None:
        """These were walked last."""
        for key, version in left.items():
            if key not in self._young:
                self._young_bytes += len(key) + ENTRY_OVERHEAD_BYTES
                if self._young_bytes > self._generation_bytes:
                    self._old, self._young = self._young, {}
                    self._young_bytes = len(key) + ENTRY_OVERHEAD_BYTES
            self._young[key] = version

    def forget_all(self) -> None:
        """What was walked is not known any more."""
        self._young, self._old = {}, {}
        self._young_bytes = 0
