"""Does: asks the file system whether there is room to take on more.

Writes are refused before the disk is full, not when it is: what has been acknowledged must still reach the store's
files, and a store that met a full disk half-way through a flush would have to be restarted. The answer is asked for at
most once a second, so it costs a write nothing, and the server recovers by itself when there is room again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dualmode import log

_log = log.get("disk")
_CHECK_SECONDS = 1.0


class FreeSpace:
    """Whether the file system of a directory has more than a reserve left."""

    def __init__(self, directory: Path, reserve_bytes: int, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._checked = float("-inf")
        self._has_space = True

    def has_space(self) -> bool:
        """False while writes must be refused."""
        now = self._clock()
        if now - self._checked >= _CHECK_SECONDS:
            self._checked = now
            self._look()
        return self._has_space

    def _look(self) -> None:
        status = os.statvfs(self._directory)
        free_bytes = status.f_bavail * status.f_frsize
        has_space = free_bytes > self._reserve_bytes
        if has_space != self._has_space:
            self._has_space = has_space
            if has_space:
                _log.info("there is room on the disk again, writes are accepted", free_bytes=free_bytes)
            else:
                _log.error(
                    "the disk is nearly full, writes are refused until there is room",
                    directory=str(self._directory),
                    free_bytes=free_bytes,
                    reserve_bytes=self._reserve_bytes,
                )
