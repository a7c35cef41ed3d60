"""Decides: what is asked of every call before its handler runs, and what is counted of it (etcd's interceptors)."""

from __future__ import annotations

from dualmode import errors
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Metadata, Method


class ClientCalls:
    """The `BeforeCall` hook of a member."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        #: (unary or stream, client API version) -> calls: etcd_server_client_requests_total.
        self.counts: dict[tuple[str, ...], int] = {}

    def before(self, metadata: Metadata, method: Method) -> None:
        """Raises NO_LEADER for who asked to be told so (`hasleader: true`)."""
        key = ("unary" if method.kind is Kind.UNARY else "stream", metadata.client_api_version)
        counts = self.counts
        counts[key] = counts.get(key, 0) + 1
        if metadata.has_leader and not self._replica.has_leader:
            raise errors.NO_LEADER
