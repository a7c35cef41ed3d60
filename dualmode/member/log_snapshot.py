"""Decides: from which point of the log a start has to read, as the store remembers it.

The row is written by a pass only after the log has recorded the snapshot, so a row that is found always has its record
in the log; and the log is released only up to a row that the backend has flushed. A crash anywhere in between costs
reading a little more of the log.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from dualmode.member.buckets import BucketRows
from dualmode.raft import ConfState

_BUCKET: Final = b"dualmode"
_ROW: Final = b"logSnapshot"


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """Everything up to `index` is in the flushed store; `conf_state` is the configuration there."""

    index: int = 0
    term: int = 0
    conf_state: ConfState = field(default_factory=ConfState)

    @classmethod
    def read(cls, rows: BucketRows) -> LogSnapshot:
        """The newest one the store knows of; index 0 when there is none."""
        stored = rows.bucket_get(_BUCKET, _ROW)
        if stored is None:
            return cls()
        fields: dict[str, Any] = json.loads(stored)
        conf = fields["conf_state"]
        conf_state = ConfState(
            voters=tuple(conf["voters"]),
            learners=tuple(conf["learners"]),
            voters_outgoing=tuple(conf["voters_outgoing"]),
            learners_next=tuple(conf["learners_next"]),
            auto_leave=conf["auto_leave"],
        )
        return cls(fields["index"], fields["term"], conf_state)

    def write(self, rows: BucketRows) -> None:
        """Puts it into the running pass."""
        rows.bucket_put(_BUCKET, _ROW, json.dumps(asdict(self)).encode())
