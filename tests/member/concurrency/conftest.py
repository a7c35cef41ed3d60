"""A whole member, called without listeners; a caller may go away."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from dualmode.errors import RpcError
from dualmode.member.server import MemberServer
from dualmode.rpc.calls import Method
from dualmode.rpc.local import LocalCall
from dualmode.rpc.tasks import run_call
from tests.member.conftest import running_member


class Call(LocalCall):
    """A unary call whose client may go (`go`)."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._nursery = nursery
        self._scope = trio.CancelScope()

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        async def run() -> None:
            error = await run_call(self._scope, "test", function, *args)
            if error is not None and not self.is_over:
                self.fail(error)

        self._nursery.start_soon(run)

    def go(self) -> None:
        self._scope.cancel()


class Stream:
    """A server stream: its request is given, its answers gather in `sent`."""

    def __init__(self, request: bytes) -> None:
        call = LocalCall()
        self.metadata, self.peer = call.metadata, call.peer
        self._request = request
        self.sent: list[bytes] = []
        self.ended: RpcError | None = None

    async def receive(self) -> bytes:
        return self._request

    async def send(self, message: bytes) -> None:
        self.sent.append(message)


class Caller:
    """Calls methods of a member by their names."""

    def __init__(self, member: MemberServer, nursery: trio.Nursery) -> None:
        self.member = member
        self.nursery = nursery
        self._methods = {method.name: method for method in member.methods()}

    def begin(self, name: str, /, **fields: Any) -> Call:
        call = Call(self.nursery)
        method = self._methods[name]
        handler: Any = method.handler
        try:
            handler(call, method.request(**fields).SerializeToString())
        except RpcError as error:
            call.fail(error)
        return call

    async def call(self, name: str, /, **fields: Any) -> Any:
        return await self.answer(name, self.begin(name, **fields))

    async def answer(self, name: str, call: Call) -> Any:
        with trio.fail_after(20):
            return self._methods[name].response.FromString(await call.result())

    async def refused(self, name: str, /, **fields: Any) -> RpcError:
        with pytest.raises(RpcError) as caught:
            await self.call(name, **fields)
        return caught.value

    def method(self, name: str) -> Method:
        return self._methods[name]

    async def keys(self) -> list[bytes]:
        return [kv.key for kv in (await self.call("Range", key=b"\0", range_end=b"\0")).kvs]

    async def until_keys(self, count: int) -> list[bytes]:
        """Waits until there are so many keys."""
        with trio.fail_after(20):
            while len(keys := await self.keys()) != count:
                await trio.testing.wait_all_tasks_blocked()
        return keys


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with running_member(tmp_path) as member, trio.open_nursery() as nursery:
        yield Caller(member, nursery)
        nursery.cancel_scope.cancel()
