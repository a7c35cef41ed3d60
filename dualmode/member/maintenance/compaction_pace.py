"""Decides: how much of a compaction is done at a time, and how long the loop is left to everybody else after it.

Rows differ: a key that is written again and again costs 2 microseconds for each, one that has to be looked up 30. So
the time of a step is aimed at and the number of rows follows. A single long step says little, since a busy machine may
have taken the core away meanwhile: long steps halve the number, good ones raise it by an eighth.
"""

from __future__ import annotations

from typing import Final

from dualmode import limits

_FIRST_ROWS: Final = 100
_FEWEST_ROWS: Final = 20


class CompactionPace:
    """Asked for `rows` before each step and told, by `pause_seconds`, what it took."""

    def __init__(self, most_rows: int, pause_seconds: float) -> None:
        """`pause_seconds` is the shortest pause (0: none is needed)."""
        self._most_rows = most_rows
        self._shortest_seconds = pause_seconds
        self.rows = min(_FIRST_ROWS, most_rows)

    def pause_seconds(self, step_seconds: float) -> float:
        """After a step that took so long."""
        if step_seconds > 2 * limits.COMPACTION_STEP_SECONDS:
            self.rows = max(self.rows // 2, min(_FEWEST_ROWS, self._most_rows))
        elif step_seconds < limits.COMPACTION_STEP_SECONDS:
            self.rows = min(self.rows + self.rows // 8, self._most_rows)
        pause = min(step_seconds * limits.COMPACTION_PAUSE_STEPS, limits.COMPACTION_LONGEST_PAUSE_SECONDS)
        return max(pause, self._shortest_seconds)
