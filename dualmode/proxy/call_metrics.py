"""Decides: what is counted of calls that have ended (`--metrics extensive`): by method and code, and their time.

Methods are those known by name, gRPC or JSON; all others are one, so that clients cannot make the numbers many.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from dualmode.edge.mux import is_grpc
from dualmode.errors import Code
from dualmode.metrics import Histogram, exponential_buckets
from dualmode.proxy.access_log import code_name
from dualmode.proxy.observed import ObservedCall
from dualmode.rpc.json_paths import JSON_PATHS
from dualmode.status.rpc_metrics import Bindings

_OTHER: Final = "other"
_NO_ANSWER: Final = "none"
#: What may stand in a label: members may say any number.
_CODES: Final = frozenset((_NO_ANSWER, *Code.__members__, *(str(status.value) for status in HTTPStatus)))
#: 0.1 ms to 26 s.
_BOUNDS_SECONDS: Final = exponential_buckets(0.0001, 4, 10)


class CallMetrics:
    """Of one proxy."""

    def __init__(self) -> None:
        methods = (f"/{method}" for method in JSON_PATHS)
        self._known = frozenset((*methods, *(path for paths in JSON_PATHS.values() for path in paths)))
        self._counts: dict[tuple[str, ...], int] = {}
        self._seconds: dict[tuple[str, ...], Histogram] = {}

    def note(self, call: ObservedCall) -> None:
        """An `observed.Observer`."""
        path = call.head.path.partition(b"?")[0].decode("latin-1")
        method = path if path in self._known else _OTHER
        if call.fault:
            code = _NO_ANSWER
        elif is_grpc(call.head):
            code = code_name(call.grpc_status)
        else:
            code = call.http_status.decode("latin-1")
        labels = method, code if code in _CODES else _OTHER
        self._counts[labels] = self._counts.get(labels, 0) + 1
        histogram = self._seconds.get((method,))
        if histogram is None:
            histogram = self._seconds[method,] = Histogram(_BOUNDS_SECONDS)
        histogram.observe(call.duration_seconds)

    def bindings(self) -> Bindings:
        """For the page."""
        return {
            "dualmode_proxy_calls_ended_total": lambda: self._counts,
            "dualmode_proxy_call_seconds": lambda: self._seconds,
        }
