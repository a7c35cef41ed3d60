"""Decides: what clients have asked and been told, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

import trio

from dualmode.errors import Code, RpcError
from tests.sim.trace import Trace

#: Errors that say that nothing was done and nothing will be.
_REFUSALS = (Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE, Code.RESOURCE_EXHAUSTED, Code.ALREADY_EXISTS)


class Ending(Enum):
    """What a client knows of its request."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"  #: it had no effect and will have none
    UNKNOWN = "unknown"  #: it may have one, now or later


@dataclass(slots=True, eq=False)
class Operation:
    """One request. Moments are numbers in one order for the whole run, since the clock stands still for a while."""

    number: int
    request: Any
    invoked: int
    invoked_at: float
    ending: Ending = Ending.PENDING
    returned: int = -1
    response: Any = None
    error: RpcError | None = None

    def __str__(self) -> str:
        return (
            f"operation {self.number} ({type(self.request).__name__}: {str(self.request).split()}, {self.ending.value})"
        )


class History:
    """All operations of a run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._moments = count()
        self.operations: list[Operation] = []

    def begin(self, request: Any) -> Operation:
        """A client sends a request."""
        operation = Operation(len(self.operations), request, next(self._moments), trio.current_time())
        self.operations.append(operation)
        return operation

    @property
    def next_number(self) -> int:
        """Of the operation that begins next: values that are written carry it."""
        return len(self.operations)

    def done(self, operation: Operation, response: Any) -> None:
        """It was answered."""
        self._end(operation, Ending.DONE)
        operation.response = response

    def failed(self, operation: Operation, error: RpcError | None) -> None:
        """It ended with an error; None: the connection broke, or it took too long."""
        operation.error = error
        is_refusal = error is not None and error.code in _REFUSALS
        self._end(operation, Ending.REFUSED if is_refusal else Ending.UNKNOWN)

    def _end(self, operation: Operation, ending: Ending) -> None:
        operation.ending = ending
        operation.returned = next(self._moments)
        error = "" if operation.error is None else operation.error.message
        self._trace.note(ending.value, f"{operation.number} {type(operation.request).__name__} {error}")
