"""Decides: where a server hooks into every call before its handler runs."""

from __future__ import annotations

from collections.abc import Callable

from dualmode.rpc.calls import Metadata, Method

#: Raises `RpcError` to refuse a call (no leader, a learner, ...). On the hot path: keep it cheap.
BeforeCall = Callable[[Metadata, Method], None]


def allow(_metadata: Metadata, _method: Method) -> None:
    """Refuses nothing."""
