"""Decides: the watches that one upstream stream has at its member: made, confirmed, grouped, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualmode.api import etcdserverpb
from dualmode.proxy.sharing.watches import Kind, UpstreamWatch


class UpstreamTable:
    """Of one upstream stream; `send` takes WatchRequests for it."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._next_id = 1
        self.by_id: dict[int, UpstreamWatch] = {}
        self.groups: dict[Kind, UpstreamWatch] = {}
        #: Watches on their own, by kind: they may meet their group.
        self.alone: dict[Kind, dict[UpstreamWatch, None]] = {}
        #: Creations that the member has not answered yet, oldest first (it answers in order).
        self.creating: dict[UpstreamWatch, None] = {}
        #: Cancels on their way to the member, by id, that a client waits for.
        self.ending: dict[int, UpstreamWatch] = {}

    def create(self, kind: Kind, request: Any, start_revision: int) -> UpstreamWatch:
        """Asks the member for a watch as a client's WatchCreateRequest has it, from a revision on."""
        upstream = UpstreamWatch(self._next_id, kind)
        self._next_id += 1
        self.by_id[upstream.id] = upstream
        self.creating[upstream] = None
        create = etcdserverpb.WatchCreateRequest()
        create.CopyFrom(request)
        create.watch_id = upstream.id
        create.start_revision = start_revision
        self._send(etcdserverpb.WatchRequest(create_request=create).SerializeToString())
        return upstream

    def take_created(self, watch_id: int, is_refused: bool) -> UpstreamWatch | None:
        """Whose creation is answered; a refusal names no watch. None for an answer to nothing we asked."""
        upstream = self.by_id.get(watch_id)
        if upstream is None or upstream not in self.creating:
            if not is_refused or not self.creating:
                return None
            upstream = next(iter(self.creating))
        del self.creating[upstream]
        return upstream

    def is_awaited(self, kind: Kind) -> bool:
        """Whether somebody is about to join this kind."""
        return any(one.kind == kind for one in self.creating)

    def cancel(self, upstream: UpstreamWatch) -> None:
        """Ends one, which is known no more."""
        self.forget(upstream)
        if upstream.canceled_for is not None:
            self.ending[upstream.id] = upstream
        self.send_cancel(upstream)

    def send_cancel(self, upstream: UpstreamWatch) -> None:
        """Asks the member to end one, whatever becomes of it here."""
        cancel = etcdserverpb.WatchCancelRequest(watch_id=upstream.id)
        self._send(etcdserverpb.WatchRequest(cancel_request=cancel).SerializeToString())

    def forget(self, upstream: UpstreamWatch) -> None:
        """It is over at the member, or will be."""
        self.by_id.pop(upstream.id, None)
        if self.groups.get(upstream.kind) is upstream:
            del self.groups[upstream.kind]
        alone = self.alone.get(upstream.kind)
        if alone is not None:
            alone.pop(upstream, None)
            if not alone:
                del self.alone[upstream.kind]

    def forget_recent(self, kind: Kind) -> None:
        """What a group has kept for those about to join is of no use when nobody is."""
        group = self.groups.get(kind)
        if group is not None and group.recent and not self.is_awaited(kind):
            group.recent.clear()
