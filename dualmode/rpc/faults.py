"""Decides: what a client hears when a handler fails by a fault of ours, and what the log says."""

from __future__ import annotations

from typing import Final

import structlog

from dualmode.errors import Code, DualmodeError, RpcError

_log: Final = structlog.get_logger("rpc")


def status_of(fault: BaseException, method: str) -> RpcError:
    """The status for anything a handler raises. What is not an `RpcError` is logged with its traceback; errors of ours
    say what they are (etcd: Unknown with the error's text), bugs keep it to the log."""
    if isinstance(fault, RpcError):
        return fault.forget_raising()
    _log.error("a call failed by a fault of ours", method=method, exc_info=fault)
    if isinstance(fault, DualmodeError):
        return RpcError(Code.UNKNOWN, str(fault))
    return RpcError(Code.INTERNAL, "internal error")


def status_of_group(group: BaseExceptionGroup[BaseException], method: str) -> RpcError:
    """The same for what comes out of a handler's nursery: the first `RpcError` is the outcome."""
    first = _first(group, RpcError) or _first(group, BaseException)
    assert first is not None
    return status_of(first, method)


def _first(fault: BaseException, kind: type[BaseException]) -> BaseException | None:
    if not isinstance(fault, BaseExceptionGroup):
        return fault if isinstance(fault, kind) else None
    found = (_first(inner, kind) for inner in fault.exceptions)
    return next((inner for inner in found if inner is not None), None)
