"""Decides: what is asked of every call before its handler runs, and what is counted of it (etcd's interceptors)."""

from __future__ import annotations

from typing import Final

from dualmode import errors
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Metadata, Method

_UNARY: Final = Kind.UNARY
#: What a member that does not vote answers. Of Range only what is serializable, which the handler looks at.
FOR_LEARNERS: Final = frozenset(
    {
        ("etcdserverpb.Maintenance", "Status"),
        ("etcdserverpb.Maintenance", "Snapshot"),
        ("etcdserverpb.KV", "Range"),
        ("grpc.health.v1.Health", "Check"),
        ("grpc.health.v1.Health", "Watch"),
        ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
        ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
    }
)


class ClientCalls:
    """The `BeforeCall` hook of a member."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        #: Calls by client API version.
        self._unary: dict[str, int] = {}
        self._streams: dict[str, int] = {}

    def counts(self) -> dict[tuple[str, ...], int]:
        """(unary or stream, client API version) -> calls: etcd_server_client_requests_total."""
        kinds = (("unary", self._unary), ("stream", self._streams))
        return {(kind, version): count for kind, counts in kinds for version, count in counts.items()}

    def before(self, metadata: Metadata, method: Method) -> None:
        """Raises NOT_SUPPORTED_FOR_LEARNER, and NO_LEADER for who asked to be told so (`hasleader: true`)."""
        if self._replica.is_learner and (method.service, method.name) not in FOR_LEARNERS:
            raise errors.NOT_SUPPORTED_FOR_LEARNER
        counts = self._unary if method.kind is _UNARY else self._streams
        version = metadata.client_api_version
        counts[version] = counts.get(version, 0) + 1
        if metadata.has_leader and not self._replica.has_leader:
            raise errors.NO_LEADER
