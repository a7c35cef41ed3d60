"""One relayed connection: every byte in order, each half's end alone, slow readers, resets, cancellation."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.abc import HalfCloseableStream

from dualmode import limits
from dualmode.metrics import Counter
from dualmode.proxy.tcp.relay import Relay

PATIENCE_SECONDS = 10.0


async def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Two ends of one TCP connection on loopback."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = trio.socket.socket()
        await near.connect(listener.getsockname())
        far, _ = await listener.accept()
    return trio.SocketStream(near), trio.SocketStream(far)


@dataclass
class Relayed:
    """Both outer ends of a relay that runs."""

    client: trio.SocketStream
    remote: trio.SocketStream
    scope: trio.CancelScope
    done: trio.Event
    sent: Counter
    received: Counter


@asynccontextmanager
async def relayed() -> AsyncIterator[Relayed]:
    client, near = await pair()
    remote, far = await pair()
    sent, received, done = Counter(), Counter(), trio.Event()

    async def run(relay: Relay, scope: trio.CancelScope) -> None:
        with scope:
            await relay.run()
        done.set()

    with trio.fail_after(PATIENCE_SECONDS):
        async with client, remote, trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(run, Relay(near, far, sent, received), scope)
            yield Relayed(client, remote, scope, done, sent, received)
            nursery.cancel_scope.cancel()


async def read_all(stream: HalfCloseableStream) -> bytes:
    return b"".join([piece async for piece in stream])  # type: ignore[attr-defined]


async def is_reset(stream: trio.SocketStream) -> bool:
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError as error:
        return isinstance(error.__cause__, ConnectionResetError)
    return False


async def test_bytes_pass_and_are_counted() -> None:
    async with relayed() as ends:
        await ends.client.send_all(b"question")
        assert await ends.remote.receive_some() == b"question"
        await ends.remote.send_all(b"the answer")
        assert await ends.client.receive_some() == b"the answer"
        assert (ends.sent.value, ends.received.value) == (8, 10)


async def test_a_client_that_has_said_all_still_gets_its_answer() -> None:
    async with relayed() as ends:
        await ends.client.send_all(b"question")
        await ends.client.send_eof()
        assert await read_all(ends.remote) == b"question"
        assert not ends.done.is_set()
        await ends.remote.send_all(b"the answer")
        await ends.remote.send_eof()
        assert await read_all(ends.client) == b"the answer"
        await ends.done.wait()


async def test_a_remote_that_has_said_all_still_hears() -> None:
    async with relayed() as ends:
        await ends.remote.send_all(b"greeting")
        await ends.remote.send_eof()
        assert await read_all(ends.client) == b"greeting"
        await ends.client.send_all(b"question")
        assert await ends.remote.receive_some() == b"question"
        await ends.client.send_eof()
        assert await read_all(ends.remote) == b""
        await ends.done.wait()


@pytest.mark.parametrize("from_client", [True, False])
async def test_a_reset_is_passed_on_as_one(from_client: bool) -> None:
    async with relayed() as ends:
        left, kept = (ends.client, ends.remote) if from_client else (ends.remote, ends.client)
        await left.send_all(b"half of it")
        assert await kept.receive_some() == b"half of it"
        left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await left.aclose()
        assert await is_reset(kept)
        await ends.done.wait()


async def test_a_cut_relay_resets_both_ends() -> None:
    async with relayed() as ends:
        ends.scope.cancel()
        assert await is_reset(ends.client)
        assert await is_reset(ends.remote)
        await ends.done.wait()


async def test_a_slow_reader_holds_back_its_sender() -> None:
    """What is under way stays below what the kernel buffers; all of it arrives once it is read."""
    async with relayed() as ends:
        for stream in (ends.client, ends.remote):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        total, piece = 20 * 1024 * 1024, bytes(64 * 1024)
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < total:
                await ends.remote.send_all(piece)
                sent += len(piece)
            await ends.remote.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            before = -1
            while sent != before:  # until it has come to a standstill
                before = sent
                await trio.sleep(0.1)
            assert 0 < sent < total / 2
            await ends.client.send_all(b"the other way is free")
            assert await ends.remote.receive_some() == b"the other way is free"
            read = 0
            async for data in ends.client:
                read += len(data)
            assert read == total


async def test_no_more_than_one_read_is_held() -> None:
    """With streams in memory, where nothing else buffers."""
    given_out = 0
    gate = trio.Event()
    taken = bytearray()

    class Source(trio.abc.ReceiveStream):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            nonlocal given_out
            await trio.lowlevel.checkpoint()
            assert max_bytes == limits.RECEIVE_BYTES
            if given_out == 5 * max_bytes:
                return b""
            given_out += max_bytes
            return bytes(max_bytes)

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    class Sink(trio.abc.SendStream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await gate.wait()
            taken.extend(data)

        async def wait_send_all_might_not_block(self) -> None:
            raise AssertionError("not asked")

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    nowhere, silent = trio.testing.memory_stream_one_way_pair()
    client = trio.StapledStream(nowhere, Source())
    remote = trio.StapledStream(Sink(), silent)
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Relay(client, remote, Counter(), Counter()).run)  # type: ignore[arg-type]
            await trio.testing.wait_all_tasks_blocked()
            assert given_out == limits.RECEIVE_BYTES
            gate.set()
            await trio.testing.wait_all_tasks_blocked()
            assert len(taken) == 5 * limits.RECEIVE_BYTES
            nursery.cancel_scope.cancel()


PIECES = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


@given(PIECES, PIECES, st.booleans())
def test_any_conversation_arrives_as_it_was_said(asked: list[bytes], told: list[bytes], client_first: bool) -> None:
    async def say(stream: HalfCloseableStream, pieces: list[bytes]) -> None:
        for piece in pieces:
            await stream.send_all(piece)
        await stream.send_eof()

    async def converse() -> None:
        client, near = trio.testing.lockstep_stream_pair()
        remote, far = trio.testing.lockstep_stream_pair()
        heard: dict[str, bytes] = {}

        async def hear(name: str, stream: HalfCloseableStream) -> None:
            heard[name] = await read_all(stream)

        sent, received = Counter(), Counter()
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Relay(near, far, sent, received).run)
                nursery.start_soon(hear, "client", client)
                nursery.start_soon(hear, "remote", remote)
                for stream, pieces in ((client, asked), (remote, told))[:: 1 if client_first else -1]:
                    nursery.start_soon(say, stream, pieces)
        assert heard == {"client": b"".join(told), "remote": b"".join(asked)}
        assert (sent.value, received.value) == (len(heard["remote"]), len(heard["client"]))

    trio.run(converse)
