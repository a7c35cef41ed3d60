"""Decides: a server's facts, as a test wants them."""

from __future__ import annotations

from dualmode.errors import RpcError
from dualmode.status.facts import Versions


class FakeFacts:
    """Well by default."""

    def __init__(self) -> None:
        self.has_leader = True
        self.is_learner = False
        self.alarms: list[str] = []
        self.versions = Versions("3.6.0", "3.6.0", "3.6.0", "0.1.0")
        self.raft_status = {"id": 1}
        #: What the reads raise.
        self.linearizable_error: RpcError | None = None
        self.serializable_error: RpcError | None = None
        self.reads: list[str] = []

    async def linearizable_read(self) -> None:
        self.reads.append("linearizable")
        if self.linearizable_error is not None:
            raise self.linearizable_error

    async def serializable_read(self) -> None:
        self.reads.append("serializable")
        if self.serializable_error is not None:
            raise self.serializable_error
