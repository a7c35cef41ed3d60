"""Decides: what the status routes ask of a server, member or proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Versions:
    """What /version says. A cluster version that is not agreed on yet is None."""

    server: str
    cluster: str | None
    storage: str | None
    #: Our own, beside the one we answer as.
    own: str


class ServerFacts(Protocol):
    """Cheap to read at any time, but for the two reads."""

    @property
    def has_leader(self) -> bool: ...

    @property
    def is_learner(self) -> bool: ...

    @property
    def alarms(self) -> Sequence[str]:
        """Names of the alarms raised now, of any member: "NOSPACE", "CORRUPT"."""

    @property
    def versions(self) -> Versions: ...

    @property
    def raft_status(self) -> Mapping[str, Any]:
        """For /debug/vars: what can be said in JSON."""

    async def linearizable_read(self) -> None:
        """A read that the cluster confirms; the server's own request timeout holds. Raises `RpcError`."""

    async def serializable_read(self) -> None:
        """A read of this server's own store. Raises `RpcError`."""
