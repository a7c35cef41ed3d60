"""Decides: nothing; what one operation of a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """`method` is an RPC, or "WatchCreate", "WatchCancel", "WatchProgress"; `stream` says on which watch stream, `user`
    whose token goes with it ("" for none)."""

    method: str
    request: Any
    stream: int = 0
    user: str = ""
