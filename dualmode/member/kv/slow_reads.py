"""Does: times reads that may be long, and tells of those that were, in the words of etcd's log.

A read of one key is a lookup and is not timed; any other costs two readings of a clock.
"""

from __future__ import annotations

import time
from typing import Any, Final

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.member.replica_counters import ReplicaCounters
from dualmode.member.trace import tell_slow

_log = log.get("kv")

_RANGE: Final = "read-only range "
_TXN: Final = "read-only txn "


class SlowReads:
    """`threshold_seconds` is --warning-apply-duration. A read holds up the loop as an entry does when it is applied, so
    both are counted as slow applies."""

    def __init__(self, threshold_seconds: float, counters: ReplicaCounters) -> None:
        self._threshold_seconds = threshold_seconds
        self._counters = counters

    def after_range(self, began: float, request: Any, response: bytes) -> None:
        """A range has been answered. `began` is `time.perf_counter()` before it."""
        took = time.perf_counter() - began
        if took > self._threshold_seconds:
            self._tell(_RANGE, took, request, response)

    def after_remembered_range(self, began: float, message: bytes, response: bytes) -> None:
        """The same for a range whose request was not decoded."""
        took = time.perf_counter() - began
        if took > self._threshold_seconds:
            self._tell(_RANGE, took, etcdserverpb.RangeRequest.FromString(message), response)

    def after_txn(self, began: float, request: Any, response: bytes) -> None:
        """The same for a transaction that only reads."""
        took = time.perf_counter() - began
        if took > self._threshold_seconds:
            self._tell(_TXN, took, request, response)

    def _tell(self, prefix: str, took: float, request: Any, response: bytes) -> None:
        self._counters.slow_applies += 1
        text = " ".join(str(request).split())
        tell_slow(
            _log,
            took,
            self._threshold_seconds,
            prefix=prefix,
            request=text[: limits.LOGGED_REQUEST_CHARACTERS],
            response=f"size:{len(response)}",
        )
