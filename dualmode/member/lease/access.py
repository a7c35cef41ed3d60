"""Decides: what the lease calls need of the world around them: the leader, wherever it is, and who may do what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from dualmode import errors
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.rpc.calls import Reply, ServerStream, UnaryCall

#: (kind of request, serialised request, the same decoded, who hears of the outcome); raises `RpcError` if refused.
Propose = Callable[[int, bytes, Any, Reply], None]
#: The same for a user.
ProposeFor = Callable[[int, bytes, Any, Reply, Caller], None]


class Leader(Protocol):
    """The way to the leader of the cluster; the peer layer implements it."""

    @property
    def is_confirmed(self) -> bool:
        """Whether a majority has followed this member within the last election timeout, so that it surely leads."""

    async def confirm(self) -> None:
        """Waits for a majority to say that this member leads; raises LEADER_CHANGED if it does not."""

    async def keep_alive(self, lease_id: int) -> int:
        """Renews a lease on another member; gives its TTL. Raises LEASE_NOT_FOUND, NO_LEADER, NOT_LEADER ..."""

    async def time_to_live(self, request: Any) -> Any:
        """Asks another member; gives a LeaseTimeToLiveResponse without header. Raises LEASE_NOT_FOUND, NO_LEADER ..."""


class OneMember:
    """The leader of a cluster of one: this member."""

    is_confirmed = True

    async def confirm(self) -> None:
        """There is nobody to ask."""

    async def keep_alive(self, lease_id: int) -> int:
        """Only before this member has elected itself."""
        raise errors.NO_LEADER

    async def time_to_live(self, request: Any) -> Any:
        """Only before this member has elected itself."""
        raise errors.NO_LEADER


class Guard(Protocol):
    """Who may do what with leases while authentication is on. Each raises `RpcError` when it is not allowed."""

    def check_user(self, call: UnaryCall) -> Caller:
        """Any user that exists; gives them."""

    def check_renewal(self, stream: ServerStream, lease_id: int) -> None:
        """Who may write all keys on the lease."""

    def check_readable(self, call: UnaryCall, keys: Iterable[bytes]) -> None:
        """Who may read all these keys."""

    def sees_every_lease(self, call: UnaryCall) -> bool:
        """Whether nothing needs to be filtered out for this caller."""


class NoGuard:
    """The rules while authentication is off."""

    def check_user(self, call: UnaryCall) -> Caller:
        """Everyone, whoever they are."""
        return NOBODY

    def check_renewal(self, stream: ServerStream, lease_id: int) -> None:
        """Everyone."""

    def check_readable(self, call: UnaryCall, keys: Iterable[bytes]) -> None:
        """Everyone."""

    def sees_every_lease(self, call: UnaryCall) -> bool:
        """Everyone does."""
        return True
