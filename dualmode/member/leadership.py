"""Decides: who leads, as this member sees it, since when, and what that means for what it proposes.

Also which of etcd's words a request ends with that did not get through: whether the leader was lost while it waited,
whether this member has lost the others, or nobody knows why (etcd `parseProposeCtxErr`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from dualmode import errors, log
from dualmode.errors import RpcError
from dualmode.raft import RawNode

_log = log.get("replica")


class Leadership:
    """Kept up by the replica, which calls `look` after every batch of work. Times are on the loop's clock."""

    def __init__(self, node: RawNode) -> None:
        self._node = node
        #: 0: none is known.
        self.leader = 0
        self._was_leading = False
        self._term = 0
        self._elected_at = -math.inf
        self._lost_at = -math.inf
        self._was_refused = False
        self._known = trio.Event()
        #: Called (on the loop) when this member has become, or ceased to be, leader.
        self.on_change: list[Callable[[bool], None]] = []
        #: Called with the id of a new leader, when one is known.
        self.on_leader: list[Callable[[int], None]] = []
        #: Whether this member has been in touch with its leader, or as leader with a majority, since a time.
        self.is_connected_since: Callable[[float], bool] = lambda since: True

    @property
    def takes_proposals(self) -> bool:
        """Whether proposing has a chance now: somebody leads, and did not just refuse."""
        return self._node.leader != 0 and not self._was_refused

    def refused(self) -> None:
        """The node has dropped a proposal. It is not asked again before the next tick."""
        self._was_refused = True

    def tick(self) -> None:
        """Time has passed: proposals may be tried again."""
        self._was_refused = False

    async def wait_for_leader(self) -> None:
        """Returns once a leader has been known; it may be lost again by then."""
        await self._known.wait()

    def look(self, now: float) -> bool:
        """Notes what has changed; True when there is another leader than before (also: none)."""
        node = self._node
        leader = node.leader
        if leader == self.leader and node.term == self._term:
            return False
        changed, before = leader != self.leader, self.leader
        self.leader, self._term = leader, node.term
        if changed:
            self._note(leader, before, now)
        is_leading = leader == node.id
        if is_leading != self._was_leading:
            self._was_leading = is_leading
            _log.info("raft leadership", is_leader=is_leading, term=node.term)
            for callback in self.on_change:
                callback(is_leading)
        return changed

    def _note(self, leader: int, before: int, now: float) -> None:
        self._was_refused = False
        if before:
            self._lost_at = now
        if leader:
            self._elected_at = now
            self._known.set()
            for callback in self.on_leader:
                callback(leader)

    def timeout(self, began_at: float) -> RpcError:
        """What a request that began then, and waited in vain, is told."""
        if self._lost_at >= began_at and self._elected_at >= self._lost_at:
            return errors.TIMEOUT_LEADER_FAIL
        if self.leader and not self.is_connected_since(began_at):
            return errors.TIMEOUT_CONNECTION_LOST
        return errors.TIMEOUT
