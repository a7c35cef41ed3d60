"""Does: asks the file system whether there is room to take on more.

Writes are refused before the disk is full, not when it is: what has been acknowledged must still reach the store's
files, and a store that met a full disk half-way through a flush would have to be restarted. The server recovers by
itself when there is room again.
"""

from __future__ import annotations

import os
from pathlib import Path

from dualmode import log

_log = log.get("disk")


class FreeSpace:
    """Whether the file system of a directory has more than a reserve left: `has_space`, as of the last `look`."""

    def __init__(self, directory: Path, reserve_bytes: int) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        #: False while writes must be refused.
        self.has_space = True

    def look(self) -> None:
        """Asks the file system; the replica does so about once a second."""
        status = os.statvfs(self._directory)
        free_bytes = status.f_bavail * status.f_frsize
        has_space = free_bytes > self._reserve_bytes
        if has_space != self.has_space:
            self.has_space = has_space
            if has_space:
                _log.info("there is room on the disk again, writes are accepted", free_bytes=free_bytes)
            else:
                _log.error(
                    "the disk is nearly full, writes are refused until there is room",
                    directory=str(self._directory),
                    free_bytes=free_bytes,
                    reserve_bytes=self._reserve_bytes,
                )
