"""The gateway on loopback, in front of echo servers that come and go."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from dualmode import limits
from dualmode.edge.address import places
from dualmode.edge.listener import bind_all
from dualmode.errors import PeerError
from dualmode.proxy.tcp import gateway as gateway_module
from dualmode.proxy.tcp.dial import dial
from dualmode.proxy.tcp.gateway import Gateway
from dualmode.proxy.tcp.remotes import Remote, Remotes
from dualmode.urls import Url, parse_url

PATIENCE_SECONDS = 10.0
RETRY_DELAY_SECONDS = 0.2
DESCRIPTORS = 200


class Echo:
    """A server that greets with its name, then sends back what it hears."""

    def __init__(self, name: str, nursery: trio.Nursery) -> None:
        self.name = name
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self.port = 0

    async def start(self) -> Echo:
        """On the same port as before."""
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._serve, listeners, self._scope)
        return self

    def stop(self) -> None:
        """Its connections are closed, its port is free."""
        self._scope.cancel()

    @property
    def remote(self) -> Remote:
        return Remote(Url("http", "127.0.0.1", self.port))

    async def _serve(self, listeners: list[trio.SocketListener], scope: trio.CancelScope) -> None:
        with scope:
            await trio.serve_listeners(self._talk, listeners)

    async def _talk(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                await stream.send_all(self.name.encode())
                async for data in stream:
                    await stream.send_all(data)
        except trio.BrokenResourceError:
            pass


@dataclass
class Setting:
    """A gateway that runs."""

    gateway: Gateway
    port: int
    nursery: trio.Nursery
    stopped: trio.Event = field(default_factory=trio.Event)

    async def connect(self) -> trio.SocketStream:
        sock = trio.socket.socket()
        await sock.connect(("127.0.0.1", self.port))
        return trio.SocketStream(sock)

    async def who(self) -> str:
        """Which server a new connection comes to; nothing when it is closed at once."""
        async with await self.connect() as stream:
            try:
                return (await stream.receive_some()).decode()
            except trio.BrokenResourceError:
                return ""


@asynccontextmanager
async def serving(*remotes: Remote, descriptors: int = DESCRIPTORS) -> AsyncIterator[Setting]:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            listeners = bind_all(places(["http://127.0.0.1:0"]))
            gateway = Gateway(listeners, Remotes(remotes, RETRY_DELAY_SECONDS), 1.0, descriptors)
            setting = Setting(gateway, listeners[0].place.target.port, nursery)

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await gateway.run(task_status=task_status)
                setting.stopped.set()

            await nursery.start(run)
            yield setting
            nursery.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110
        await trio.sleep(0.01)  # between two looks; bounded by the deadline around the test


@pytest.fixture
async def echoes(nursery: trio.Nursery) -> list[Echo]:
    return [await Echo(name, nursery).start() for name in "ab"]


async def test_connections_take_turns(echoes: list[Echo]) -> None:
    async with serving(*(echo.remote for echo in echoes)) as setting:
        assert [await setting.who() for _ in range(4)] == ["a", "b", "a", "b"]
        await until(lambda: setting.gateway.open == 0)
        assert setting.gateway.accepted.value == 4


async def test_a_remote_that_is_gone_is_passed_over_and_found_again(echoes: list[Echo]) -> None:
    first, second = echoes
    async with serving(first.remote, second.remote) as setting:
        first.stop()
        assert [await setting.who() for _ in range(3)] == ["b", "b", "b"]
        assert setting.gateway.remotes.inactive == [first.remote]
        await first.start()
        await until(lambda: not setting.gateway.remotes.inactive)
        assert {await setting.who() for _ in range(2)} == {"a", "b"}


async def test_when_none_is_left_clients_are_closed_until_one_is_back(echoes: list[Echo]) -> None:
    first, second = echoes
    async with serving(first.remote, second.remote) as setting:
        first.stop()
        second.stop()
        assert [await setting.who() for _ in range(3)] == ["", "", ""]
        assert setting.gateway.refused.value == 3
        await second.start()
        await until(lambda: bool(setting.gateway.remotes.active))
        assert await setting.who() == "b"


async def test_closing_lets_relays_finish(echoes: list[Echo]) -> None:
    async with serving(echoes[0].remote) as setting:
        stream = await setting.connect()
        assert await stream.receive_some() == b"a"
        setting.nursery.start_soon(setting.gateway.close, PATIENCE_SECONDS)
        await until_closed(Remote(Url("http", "127.0.0.1", setting.port)))
        await stream.send_all(b"still here")
        assert await stream.receive_some() == b"still here"
        assert not setting.stopped.is_set()
        await stream.aclose()
        await setting.stopped.wait()


async def test_closing_cuts_what_does_not_finish(echoes: list[Echo]) -> None:
    async with serving(echoes[0].remote) as setting:
        stream = await setting.connect()
        assert await stream.receive_some() == b"a"
        await setting.gateway.close(0.05)
        await setting.stopped.wait()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


async def test_clients_above_the_limit_wait_to_be_accepted(echoes: list[Echo]) -> None:
    async with serving(echoes[0].remote, descriptors=2 * limits.GATEWAY_DESCRIPTORS_PER_RELAY) as setting:
        streams = [await setting.connect() for _ in range(3)]  # the third one is in the kernel's queue
        for stream in streams[:2]:
            assert await stream.receive_some() == b"a"
        heard = False
        with trio.move_on_after(0.1):
            await streams[2].receive_some()
            heard = True
        assert not heard
        assert setting.gateway.open == 2
        await streams[0].aclose()
        assert await streams[2].receive_some() == b"a"
        for stream in streams[1:]:
            await stream.aclose()


async def test_a_shortage_of_ours_is_no_fault_of_a_remote(echoes: list[Echo], monkeypatch: pytest.MonkeyPatch) -> None:
    async def exhausted(host: str, port: int) -> trio.SocketStream:
        fault = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        raise OSError("all attempts failed") from ExceptionGroup("all attempts failed", [fault])

    remote = echoes[0].remote
    async with serving(remote) as setting:
        with monkeypatch.context() as patched:
            patched.setattr(trio, "open_tcp_stream", exhausted)
            assert await setting.who() == ""
        assert setting.gateway.remotes.active == [remote]
        assert await setting.who() == "a"


async def test_a_fault_of_ours_ends_one_connection(echoes: list[Echo], monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(remote: Remote, timeout_seconds: float) -> trio.SocketStream:
        raise ZeroDivisionError

    async with serving(echoes[0].remote) as setting:
        with monkeypatch.context() as patched:
            patched.setattr(gateway_module, "dial", broken)
            assert await setting.who() == ""
        assert await setting.who() == "a"
        await until(lambda: setting.gateway.open == 0)


async def test_why_a_remote_cannot_be_dialled(echoes: list[Echo], tmp_path: Path) -> None:
    gone = echoes[0].remote
    echoes[0].stop()
    await until_closed(gone)
    with pytest.raises(PeerError, match=r"^Connection refused$"):
        await dial(gone, 1.0)
    with pytest.raises(PeerError, match="No such file"):
        await dial(Remote(parse_url(f"unix://{tmp_path}/none")), 1.0)


async def until_closed(remote: Remote) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            try:
                stream = await dial(remote, 1.0)
            except PeerError:
                return
            await stream.aclose()


async def test_a_remote_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(host: str, port: int) -> trio.SocketStream:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(trio, "open_tcp_stream", silent)
    with pytest.raises(PeerError, match=r"no answer within 0\.05 s"):
        await dial(Remote(Url("http", "192.0.2.1", 1)), 0.05)
