"""Does: guards the hot path against getting slower unseen: CPU time as ratios to a loop that does nothing of ours.

    python -m tests.bench.guard            compares with guard.json; ends with 1 where something takes too long
    python -m tests.bench.guard --record   writes guard.json anew

Each thing is done several times, and the least CPU time counts: what another process takes of the machine is not in it.
The ratio to a calibration loop of the same kind of work (bytes, dicts, calls) takes the machine out. The room is
generous: the guard is for a pass too many, not for a per cent.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from dualmode.api import etcdserverpb
from dualmode.http.interface import WHOLE_OR_STREAMED, Fields
from dualmode.http.native import ClientConnection, ServerConnection
from dualmode.http.options import Http2Options
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY
from dualmode.rpc.framing import frame
from dualmode.rpc.status import HEAD, OK_TRAILERS
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store
from tests.bench.workloads import VALUE, span_key
from tests.member.apply.conftest import Bench

RECORD: Final = Path(__file__).with_name("guard.json")
ROOM: Final = 1.6
REPETITIONS: Final = 7
CALLS: Final = 2_000
PUTS: Final = 10_000
PUTS_OF_A_PASS: Final = 100

REQUEST_HEAD: Final = Fields(
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/etcdserverpb.KV/Put"),
    (b":authority", b"127.0.0.1:2379"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


def least_seconds(work: Callable[[], None]) -> float:
    """CPU time of this thread, of the quickest repetition."""
    found = []
    for _ in range(REPETITIONS):
        began = time.thread_time()
        work()
        found.append(time.thread_time() - began)
    return min(found)


def calibration() -> None:
    """What our work is made of, without any of it."""
    table: dict[bytes, int] = {}
    pieces: list[bytes] = []
    for number in range(60_000):
        key = number.to_bytes(4, "big")
        table[key] = table.get(key, 0) + 1
        pieces.append(key[1:] + key[:1])
        if len(pieces) == 100:
            b"".join(pieces)
            pieces.clear()


def _opened(server: ServerConnection, client: ClientConnection) -> None:
    for one in (server, client):
        one.start(0.0)
    for _ in range(3):
        server.receive(client.take_output() or b"\0\0\0\4\1\0\0\0\0", 0.0)
        client.receive(server.take_output() or b"\0\0\0\4\1\0\0\0\0", 0.0)


def unary_calls() -> None:
    """Frames in, frames out: 2,000 puts as a server's connection sees them, ten to a read."""
    server = ServerConnection(lambda head: 1 << 20)
    client = ClientConnection(Http2Options())
    _opened(server, client)
    body = frame(etcdserverpb.PutRequest(key=b"bench-01", value=VALUE).SerializeToString())
    answer = frame(b"\x0a\x04\x08\x01\x18\x02")
    for _ in range(CALLS // 10):
        for _ in range(10):
            client.open_stream(REQUEST_HEAD, body, end=True)
        events: Any = server.receive(client.take_output(), 0.0)
        for event in events:
            server.respond(event.stream_id, HEAD, answer, OK_TRAILERS)
        client.receive(server.take_output(), 0.0)


def forwarded_calls() -> None:
    """The same through both halves of a proxy's connections: in, out to a member, back in, out to the client."""
    near, asking = ServerConnection(lambda head: WHOLE_OR_STREAMED), ClientConnection(Http2Options())
    member, far = ServerConnection(lambda head: 1 << 20), ClientConnection(Http2Options(gathers_responses=True))
    _opened(near, asking)
    _opened(member, far)
    body, answer = frame(bytes(300)), frame(b"\x0a\x04\x08\x01\x18\x02")
    for _ in range(CALLS // 10):
        for _ in range(10):
            asking.open_stream(REQUEST_HEAD, body, end=True)
        arrived: Any = near.receive(asking.take_output(), 0.0)
        streams = {far.open_stream(REQUEST_HEAD, event.body, end=True): event.stream_id for event in arrived}
        asked: Any = member.receive(far.take_output(), 0.0)
        for event in asked:
            member.respond(event.stream_id, HEAD, answer, OK_TRAILERS)
        answered: Any = far.receive(member.take_output(), 0.0)
        for event in answered:
            near.respond(streams[event.stream_id], HEAD, event.data, OK_TRAILERS)
        asking.receive(near.take_output(), 0.0)


def applied_puts() -> None:
    """10,000 puts of 1,000 keys, applied to a store in passes of a hundred."""
    puts = [etcdserverpb.PutRequest(key=span_key(number % 1000), value=VALUE) for number in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        backend = Backend.open(Path(folder) / "store")
        bench = Bench(Store(backend))
        index = 0
        for _ in range(PUTS // PUTS_OF_A_PASS):
            bench.store.begin_pass()
            for _ in range(PUTS_OF_A_PASS):
                index += 1
                bench.applier.apply(requests.PUT, puts[index % 1000], NOBODY, index)
            bench.store.end_pass(index, 1)
        backend.close()


GUARDED: Final[dict[str, Callable[[], None]]] = {
    "unary calls": unary_calls,
    "forwarded calls": forwarded_calls,
    "applied puts": applied_puts,
}


def measured() -> dict[str, float]:
    """Each thing's CPU time in calibration loops."""
    unit_seconds = least_seconds(calibration)
    return {name: least_seconds(work) / unit_seconds for name, work in GUARDED.items()}


@click.command()
@click.option("--record", is_flag=True, help="Take what is measured now for the figure to hold.")
def main(record: bool) -> None:
    """Compares the hot path with what it was."""
    now = measured()
    if record:
        RECORD.write_text(json.dumps({name: round(ratio, 2) for name, ratio in now.items()}, indent=1) + "\n")
    recorded = json.loads(RECORD.read_text())
    is_slower = False
    for name, ratio in now.items():
        allowed = recorded[name] * ROOM
        verdict = "ok" if ratio <= allowed else "SLOWER"
        is_slower |= ratio > allowed
        click.echo(
            f"{name}: {ratio:.2f} calibration loops, recorded {recorded[name]:.2f}, allowed {allowed:.2f}: {verdict}"
        )
    if is_slower:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
