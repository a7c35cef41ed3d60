"""Does: runs the task of a call under a scope that ends it, and turns what it raises into a status."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.rpc.faults import status_of_group


def scope_for(timeout_seconds: float | None) -> trio.CancelScope:
    """A scope that ends when the client's patience does, counted from now."""
    return trio.CancelScope(deadline=math.inf if timeout_seconds is None else trio.current_time() + timeout_seconds)


async def run_call(
    scope: trio.CancelScope, method: str, function: Callable[..., Awaitable[Any]], *args: Any
) -> RpcError | None:
    """None when the function returned. A scope that ended it by its deadline is DEADLINE_EXCEEDED, one that was
    cancelled CANCELLED. Raises nothing but trio.Cancelled of a scope further out."""
    error: RpcError | None = None
    try:
        with scope:
            await function(*args)
            return None
    except* Exception as group:
        error = status_of_group(group, method)
    if error is None:
        is_late = trio.current_time() >= scope.deadline
        error = errors.DEADLINE_EXCEEDED if is_late else errors.REQUEST_CANCELED
    return error
