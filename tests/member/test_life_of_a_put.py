"""Walks docs/life-of-a-put.md: a real Put through a real server calls the functions the page names, in that order."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trio

from dualmode import limits
from dualmode.api import etcdserverpb as pb
from dualmode.edge.address import places
from dualmode.edge.listener import bind_all
from dualmode.edge.mux import MuxBuilder
from dualmode.edge.server import Server, ServerOptions
from dualmode.http.interface import Fields, StreamEnded
from dualmode.http.native import ClientConnection
from dualmode.rpc.framing import frame
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.table import MethodTable
from tests.member.conftest import StartMember

ROOT = Path(__file__).parents[2]
STEP = re.compile(r"^\d+\. `(dualmode/[\w/]+\.py)` `([\w.]+)`", re.MULTILINE)


def steps_of_the_page() -> list[tuple[str, str]]:
    return STEP.findall((ROOT / "docs" / "life-of-a-put.md").read_text())


@contextmanager
def recorded_calls() -> Iterator[list[tuple[str, str]]]:
    """(file, function) of every call into the package, in order."""
    calls: list[tuple[str, str]] = []
    package = str(ROOT / "dualmode")

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package):
            calls.append((str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname))

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


class Client:
    """One HTTP/2 connection, driven step by step."""

    def __init__(self, port: int) -> None:
        self.http = ClientConnection()
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.http.start(0.0)

    async def put(self, request: Any) -> None:
        fields = (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", b"/etcdserverpb.KV/Put"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
        self.http.open_stream(Fields(*fields), frame(request.SerializeToString()), end=True)
        self.sock.send(self.http.take_output())
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            events = self.http.receive(self.sock.recv(65536), 0.0)
            if any(isinstance(event, StreamEnded) for event in events):
                return


async def test_the_page_names_what_happens_in_the_order_it_happens(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Calls in the sync thread would not be recorded, so the disk counts as quick here, however slow it is.
    monkeypatch.setattr(limits, "INLINE_SYNC_SECONDS", float("inf"))
    async with start_member(tmp_path) as member, trio.open_nursery() as nursery:
        table = MethodTable(member.methods())
        builder = MuxBuilder()
        for path, route in grpc_routes(table).items():
            builder.grpc(path, route)
        [listener] = bind_all(places(["http://127.0.0.1:0"]))
        server = Server([listener], builder.build(), ServerOptions(), member.outbox)
        await nursery.start(server.run)
        client = Client(listener.place.target.port)
        with trio.fail_after(10):
            await client.put(pb.PutRequest(key=b"warm"))  # connection set-up is not part of the page
            with recorded_calls() as calls:
                await client.put(pb.PutRequest(key=b"k", value=b"v"))
        client.sock.close()
        nursery.cancel_scope.cancel()
    steps = steps_of_the_page()
    assert len(steps) == 21
    met = iter(calls)
    for number, step in enumerate(steps, 1):
        assert step in met, f"step {number}, {step[1]}, was not met after the step before it"


def test_every_file_and_function_of_the_page_exists() -> None:
    for file, function in steps_of_the_page():
        source = (ROOT / file).read_text()
        for name in function.split("."):
            assert re.search(rf"^\s*(class|def|async def) {name}\b", source, re.MULTILINE), (file, function)
