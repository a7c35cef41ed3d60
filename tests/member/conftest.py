"""A whole member without listeners: its disk in a temporary folder, its tasks in a nursery of the test."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio

from dualmode.edge.outbox import Outbox
from dualmode.member.opening import Bootstrap, open_member
from dualmode.member.options import MemberOptions
from dualmode.member.server import MemberServer
from dualmode.rpc.local import AwaitableReply

BOOTSTRAP = Bootstrap("default", {"default": ("http://localhost:2380",)}, "etcd-cluster")


class StartMember(Protocol):
    def __call__(self, directory: Path, **options: Any) -> AbstractAsyncContextManager[MemberServer]: ...


@asynccontextmanager
async def running_member(directory: Path, **options: Any) -> AsyncIterator[MemberServer]:
    """A member on what is in `directory`, leading; stopped in order at the end."""
    (directory / "member").mkdir(parents=True, exist_ok=True)
    opened = open_member(directory / "member", directory / "member" / "wal", BOOTSTRAP)
    try:
        member = MemberServer(MemberOptions(directory, free_space_bytes=0, **options), opened, Outbox())
        async with trio.open_nursery() as nursery:
            await nursery.start(member.run)
            with trio.fail_after(20):
                while not member.replica.is_leader:
                    await trio.testing.wait_all_tasks_blocked()
            yield member
            nursery.cancel_scope.cancel()
    finally:
        opened.close()


@pytest.fixture
def start_member() -> StartMember:
    return running_member


async def ask(member: MemberServer, kind: int, request: Any) -> bytes:
    """Sends a request through the log; gives its answer or raises its RpcError."""
    reply = AwaitableReply()
    member.replica.intake.propose(kind, request.SerializeToString(), request, reply)
    with trio.fail_after(20):
        return await reply.result()
